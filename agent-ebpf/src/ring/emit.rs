//! Records onto the ring. Every attempt is counted, and every one that finds the ring full.
//!
//! What loops or needs much stack is a global function; `packet/scans.rs` says why.

use aya_ebpf::{
    bindings::__sk_buff,
    btf_maps::RingBuf,
    helpers::generated::{
        bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_ringbuf_query, bpf_skb_cgroup_id,
    },
    macros::btf_map,
    maps::ring_buf::RingBufEntry,
};
use wstap_common::{
    counters::Counter,
    record::{Kind, Record, flags, half},
};

use super::{
    debug_log::{self, ws_log_event},
    identity::write_identity,
};
use crate::{
    arguments, atomic::SharedWord, counters::count, packet::Packet, verifier::with_bounds,
};

/// The ring to user space, of the size that the loader says. Written by all hooks.
#[btf_map]
static RECORDS: RingBuf<[u8; 0], { 8 << 20 }> = RingBuf::new();

/// Content sizes that are reserved; the verifier wants them constant. A segment goes into the
/// smallest that it fits, a longer one is cut into pieces of the largest.
pub const TINY: usize = 128;
/// See [`TINY`].
pub const SMALL: usize = 256;
/// See [`TINY`].
pub const MIDDLE: usize = 1024;
/// See [`TINY`].
pub const LARGE: usize = 4096;

/// A segment has at most 64 KiB (GSO and GRO limits), which are 16 pieces.
pub const PIECES: u32 = 17;

/// Submits without waking the reader: the answer or the end that follows will, or its tick.
const NO_WAKEUP: u64 = 1;
/// Submits and wakes the reader in any case.
const FORCE_WAKEUP: u64 = 2;
/// Asks the ring how many bytes wait.
const AVAILABLE: u64 = 0;
/// Asks the ring for its size.
const RING_SIZE: u64 = 1;

/// How far behind a quarter of the ring a wake is still forced: more than the largest record, so that none
/// skips the mark. Behind it the reader is awake, and forcing each record cost more than writing it.
const CROSSING: u64 = 16 * 1024;

/// How to submit: a burst must not fill the ring before the reader's tick, so the reader is woken
/// when the bytes that wait pass a quarter of it. (Without force, the kernel wakes only a reader that had read everything.)
#[inline(always)]
pub fn submission(wake: bool) -> u64 {
    let ring = (&raw const RECORDS).cast_mut().cast();
    // SAFETY: the helper takes the ring's map.
    let (waiting, size) =
        unsafe { (bpf_ringbuf_query(ring, AVAILABLE), bpf_ringbuf_query(ring, RING_SIZE)) };
    match (waiting.wrapping_sub(size / 4) < CROSSING, wake) {
        (true, _) => FORCE_WAKEUP,
        (false, true) => 0,
        (false, false) => NO_WAKEUP,
    }
}

/// Whether the ring has so little room that no more requests are told: what is left, an eighth, is for the answers and
/// ends of those that were.
#[inline(always)]
pub fn is_crowded() -> bool {
    let ring = (&raw const RECORDS).cast_mut().cast();
    // SAFETY: the helper takes the ring's map.
    let (waiting, size) =
        unsafe { (bpf_ringbuf_query(ring, AVAILABLE), bpf_ringbuf_query(ring, RING_SIZE)) };
    let is_crowded = waiting > size - size / 8;
    if is_crowded != was_crowded() {
        CROWDED.set(u64::from(is_crowded));
    }
    is_crowded
}

/// What [`is_crowded`] last found, on whatever CPU: to ask the ring costs more than to scan most requests.
#[inline(always)]
pub fn was_crowded() -> bool {
    CROWDED.get() != 0
}

static CROWDED: SharedWord = SharedWord::new(0);

/// What a record says beside what the packet itself tells. A global function takes no structures on
/// old kernels, so it travels packed.
pub struct Meta {
    pub kind: Kind,
    pub half: u8,
    pub epoch: u16,
    pub flags: u8,
    pub role: u8,
    pub args: u32,
}

const INCOMING: u64 = (arguments::INCOMING as u64) << 48;
const LISTENER: u64 = (arguments::LISTENER as u64) << 48;

