//! Copies of what lies elsewhere into a chunk, by words.

use core::mem::MaybeUninit;

use wstap_common::payload::Chunk;

use crate::verifier::with_bounds;

/// Fills a chunk with the `left` bytes that there are, zeros behind them.
///
/// # Safety
/// `copy` must write as many bytes as it is asked for, or clear them, and nothing behind them.
#[inline(always)]
pub unsafe fn fill<const N: usize>(
    room: &mut MaybeUninit<Chunk<N>>,
    left: u32,
    copy: impl Fn(*mut u8, u32) -> bool,
) -> &Chunk<N> {
    const { assert!(N >= 8 && N.is_power_of_two(), "it is cleared by words, and a mask bounds it") };
    let bytes: *mut u8 = room.as_mut_ptr().cast();
    // SAFETY: the room has N bytes and is aligned for words. All of it is written: by the copy, or by the words and
    // then what there is.
    unsafe {
        if left >= N as u32 {
            copy(bytes, N as u32);
        } else {
            clear::<N>(bytes.cast());
            if left > 0 {
                copy(bytes, with_bounds::<N>(left));
            }
        }
        room.assume_init_ref()
    }
}

/// Writes `N` zero bytes, by words.
// For this target LLVM makes a call of every longer `memset`, to a loop over bytes.
///
/// # Safety
/// `words` must be valid for writes of `N` bytes, a multiple of a word's.
#[inline(always)]
pub unsafe fn clear<const N: usize>(words: *mut u64) {
    let mut at = 0;
    while at < N / 8 {
        // SAFETY: the caller vouches for the place.
        unsafe { words.add(at).write_volatile(0) };
        at += 1;
    }
}
