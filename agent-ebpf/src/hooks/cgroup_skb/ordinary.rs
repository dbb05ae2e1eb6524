//! What nearly every segment is, taken before the stream machine at the least cost: an ordinary request, and what is shed.

use aya_ebpf::bindings::__sk_buff;
use wstap_common::{
    payload::Payload,
    stream::{Segment, scan},
};

use crate::{
    connection::state::Stream,
    packet::SkbPayload,
    ring::emit::{is_crowded, was_crowded},
};

/// [`take`] did nothing.
pub const NOT_HANDLED: u32 = 0;
/// It took an ordinary request, whose answer nobody waits for.
pub const ORDINARY: u32 = 1;
/// It took a request that is shed without a look, or the answer to one.
pub const SHED_REQUEST: u32 = 2;

/// Takes what nearly every segment is at the least cost, before the stream machine. It gives the same state for an
/// ordinary request; to look for the word in a request that is shed is spared.
///
/// # Safety
/// The stream must live, and this be the hook of the half that `requests` names.
#[inline(always)]
pub unsafe fn take(
    stream: *mut Stream,
    requests: bool,
    segment: &Segment,
    skb: *mut __sk_buff,
    payload: &SkbPayload,
) -> u32 {
    // SAFETY: it lives as long as the program runs; each half is written by its hook, and of the other an aligned
    // word is read.
    unsafe {
        let request = &raw mut (*stream).request;
        let response = &raw mut (*stream).response;
        if !requests {
            let other = (&raw const (*request).word).read_volatile();
            let shed =
                Stream::is_shed(stream, other as u16) && (*response).pass(other, segment, payload);
            return if shed { SHED_REQUEST } else { NOT_HANDLED };
        }
        let other = (&raw const (*response).word).read_volatile();
        if !(*request).awaits(other, segment) {
            return NOT_HANDLED;
        }
        let kind = ws_get(skb, payload.start());
        match kind {
            ORDINARY => (*request).pass(segment, payload.len()),
            SHED_REQUEST => {
                (*request).presume(segment, payload.len());
                Stream::shed(stream, (*request).word as u16);
            }
            _ => {}
        }
        kind
    }
}

/// What kind of GET a segment is: ORDINARY for a plain one, SHED_REQUEST for any while the ring is crowded. As
/// [`super::machine::ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_get(skb: *mut __sk_buff, start: u32) -> u32 {
    let payload = SkbPayload::at(skb, start);
    if was_crowded() && is_crowded() {
        return if scan::is_get(&payload) { SHED_REQUEST } else { NOT_HANDLED };
    }
    if scan::is_plain_get(&payload) { ORDINARY } else { NOT_HANDLED }
}
