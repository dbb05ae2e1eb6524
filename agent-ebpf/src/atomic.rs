//! Words that several CPUs share.

use core::cell::UnsafeCell;

/// A word that several CPUs read and write.
// Not an atomic one: the LLVM of bpf-linker 0.13 has no instruction for its store ("Cannot select").
#[repr(transparent)]
pub struct SharedWord(UnsafeCell<u64>);

// SAFETY: it is read and written at once.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    pub const fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> u64 {
        // SAFETY: it is aligned, so that it is read at once.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn set(&self, value: u64) {
        // SAFETY: as above, of the write.
        unsafe { self.0.get().write_volatile(value) };
    }
}

/// Adds to a word that other CPUs, and programs that interrupt this one, add to as well. What was written before is seen by
/// whoever reads the new value and then adds to it too: so a word can guard others ([`wstap_common::lock::TryLock`]).
// `core` has no atomic addition for this target, the machine has one (BPF_XADD, Linux 3.18). It gives nothing back: what
// does came with 5.12. On x86 it is in order with all reads and writes around it.
#[cfg(not(bpf_target_arch = "aarch64"))]
#[inline(always)]
pub fn add(word: &mut u32, number: u32) {
    // SAFETY: the word is aligned, and a reference.
    unsafe {
        core::arch::asm!("lock *(u32 *)({word} + 0) += {number}", word = in(reg) word, number = in(reg) u64::from(number));
    }
}

/// The same. On arm64 an addition that gives nothing back is in no order with the reads and writes around it, so that the
/// next to come could see a part of what the last one wrote. One that gives back the old value is (LDADDAL, or barriers);
/// arm64's kernels have it since 5.18.
#[cfg(bpf_target_arch = "aarch64")]
#[inline(always)]
pub fn add(word: &mut u32, number: u32) {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "w1 = atomic_fetch_add((u32 *)(r2 + 0), w1)",
            inout("r1") u64::from(number) => _,
            in("r2") word,
        );
    }
}

/// As [`add`], to a long word.
#[inline(always)]
pub fn add_long(word: &mut u64, number: u64) {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("lock *(u64 *)({word} + 0) += {number}", word = in(reg) word, number = in(reg) number);
    }
}
