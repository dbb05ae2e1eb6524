//! The frame walk of one segment, as a global function (see `scans.rs` for why).

use aya_ebpf::bindings::__sk_buff;
use wstap_common::{
    frame::{STEPS, Walk},
    payload::Payload,
    stream::{Segment, Step},
};

use crate::{hooks::skb::full_socket, packet::SkbPayload, streams::Tunnel, ways};

/// Walks the segment's frames; 1 when there is news. `place` holds the payload's length
/// and the first frame byte's offset in it, `numbers` the segment's sequence number and
/// RCV.NXT, the first of each in the upper half.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_walk(
    skb: *mut __sk_buff,
    way: u32,
    place: u64,
    numbers: u64,
    now_ns: u64,
) -> u32 {
    let begin = way & ways::BEGIN != 0;
    let from_client = way & ways::REQUEST != 0;
    let segment = Segment { seq: (numbers >> 32) as u32, received: numbers as u32, now_ns };
    let step = Step { frames: place as u32, begin, join: way & ways::JOIN != 0, ..Step::NONE };
    let len = (place >> 32) as u32;
    // SAFETY: the hook's context is valid while the program runs; the verifier checks the field.
    let start = unsafe { (*skb).len }.wrapping_sub(len);
    let Some(walk) = walk(skb, from_client, begin) else { return 0 };
    let mut at = walk.enter(&step, &segment, len);
    let mut steps = 0;
    while steps < STEPS && at < len {
        steps += 1;
        at = ws_walk_step(skb, way, start, at);
    }
    let Some(walk) = self::walk(skb, from_client, false) else { return 0 };
    u32::from(walk.leave(at, len))
}

/// One step of [`ws_walk`] from `at`; gives the offset behind it.
// VERIFIER: a function of its own, so that a step is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_walk_step(skb: *mut __sk_buff, way: u32, start: u32, at: u32) -> u32 {
    let from_client = way & ways::REQUEST != 0;
    let payload = SkbPayload::at(skb, start);
    match walk(skb, from_client, false) {
        Some(walk) => walk.step(at, &payload, from_client),
        None => payload.len(),
    }
}

/// The walk of one half of the packet's connection.
#[inline(always)]
fn walk<'a>(skb: *mut __sk_buff, from_client: bool, create: bool) -> Option<&'a mut Walk> {
    let sk = full_socket(skb)?;
    // SAFETY: not null means that it lives as long as the program runs; each half has one writer.
    let tunnel = unsafe { Tunnel::of(sk, create).as_mut() }?;
    Some(if from_client { &mut tunnel.request } else { &mut tunnel.response })
}
