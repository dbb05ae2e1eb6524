//! The socket of a packet, and what TCP knows of it.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_sk_fullsock, bpf_tcp_sock},
};

/// The packet's socket, of whatever kind.
#[inline(always)]
pub fn socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: the verifier checks the field.
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() { None } else { Some(sk) }
}

#[inline(always)]
pub fn full_socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    let sk = socket(skb)?;
    // SAFETY: not null, as checked.
    let sk = unsafe { bpf_sk_fullsock(sk) };
    if sk.is_null() { None } else { Some(sk) }
}

/// How far every byte has passed: RCV.NXT of what comes in, SND.NXT of what goes out (which TCP moves
/// on after the hook, so new bytes begin there and what is sent again begins before it).
#[inline(always)]
pub fn passed(sk: *mut bpf_sock, incoming: bool) -> Option<u32> {
    // SAFETY: `sk` is a full socket.
    let tcp = unsafe { bpf_tcp_sock(sk) };
    if tcp.is_null() {
        return None;
    }
    // VERIFIER: both are read, or LLVM chooses the field's offset first: "pointer arithmetic on tcp_sock
    // prohibited".
    // SAFETY: not null, as checked; the verifier checks the fields.
    let (received, sent) = unsafe {
        ((&raw const (*tcp).rcv_nxt).read_volatile(), (&raw const (*tcp).snd_nxt).read_volatile())
    };
    Some(if incoming { received } else { sent })
}

/// Whether TCP has not yet received a byte on this connection.
#[inline(always)]
pub fn is_fresh(sk: *mut bpf_sock) -> bool {
    // SAFETY: `sk` is a full socket.
    let tcp = unsafe { bpf_tcp_sock(sk) };
    // SAFETY: not null, as checked; the verifier checks the field.
    !tcp.is_null() && unsafe { (*tcp).bytes_received } == 0
}
