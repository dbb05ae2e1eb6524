//! sock_ops: the life of a connection.
//!
//! When: on every connection's establishment, and, once asked for with
//! `BPF_SOCK_OPS_STATE_CB_FLAG` (Linux 4.16), on every change of its state. The callback mask is the
//! only thing set; it changes nothing that the socket does.
//! Misses: the end of connections that were established before the agent came.

use core::mem::{offset_of, size_of};

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, bpf_sock, bpf_sock_ops,
    },
    helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::sock_ops,
    programs::SockOpsContext,
};
use wstap_common::{
    counters::Counter,
    record::{Kind, Summary, flags},
    stream::{
        ResponseHalf,
        observe::{Interest, interest},
    },
};

use crate::{
    connection::{
        listened,
        state::{Stream, Tunnel},
    },
    counters::count,
    ring::{
        emit::reserve,
        identity::{Identity, mapped},
    },
};

const AF_INET: u32 = 2;

/// The life of every TCP connection below the cgroup.
#[sock_ops]
pub fn ws_sock_ops(context: SockOpsContext) -> u32 {
    match context.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => watch(&context),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            watch(&context);
            let _ = adopt(context.ops);
        }
        BPF_SOCK_OPS_STATE_CB => {
            if context.arg(1) == BPF_TCP_CLOSE {
                let _ = closed(context.ops);
            }
        }
        _ => {}
    }
    1
}

/// Asks for the connection's changes of state.
#[inline(always)]
fn watch(context: &SockOpsContext) {
    let wanted = context.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
    // Refused only for a socket that is not a full one, which then has no state to follow.
    let _ = context.set_cb_flags(wanted.cast_signed());
}

/// Gives what the listener saw of this connection's first segment to the connection.
#[inline(always)]
fn adopt(ops: *mut bpf_sock_ops) -> Option<()> {
    let stream = listened::take(&identity(ops))?;
    // SAFETY: the verifier checks the field.
    let (sk, received) = unsafe { ((*ops).__bindgen_anon_2.sk, (*ops).rcv_nxt) };
    // The same 4-tuple in another network namespace has other sequence numbers. The first segment is
    // still to be received (RCV.NXT before it), or came with the SYN (behind it).
    let behind = stream.request.next.wrapping_sub(received);
    if sk.is_null() || behind > u32::from(u16::MAX) || stream.store(sk).is_null() {
        return None;
    }
    if stream.request.word == 0 {
        return None;
    }
    count(Counter::Adopted);
    send(ops, sk, Kind::Adopted, &stream, 0);
    Some(())
}

/// The kernel closed the socket.
#[inline(always)]
fn closed(ops: *mut bpf_sock_ops) -> Option<()> {
    // SAFETY: the verifier checks the field.
    let sk = unsafe { (*ops).__bindgen_anon_2.sk };
    if sk.is_null() {
        return None;
    }
    // SAFETY: not null means that it lives as long as the program runs.
    let stream = unsafe { Stream::of(sk).as_ref() }?;
    let (request, response) = (stream.request.word, stream.response.word);
    // Of a handshake that was shed nobody waits for the end, unless its frames are followed.
    // SAFETY: as above.
    if unsafe { Stream::is_shed(stream, request as u16) } && !ResponseHalf::is_tunnel(response) {
        return None;
    }
    let lost = stream.request_lost | stream.response_lost != 0;
    match interest(request, response, lost) {
        Interest::None => return None,
        Interest::Pending => send(ops, sk, Kind::Closed, stream, 0),
        Interest::Lost => send(ops, sk, Kind::Closed, stream, flags::ANSWERED),
    }
    Some(())
}

/// Sends a record of the context's connection.
#[inline(always)]
fn send(ops: *mut bpf_sock_ops, sk: *mut bpf_sock, kind: Kind, stream: &Stream, flags: u8) {
    let Some(mut entry) = reserve::<{ size_of::<Summary>() }>() else { return };
    let lost = stream.request_lost | stream.response_lost != 0;
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and a Summary; the helpers take the hook's own context.
    unsafe {
        let record = &raw mut (*place).record;
        let identity = identity(ops);
        (*record).cookie = bpf_get_socket_cookie(ops.cast());
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup = 0;
        (*record).local_addr = identity.local_addr;
        (*record).peer_addr = identity.peer_addr;
        (*record).seq = stream.request.next;
        (*record).local_port = identity.local_port;
        (*record).peer_port = identity.peer_port;
        (*record).kind = kind as u8;
        (*record).role = stream.role;
        (*record).half = 0;
        (*record).flags = flags | stream.flags | if lost { flags::LOST } else { 0 };
        (*record).epoch = stream.request.word as u16;
        Tunnel::write_summary(sk, record, (&raw mut (*place).content).cast());
    }
    entry.submit(0);
}

/// One word of the context.
// VERIFIER: in assembly, or LLVM computes a pointer to one field and reaches others from it, which
// every kernel refuses: "dereference of modified ctx ptr".
macro_rules! word {
    ($ops:expr, $field:ident $(, $index:literal)?) => {{
        let value: u64;
        // SAFETY: the verifier checks the field.
        unsafe {
            core::arch::asm!(
                "{value} = *(u32 *)({ops} + {offset})",
                value = out(reg) value,
                ops = in(reg) $ops,
                offset = const offset_of!(bpf_sock_ops, $field) $(+ 4 * $index)?,
            );
        }
        value as u32
    }};
}

#[inline(always)]
fn identity(ops: *mut bpf_sock_ops) -> Identity {
    let (local_addr, peer_addr) = if word!(ops, family) == AF_INET {
        let (local, peer) = (word!(ops, local_ip4), word!(ops, remote_ip4));
        (mapped(local.to_ne_bytes()), mapped(peer.to_ne_bytes()))
    } else {
        let local = [
            word!(ops, local_ip6, 0),
            word!(ops, local_ip6, 1),
            word!(ops, local_ip6, 2),
            word!(ops, local_ip6, 3),
        ];
        let peer = [
            word!(ops, remote_ip6, 0),
            word!(ops, remote_ip6, 1),
            word!(ops, remote_ip6, 2),
            word!(ops, remote_ip6, 3),
        ];
        (words(local), words(peer))
    };
    Identity {
        local_addr,
        peer_addr,
        // `local_port` is in host byte order, `remote_port` in network byte order in the upper half.
        local_port: word!(ops, local_port) as u16,
        peer_port: u32::from_be(word!(ops, remote_port)) as u16,
    }
}

#[inline(always)]
fn words([a, b, c, d]: [u32; 4]) -> [u8; 16] {
    (u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96).to_ne_bytes()
}
