//! Room for a large read, of each CPU: the stack has not so much.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use wstap_common::{
    frame::Turn,
    payload::LARGE_CHUNK,
    stream::scan::{self, Buffer, GROUP},
};

use super::copy::clear;
use crate::{
    atomic::add,
    verifier::{bounded, forgotten},
};

/// Each CPU's room for a large read. Written by all hooks, in turn.
#[btf_map]
static READINGS: PerCpuArray<Reading, 1> = PerCpuArray::new();

/// The entry of a CPU.
#[repr(C)]
pub struct Reading {
    /// A hook's, which a softirq or another thread may interrupt to run one on the same CPU.
    turn: Turn,
    room: Buffer,
}

/// [`scan::signs`] of `left` bytes at most, which `copy` reads. While another hook has the room they may hold the word:
/// whoever takes a request for a handshake loses nothing, the parser in user space decides.
#[inline(always)]
pub fn signs(left: u32, copy: impl Fn(*mut u8, u32) -> bool) -> u32 {
    let Some(reading) = READINGS.get_ptr_mut(0) else { return scan::sign::WORD };
    // SAFETY: the entry lives as long as the program runs; who has the turn is the room's only user.
    let Reading { turn, room } = unsafe { &mut *reading };
    if left == 0 {
        return 0;
    }
    if !turn.take(add) {
        return scan::sign::WORD;
    }
    // VERIFIER: without what is known of it where there is more, or all that follows is verified twice.
    let len = forgotten(left.min(LARGE_CHUNK as u32).into(), left.into()) as u32;
    let len = bounded::<LARGE_CHUNK>(len);
    let words = room.as_mut_ptr();
    // SAFETY: the room has a group behind the longest read; the first of these words is the one that the bytes end in.
    unsafe { clear::<{ GROUP * 8 }>(words.add(len as usize / 8)) };
    copy(words.cast(), len);
    let signs = scan::signs(room, len);
    turn.end(add);
    signs
}
