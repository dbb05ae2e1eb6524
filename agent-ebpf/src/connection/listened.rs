//! What a request's first segment began on a listening socket.
//!
//! sock_ops takes an entry in the softirq of the segment that completes the TCP handshake, right behind the hook that wrote
//! it. A second segment of the same connection can be received on another CPU before the connection's socket is found: then
//! its hook writes to the entry while it is copied, or after. What the copy lacks is bytes that the connection's state takes
//! for missed, by their sequence numbers; user space has them, and orders them by the same numbers. A copy that is half of
//! before and half of after can hide the handshake: nobody has seen it happen, and no test forces it.

use aya_ebpf::{bindings::__sk_buff, btf_maps::LruHashMap, macros::btf_map};

use super::state::Stream;
use crate::{
    packet::Packet,
    ring::{
        debug_log::{self, ws_log_event},
        identity::Identity,
    },
};

/// What a request's first segment began on a listening socket, until sock_ops gives it to the
/// connection, which happens in the same softirq. The key is [`Identity::key`]. An entry that is never claimed ages out.
#[btf_map]
static LISTENED: LruHashMap<u64, Stream, 4096> = LruHashMap::new();

/// Begins the state of an incoming packet's connection; false when there is no room.
#[inline(always)]
pub fn begin(skb: *mut __sk_buff, new: Stream) -> bool {
    let taken = LISTENED.insert(ws_key(skb), new, 0).is_ok();
    if !taken {
        ws_log_event(debug_log::LISTENED_FULL);
    }
    taken
}

/// The state of an incoming packet's connection.
#[inline(always)]
pub fn of(skb: *mut __sk_buff) -> Option<*mut Stream> {
    LISTENED.get_ptr_mut(ws_key(skb))
}

/// Takes the state of a connection out.
#[inline(always)]
pub fn take(identity: &Identity) -> Option<Stream> {
    let key = identity.key();
    let early = LISTENED.get_ptr_mut(key)?;
    // SAFETY: the entry lives as long as the program runs.
    let stream = unsafe { *early };
    let _ = LISTENED.remove(key);
    Some(stream)
}

/// The key of an incoming packet's connection in the listener's table.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_key(skb: *mut __sk_buff) -> u64 {
    Packet::parse(skb)
        .and_then(|packet| Identity::of(&packet, true))
        .map_or(0, |identity| identity.key())
}
