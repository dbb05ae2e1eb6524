//! A per-CPU read buffer of 512 bytes; the BPF stack is too small for it.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use wstap_common::{
    lock::TryLock,
    payload::LARGE_CHUNK,
    stream::scan::{self, Buffer, GROUP},
};

use super::copy::clear;
use crate::{
    atomic::add,
    verifier::{forget_bounds, with_bounds},
};

/// One buffer for each CPU. Written by all hooks, one at a time.
#[btf_map]
static READ_BUFFERS: PerCpuArray<ReadBuffer, 1> = PerCpuArray::new();

/// The buffer of a CPU, and who uses it.
#[repr(C)]
pub struct ReadBuffer {
    /// A softirq or another task may interrupt the hook that uses the buffer, and run a hook on the same CPU.
    lock: TryLock,
    buffer: Buffer,
}

/// [`scan::signs`] of up to `left` bytes, which `copy` reads. While another hook holds the buffer the answer is that the word
/// may be there: a request taken for a handshake by mistake is dropped by the parser in user space.
#[inline(always)]
pub fn signs(left: u32, copy: impl Fn(*mut u8, u32) -> bool) -> u32 {
    let Some(entry) = READ_BUFFERS.get_ptr_mut(0) else { return scan::sign::WORD };
    // SAFETY: the entry lives as long as the program runs; the lock's holder is the buffer's only user.
    let ReadBuffer { lock, buffer } = unsafe { &mut *entry };
    if left == 0 {
        return 0;
    }
    if !lock.try_lock(add) {
        return scan::sign::WORD;
    }
    // VERIFIER: without what is known of it where there is more, or all that follows is verified twice.
    let len = forget_bounds(left.min(LARGE_CHUNK as u32).into(), left.into()) as u32;
    let len = with_bounds::<LARGE_CHUNK>(len);
    let words = buffer.as_mut_ptr();
    // SAFETY: the buffer has a group behind the longest read; the first of these words is the one that the bytes end in.
    unsafe { clear::<{ GROUP * 8 }>(words.add(len as usize / 8)) };
    copy(words.cast(), len);
    let signs = scan::signs(buffer, len);
    lock.unlock(add);
    signs
}
