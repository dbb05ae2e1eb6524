//! Per-connection hints, indexed by socket cookie, that let the next segment skip the socket-storage lookup.

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_jiffies64, macros::btf_map};

use crate::atomic::SharedWord;

/// The hints, one entry for each value of the cookie's low bits. When two connections have the same entry, the last writer
/// owns it; the other finds a foreign cookie there and takes the general way. Written by the cgroup_skb programs.
#[btf_map]
static HINTS: Array<Hints, PLACES> = Array::new();

/// How many entries there are, one for each value of the cookie's low bits.
pub const PLACES: usize = 1 << 14;

/// No hint.
pub const UNKNOWN: u64 = 0;
/// The connection carries frames for the rest of its life.
pub const FRAMES_ONLY: u64 = 1;
/// Outgoing bytes answer ordinary requests: nobody waits for them.
pub const ANSWERS_OUT: u64 = 2;
/// The same of incoming bytes.
pub const ANSWERS_IN: u64 = 3;

/// How many bits the classes above need.
const BITS: u32 = 2;

/// The hints of one connection. Two connections may have the same entry, so each says whose it is.
///
/// Why they cannot mix: `class` has the whole cookie and is written at once. [`FrameBytes`] has two words, and a hook that
/// read both may write one of them back ([`Hints::pass`]) when another connection has taken the entry meanwhile. But what
/// is read must be of the current tick, and an entry is taken only when it is older than [`KEPT`] ticks
/// ([`Hints::tell`]), so the hook would have to stand still for a second between two instructions. Then the other
/// connection finds a sequence number that is not its own, takes the general way, and its walk refuses a number outside
/// its frame ([`wstap_common::frame::Walk::catch_up`]).
///
/// Where stores may be seen in another order (arm64), a reader can see the new `when` with an old `next` of the same
/// connection: the old number is behind, so only a segment that is sent again can match it, and the walk refuses to go back.
#[repr(C)]
pub struct Hints {
    /// One of the classes above, and the cookie above it.
    class: SharedWord,
    /// Of outgoing and of incoming bytes, each written by its direction's hook.
    inside: [FrameBytes; 2],
}

/// The next bytes that lie inside a frame ([`wstap_common::frame::Walk::quick`]). A segment of them need not be walked in the
/// tick in which the walk left the hint; in the next tick one is, so that the walk knows to a tick when the last byte passed.
#[repr(C)]
struct FrameBytes {
    /// The lower halves of the socket's cookie and of the kernel's count of ticks.
    when: SharedWord,
    /// The next one's sequence number, and how many they still are.
    next: SharedWord,
}

/// For so many ticks, a second at least, nobody else takes the place of what a walk has still to catch up with: if what
/// passed inside the frame were forgotten sooner, TCP might not have taken it yet, and it could not be told from what
/// never came.
const KEPT: u32 = 1024;

impl Hints {
    /// The entry of a connection.
    #[inline(always)]
    pub fn of(cookie: u64) -> Option<&'static Self> {
        // SAFETY: the entries of an array live as long as the program runs, and any words are valid.
        Some(unsafe { &*HINTS.get_ptr(cookie as u32 & (PLACES as u32 - 1))? })
    }

    /// The class of the connection with this cookie.
    #[inline(always)]
    pub fn class(&self, cookie: u64) -> u64 {
        let class = self.class.get();
        if class >> BITS == cookie { class & ((1 << BITS) - 1) } else { UNKNOWN }
    }

    /// Sets the class of the connection with this cookie.
    #[inline(always)]
    pub fn set_class(&self, cookie: u64, class: u64) {
        self.class.set(cookie << BITS | class);
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
    const fn inside(&self, incoming: bool) -> &FrameBytes {
        let [outgoing, ingoing] = &self.inside;
        if incoming { ingoing } else { outgoing }
    }
}

/// How far the bytes of a direction passed of which the walk came to `next`.
// VERIFIER: global, so that whoever asks has one way to go on and not several.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_passed(cookie: u64, incoming: u32, next: u32) -> u32 {
    Hints::of(cookie).and_then(|hints| hints.passed(cookie, incoming != 0)).unwrap_or(next)
}

/// A value of [`FrameBytes::when`]: this connection, in this tick.
#[inline(always)]
fn now(cookie: u64) -> u64 {
    // SAFETY: the helper has no preconditions.
    cookie << 32 | unsafe { bpf_jiffies64() } & u64::from(u32::MAX)
}
