//! Connections older than the agent, as global functions (see `packet/scans.rs` for why).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    btf_maps::LruHashMap,
    helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::btf_map,
};
use wstap_common::{
    counters::Counter,
    payload::Payload,
    record::{Kind, half, role},
    stream::older::{self, Evidence},
};

use super::{
    state::{Stream, Tunnel},
    summary::ws_send_summary,
};
use crate::{
    arguments,
    counters::count,
    packet::SkbPayload,
    ring::emit::Meta,
    socket::{full_socket, passed},
};

/// What connections without a state carried lately of what looks like frames, outgoing and incoming, by
/// their sockets' cookies. Each direction is written by its hook alone. When more of them speak in turn
/// than there is room for, the one that was quiet longest is forgotten, and is found later or not at all.
#[btf_map]
static OLDER: LruHashMap<u64, [Evidence; 2], 16384> = LruHashMap::new();

/// The connection carries frames; requests came in.
pub const FOUND_SERVER: u32 = 2;
/// The connection carries frames; requests went out.
pub const FOUND_CLIENT: u32 = 3;

/// Takes a segment, in order, of a connection without a state: when it is the last that shows that the
/// connection carries frames, makes the state and tells it. [`FOUND_SERVER`], [`FOUND_CLIENT`] or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_older(skb: *mut __sk_buff, start: u32, args: u32, seq: u32) -> u32 {
    let payload = SkbPayload::at(skb, start);
    let Some(masked) = older::whole_frames(&payload) else { return 0 };
    let incoming = args & arguments::INCOMING != 0;
    let masked = masked != 0;
    // SAFETY: the helper takes the hook's own context.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    let Some(known) = OLDER.get_ptr_mut(cookie) else {
        let first = Evidence::default().take(seq, payload.len(), masked);
        let none = Evidence::default();
        let both = if incoming { [none, first] } else { [first, none] };
        // The other direction may have made the entry meanwhile: then this segment does not count, nor
        // does it when there is no room.
        let _ = OLDER.insert(cookie, both, BPF_NOEXIST.into());
        return 0;
    };
    // SAFETY: the entry lives as long as the program runs; each half has one writer.
    let (own, other) = unsafe {
        let [outgoing, ingoing] = &mut *known;
        if incoming { (ingoing, *outgoing) } else { (outgoing, *ingoing) }
    };
    *own = own.take(seq, payload.len(), masked);
    let own = *own;
    let Some(sk) = full_socket(skb) else { return 0 };
    let Some(next) = passed(sk, !incoming) else { return 0 };
    // Whoever takes the entry out is the one who makes the state.
    if !own.is_enough(other, next) || OLDER.remove(cookie).is_err() {
        return 0;
    }
    ws_found(skb, args, masked as u32, seq, next)
}

/// Makes the state of a connection that carries frames: of this half one begins at `seq`, of the other at
/// `next`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_found(
    skb: *mut __sk_buff,
    args: u32,
    from_client: u32,
    seq: u32,
    next: u32,
) -> u32 {
    let Some(sk) = full_socket(skb) else { return 0 };
    // SAFETY: not null means that it lives as long as the program runs. The hooks walk only where there
    // is a Stream, so until it is stored nobody else writes.
    let Some(tunnel) = (unsafe { Tunnel::of(sk, true).as_mut() }) else { return 0 };
    // SAFETY: the helper has no preconditions.
    tunnel.open(unsafe { bpf_ktime_get_ns() });
    let from_client = from_client != 0;
    tunnel.request.find(if from_client { seq } else { next });
    tunnel.response.find(if from_client { next } else { seq });
    let incoming = args & arguments::INCOMING != 0;
    let role = if from_client == incoming { role::SERVER } else { role::CLIENT };
    let stream = Stream::found(role);
    if stream.store(sk).is_null() {
        return 0;
    }
    count(Counter::Found);
    let half = if from_client { half::REQUEST } else { half::RESPONSE };
    let meta = Meta { kind: Kind::Found, half, epoch: 0, flags: stream.flags, role, args };
    ws_send_summary(skb, meta.pack());
    if role == role::SERVER { FOUND_SERVER } else { FOUND_CLIENT }
}