impl Meta {
    #[inline(always)]
    pub fn pack(&self) -> u64 {
        u64::from(self.epoch)
            | (self.kind as u64) << 16
            | u64::from(self.half) << 24
            | u64::from(self.flags) << 32
            | u64::from(self.role) << 40
            | u64::from(self.args) << 48
    }

    /// Writes what was packed into a record that has no content yet.
    ///
    /// # Safety
    /// `record` must be valid for writes.
    #[inline(always)]
    pub unsafe fn write(packed: u64, record: *mut Record) {
        // SAFETY: the caller vouches for `record`.
        unsafe {
            (*record).kind = (packed >> 16) as u8;
            (*record).role = (packed >> 40) as u8;
            (*record).half = (packed >> 24) as u8;
            (*record).flags = (packed >> 32) as u8;
            (*record).len = 0;
            (*record).epoch = packed as u16;
        }
    }
}

/// A record with room for `N` bytes of content.
#[repr(C)]
pub struct Entry<const N: usize> {
    pub record: Record,
    pub content: [u8; N],
}

/// An entry of the ring; when there is no room, that is counted.
#[inline(always)]
pub fn reserve<const N: usize>() -> Option<RingBufEntry<Entry<N>>> {
    count(Counter::Seen);
    let entry = RECORDS.reserve_untyped(0);
    if entry.is_none() {
        ws_log_event(debug_log::RING_FULL);
    }
    entry
}

/// Sends `len` bytes of the payload from offset `from`; 0 when any of it was lost.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_send_bytes(skb: *mut __sk_buff, meta: u64, from: u32, len: u32) -> u32 {
    let mut whole = 1;
    let mut done = 0;
    // VERIFIER: counted by whole pieces alone: each other sum was a state of its own to 5.10 and 6.1, 83,000
    // instructions.
    while done < PIECES * LARGE as u32 && done < len {
        let left = len - done;
        let size = if left > LARGE as u32 { LARGE as u32 } else { left };
        whole &= ws_send_piece(skb, meta, from.wrapping_add(done), size);
        done += LARGE as u32;
    }
    whole
}

/// Sends `len` bytes, at most [`LARGE`], of the payload from offset `from`; 0 when they were lost.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_send_piece(skb: *mut __sk_buff, meta: u64, from: u32, len: u32) -> u32 {
    let Some(packet) = Packet::parse(skb) else { return 0 };
    if len <= TINY as u32 {
        send_piece::<TINY>(&packet, meta, from, len)
    } else if len <= SMALL as u32 {
        send_piece::<SMALL>(&packet, meta, from, len)
    } else if len <= MIDDLE as u32 {
        send_piece::<MIDDLE>(&packet, meta, from, len)
    } else {
        send_piece::<LARGE>(&packet, meta, from, len)
    }
}

#[inline(always)]
fn send_piece<const N: usize>(packet: &Packet, meta: u64, from: u32, len: u32) -> u32 {
    let Some(mut entry) = reserve::<N>() else { return 0 };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and N bytes; the length is at most N.
    unsafe {
        let record = &raw mut (*place).record;
        fill(record, packet, meta);
        (*record).seq = (*record).seq.wrapping_add(from);
        let len = with_bounds::<N>(len);
        // A packet that is shorter than its header says gives no content, not stale bytes.
        let copied = packet.payload.copy(from, (&raw mut (*place).content).cast(), len);
        (*record).len = if copied { len as u16 } else { 0 };
    }
    let wake = (meta >> 24) as u8 == half::RESPONSE;
    entry.submit(submission(wake));
    1
}

/// Writes the fixed part of a record of the packet's connection; `len` is the caller's.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
pub unsafe fn fill(record: *mut Record, packet: &Packet, meta: u64) {
    let skb = packet.skb;
    // SAFETY: the caller vouches for `record`; the helpers take the hook's own context.
    unsafe {
        (*record).cookie = if meta & LISTENER != 0 { 0 } else { bpf_get_socket_cookie(skb.cast()) };
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup = bpf_skb_cgroup_id(skb);
        write_identity(packet, meta & INCOMING != 0, record);
        (*record).seq = packet.seq.wrapping_add(u32::from(packet.syn));
        let rst = if packet.rst { u64::from(flags::RST) << 32 } else { 0 };
        Meta::write(meta | rst, record);
    }
}
