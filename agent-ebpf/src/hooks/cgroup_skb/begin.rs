//! A connection without a state: whether a segment makes one.

use aya_ebpf::bindings::__sk_buff;
use wstap_common::{
    record::role,
    stream::{
        scan::{self, Start},
        sequence::WINDOW,
    },
};

use crate::{
    arguments,
    connection::{listened, state::Stream},
    packet::SkbPayload,
    socket::{full_socket, is_fresh},
};

/// What [`ws_begin`] gives when a request may begin with the segment.
pub const BEGAN: u32 = 1;
/// What it gives when the segment is in order and begins none: it may hold frames.
pub const OTHER: u32 = 2;

/// Makes the state of a connection that has none, when this segment may begin a request; [`BEGAN`], [`OTHER`] or 0. As
/// [`super::machine::ws_request`].
// VERIFIER: a function of its own, for its stack; global as those in `packet/scans.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_begin(skb: *mut __sk_buff, start: u32, args: u32, numbers: u64) -> u32 {
    let (incoming, listener) = (args & arguments::INCOMING != 0, args & arguments::LISTENER != 0);
    let (seq, received) = ((numbers >> 32) as u32, numbers as u32);
    let Some(sk) = full_socket(skb) else { return 0 };
    let payload = SkbPayload::at(skb, start);
    let behind = seq.wrapping_sub(received);
    if scan::start(&payload, 0) == Start::Other {
        if behind == 0 && !listener {
            return OTHER;
        }
        // Bytes that overtook a connection's first ones may be the rest of its first head.
        if !incoming || listener || behind > WINDOW || !is_fresh(sk) {
            return 0;
        }
    } else if behind > WINDOW || scan::is_lone_preamble(&payload, 0) {
        // Old or forged; or nothing yet.
        return 0;
    }
    let new = Stream::new(received, if incoming { role::SERVER } else { role::CLIENT });
    let stored = if listener {
        // Never a listener's own storage: it is shared by all its connections.
        listened::begin(skb, new)
    } else {
        !new.store(sk).is_null()
    };
    u32::from(stored)
}
