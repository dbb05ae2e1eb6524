//! What is known of a connection whose next segments can be handled without its state, in an array by its socket's cookie:
//! the look costs less than one at the state.

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_jiffies64, macros::btf_map};

use crate::atomic::Word;

/// What is known of connections whose next segments can be handled without their state, of the last one at each place:
/// cheaper than a look-up of the state. One whose place was taken is handled the general way, and takes it back. Written by
/// the packets' hooks.
#[btf_map]
static FLOWS: Array<Flow, PLACES> = Array::new();

/// How many connections are known at most, one for each value of the cookies' lowest bits: the last one that had
/// something to be known.
pub const PLACES: usize = 1 << 14;

/// A connection carries nothing that is known.
pub const UNKNOWN: u64 = 0;
/// It carries frames for the rest of its life.
pub const WALKED: u64 = 1;
/// What goes out answers ordinary requests, and nobody waits for it.
pub const ANSWERS_OUT: u64 = 2;
/// The same, of what comes in.
pub const ANSWERS_IN: u64 = 3;

/// How many bits of a cookie these take the place of.
const BITS: u32 = 2;

/// What is known of a connection. Each word tells whose it is, since two connections may have the same place.
#[repr(C)]
pub struct Flow {
    /// One of the values above, and the cookie above it.
    known: Word,
    /// Of what goes out and of what comes in, each written by its hook.
    inside: [Inside; 2],
}

/// Bytes that lie inside a frame ([`wstap_common::frame::Walk::quick`]): in the tick in which the walk told it, no segment
/// of them need be walked, so that the walk knows to a tick when the last byte passed.
#[repr(C)]
struct Inside {
    /// The lower halves of the socket's cookie and of the kernel's count of ticks.
    when: Word,
    /// The next one's sequence number, and how many they still are.
    next: Word,
}

/// For so many ticks, a second at least, nobody else takes the place of what a walk has still to catch up with: if what
/// passed inside the frame were forgotten sooner, TCP might not have taken it yet, and it could not be told from what
/// never came.
const KEPT: u32 = 1024;

impl Flow {
    /// The place of a connection.
    #[inline(always)]
    pub fn of(cookie: u64) -> Option<&'static Self> {
        // SAFETY: the entries of an array live as long as the program runs, and any words are valid.
        Some(unsafe { &*FLOWS.get_ptr(cookie as u32 & (PLACES as u32 - 1))? })
    }

    /// What is known of the connection with this cookie.
    #[inline(always)]
    pub fn known(&self, cookie: u64) -> u64 {
        let known = self.known.get();
        if known >> BITS == cookie { known & ((1 << BITS) - 1) } else { UNKNOWN }
    }

    /// From here on this is known of it.
    #[inline(always)]
    pub fn set_known(&self, cookie: u64, known: u64) {
        self.known.set(cookie << BITS | known);
    }

    /// Takes a segment that is next in line and lies inside a frame; false when it may be another.
    #[inline(always)]
    pub fn pass(&self, cookie: u64, incoming: bool, seq: u32, len: u32) -> bool {
        let inside = self.inside(incoming);
        let next = inside.next.get();
        let count = next as u32;
        if (next >> 32) as u32 != seq || len > count || inside.when.get() != now(cookie) {
            return false;
        }
        inside.next.set(u64::from(seq.wrapping_add(len)) << 32 | u64::from(count - len));
        true
    }

    /// From `seq` on so many bytes lie inside a frame.
    #[inline(always)]
    pub fn tell(&self, cookie: u64, incoming: bool, seq: u32, count: u32) {
        let (inside, now) = (self.inside(incoming), now(cookie));
        let before = inside.when.get();
        if before != 0
            && before >> 32 != now >> 32
            && (now as u32).wrapping_sub(before as u32) < KEPT
        {
            return;
        }
        inside.when.set(0);
        inside.next.set(u64::from(seq) << 32 | u64::from(count));
        inside.when.set(now);
    }

    /// The sequence number behind what passed, if the walk of this connection has to catch up with it.
    #[inline(always)]
    pub fn passed(&self, cookie: u64, incoming: bool) -> Option<u32> {
        let inside = self.inside(incoming);
        let is_own = inside.when.get() >> 32 == cookie & u64::from(u32::MAX);
        if is_own { Some((inside.next.get() >> 32) as u32) } else { None }
    }

    /// The walk caught up.
    #[inline(always)]
    pub fn forget(&self, incoming: bool) {
        self.inside(incoming).when.set(0);
    }

    #[inline(always)]
    const fn inside(&self, incoming: bool) -> &Inside {
        let [outgoing, ingoing] = &self.inside;
        if incoming { ingoing } else { outgoing }
    }
}

/// How far the bytes of a direction passed of which the walk came to `next`.
// VERIFIER: global, so that whoever asks has one way to go on and not several.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_passed(cookie: u64, incoming: u32, next: u32) -> u32 {
    Flow::of(cookie).and_then(|flow| flow.passed(cookie, incoming != 0)).unwrap_or(next)
}

/// A value of [`Inside::when`]: this connection, in this tick.
#[inline(always)]
fn now(cookie: u64) -> u64 {
    // SAFETY: the helper has no preconditions.
    cookie << 32 | unsafe { bpf_jiffies64() } & u64::from(u32::MAX)
}
