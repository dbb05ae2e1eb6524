//! The frame walk of one segment, as a global function (see `packet/scans.rs` for why).

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_ktime_get_ns,
};
use wstap_common::{
    frame::{STEPS, Walk},
    payload::Payload,
    stream::{Segment, Step},
};

use super::{fast_path::Hints, state::Tunnel};
use crate::{
    arguments,
    atomic::add,
    packet::SkbPayload,
    socket::{full_socket, passed, socket},
    verifier::forget_bounds,
};

/// Walks a segment that asks for no more than most do ([`Walk::quick`]); 0, and nothing done, when it may be another.
/// It costs one look-up and at most one read. `cookie` is the socket's; the payload begins at offset `start` of the packet.
// VERIFIER: global as the others; within the hook's own function, the stack of all that it calls was too large.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_quick(
    skb: *mut __sk_buff,
    cookie: u64,
    incoming: u32,
    start: u32,
    seq: u32,
) -> u32 {
    // Not asked whether it is a full one: no other socket has walks.
    let Some(sk) = socket(skb) else { return 0 };
    let Some(tunnel) = tunnel(sk, false) else { return 0 };
    let incoming = incoming != 0;
    let now_ns = tunnel.coarse_ns();
    let Some((walk, from_client)) = tunnel.settled(incoming) else { return 0 };
    // What goes out is under the socket's lock.
    if incoming && !walk.lock.try_lock(add) {
        return 0;
    }
    catch_up(cookie, walk, incoming);
    let payload = SkbPayload::at(skb, start);
    let next = seq.wrapping_add(payload.len());
    let taken = walk.quick(seq, &payload, now_ns, from_client);
    if incoming {
        walk.lock.unlock(add);
    }
    let Some(inside) = taken else { return 0 };
    if inside > 0 {
        ws_inside(cookie, u32::from(incoming), next, inside);
    }
    1
}

/// Tells that from `seq` on so many bytes lie inside a frame.
// VERIFIER: global, so that it is verified once and not for every way through the walk.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_inside(cookie: u64, incoming: u32, seq: u32, count: u32) -> u32 {
    let Some(hints) = Hints::of(cookie) else { return 0 };
    hints.tell(cookie, incoming != 0, seq, count);
    1
}

/// Catches up with what passed inside a frame, before another way than [`ws_quick`] is taken.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_catch_up(skb: *mut __sk_buff, cookie: u64, incoming: u32) -> u32 {
    let Some(sk) = socket(skb) else { return 0 };
    let Some(tunnel) = tunnel(sk, false) else { return 0 };
    let incoming = incoming != 0;
    let Some((walk, _)) = tunnel.settled(incoming) else { return 0 };
    if incoming && !walk.lock.try_lock(add) {
        return 0;
    }
    catch_up(cookie, walk, incoming);
    if incoming {
        walk.lock.unlock(add);
    }
    1
}

#[inline(always)]
fn catch_up(cookie: u64, walk: &mut Walk, incoming: bool) {
    if let Some(hints) = Hints::of(cookie)
        && let Some(passed) = hints.passed(cookie, incoming)
    {
        walk.catch_up(passed);
        hints.forget(incoming);
    }
}

/// Walks the segment's frames; 1 when there is news. `place` holds the payload's length
/// and the first frame byte's offset in it, the first in the upper half.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_walk(skb: *mut __sk_buff, args: u32, place: u64, seq: u32) -> u32 {
    let (begin, from_client) = (args & arguments::BEGIN != 0, args & arguments::REQUEST != 0);
    let Some(sk) = full_socket(skb) else { return 0 };
    let Some(tunnel) = tunnel(sk, begin) else { return 0 };
    if args & arguments::STAYS != 0 {
        tunnel.settle(args & arguments::INCOMING != 0, from_client);
    }
    let walk = tunnel.half(args);
    let step =
        Step { frames: place as u32, begin, join: args & arguments::JOIN != 0, ..Step::NONE };
    let len = (place >> 32) as u32;
    if !walk.lock.try_lock(add) {
        return 0;
    }
    let received = if walk.is_next(seq.wrapping_add(step.frames)) {
        seq
    } else {
        let Some(received) = passed(sk, args & arguments::INCOMING != 0) else {
            walk.lock.unlock(add);
            return 0;
        };
        received
    };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let segment = Segment { seq, received, now_ns };
    let at = walk.enter(&step, &segment, len);
    // SAFETY: the hook's context is valid while the program runs; the verifier checks the field.
    let whole = unsafe { (&raw const (*skb).len).read_volatile() };
    let mut at = forget_bounds(u64::from(at), u64::from(whole)) as u32;
    if at < len {
        at = ws_walk_steps(skb, args, whole.wrapping_sub(len), at);
    }
    let news = walk.leave(at, len);
    walk.lock.unlock(add);
    u32::from(news)
}

/// The steps of [`ws_walk`] from `at`; gives the offset behind them.
// VERIFIER: the loop and the step are functions of their own, so that each is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_walk_steps(skb: *mut __sk_buff, args: u32, start: u32, at: u32) -> u32 {
    // SAFETY: the hook's context is valid while the program runs; the verifier checks the field.
    let len = unsafe { (*skb).len }.wrapping_sub(start);
    let mut at = at;
    let mut steps = 0;
    while steps < STEPS && at < len {
        steps += 1;
        at = ws_walk_step(skb, args, start, at);
    }
    at
}

/// One step of [`ws_walk`] from `at`; gives the offset behind it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_walk_step(skb: *mut __sk_buff, args: u32, start: u32, at: u32) -> u32 {
    let payload = SkbPayload::at(skb, start);
    let Some(sk) = full_socket(skb) else { return payload.len() };
    match tunnel(sk, false) {
        Some(tunnel) => tunnel.half(args).step(at, &payload, args & arguments::REQUEST != 0),
        None => payload.len(),
    }
}

/// The walks of the packet's connection.
#[inline(always)]
fn tunnel<'a>(sk: *mut bpf_sock, create: bool) -> Option<&'a mut Tunnel> {
    let mut tunnel = Tunnel::of(sk, create);
    if tunnel.is_null() {
        return None;
    }
    // VERIFIER: LLVM would choose the half's offset before the check for null: "pointer arithmetic on
    // map_value_or_null prohibited". It cannot see through the move.
    // SAFETY: the instruction moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) tunnel) };
    // SAFETY: it is not null, so it lives as long as the program runs. Of a half's walk only who has the turn uses more than
    // the turn; what goes out needs none, under the socket's lock.
    Some(unsafe { &mut *tunnel })
}
