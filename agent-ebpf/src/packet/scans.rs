//! The scans of a payload, each as a global function.
//!
//! VERIFIER: a global function is verified once and for any arguments. As static ones the loops are
//! verified again for each state of their callers, and all that follows for each of their exits: 6.18
//! gave up at a million instructions. `start` is the payload's offset in the packet.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use wstap_common::{
    payload::{Chunk, Payload},
    stream::{
        older::{self, FrameScan},
        scan::{self, HeadScan, Which, WordScan},
    },
};

use super::{
    copy::fill,
    large_read,
    payload::{SkbPayload, load},
};

impl Payload for SkbPayload {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        load(self.skb, self.start + offset)
    }

    #[inline(always)]
    fn chunk<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Chunk<N>>,
    ) -> &'a Chunk<N> {
        // SAFETY: the room has what is asked for.
        let copy = |into, len| unsafe { self.copy(offset, into, len) };
        // SAFETY: the copy writes so many bytes, or clears them.
        unsafe { fill(room, self.len.saturating_sub(offset), copy) }
    }
}

impl WordScan for SkbPayload {
    #[inline(always)]
    fn names_websocket(&self, offset: u32) -> bool {
        ws_names_word(self.skb, self.start, offset) != 0
    }

    #[inline(always)]
    fn signs(&self, offset: u32) -> u32 {
        ws_signs(self.skb, self.start, offset)
    }
}

impl HeadScan for SkbPayload {
    #[inline(always)]
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        ws_head_end(self.skb, self.start, offset, tail, which as u32)
    }

    #[inline(always)]
    fn chunk_head_end(&self, offset: u32, which: Which, found: u32) -> u32 {
        ws_chunk_end(self.skb, self.start, offset, which as u32, found)
    }

    #[inline(always)]
    fn head_end_near(&self, offset: u32) -> u32 {
        ws_head_end_at(self.skb, self.start, offset)
    }

    #[inline(always)]
    fn status_line(&self, offset: u32, line: u32, tail: u32) -> u64 {
        ws_status_line(self.skb, self.start, offset, line, tail)
    }
}

impl FrameScan for SkbPayload {
    #[inline(always)]
    fn whole_frame(&self, offset: u32) -> u32 {
        ws_whole_frame(self.skb, self.start, offset)
    }
}

/// [`scan::names_websocket`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_names_word(skb: *mut __sk_buff, start: u32, offset: u32) -> u32 {
    u32::from(scan::names_websocket(&SkbPayload::at(skb, start), offset))
}

/// [`scan::signs`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_signs(skb: *mut __sk_buff, start: u32, offset: u32) -> u32 {
    let payload = SkbPayload::at(skb, start);
    // SAFETY: the room has what is asked for.
    let copy = |into, len| unsafe { payload.copy(offset, into, len) };
    large_read::signs(payload.len().saturating_sub(offset), copy)
}

/// [`scan::head_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_head_end(
    skb: *mut __sk_buff,
    start: u32,
    offset: u32,
    tail: u32,
    which: u32,
) -> u32 {
    scan::head_end(&SkbPayload::at(skb, start), offset, tail, which_of(which))
}

/// [`scan::chunk_head_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_chunk_end(
    skb: *mut __sk_buff,
    start: u32,
    offset: u32,
    which: u32,
    found: u32,
) -> u32 {
    scan::chunk_head_end(&SkbPayload::at(skb, start), offset, which_of(which), found)
}

/// [`scan::head_end_near`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_head_end_at(skb: *mut __sk_buff, start: u32, offset: u32) -> u32 {
    scan::head_end_near(&SkbPayload::at(skb, start), offset)
}

/// [`scan::status_line`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_status_line(
    skb: *mut __sk_buff,
    start: u32,
    offset: u32,
    line: u32,
    tail: u32,
) -> u64 {
    scan::status_line(&SkbPayload::at(skb, start), offset, line, tail)
}

/// [`older::whole_frame`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_whole_frame(skb: *mut __sk_buff, start: u32, offset: u32) -> u32 {
    older::whole_frame(&SkbPayload::at(skb, start), offset)
}

#[inline(always)]
pub fn which_of(which: u32) -> Which {
    if which == Which::First as u32 { Which::First } else { Which::Last }
}
