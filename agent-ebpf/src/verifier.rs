//! Numbers of which the verifier is to know more, or less, than it finds out.

/// `len`, of which the caller knows that it is 1 to `N` (a power of two), as a value of which the
/// verifier knows it too.
// VERIFIER: before 6.8 nothing is learnt from `len != 0`, and "R3 min value is outside of the allowed
// memory range" refuses the natural form; so the length is a mask plus one. LLVM proves the mask away,
// so the value passes through a move that it cannot see through first.
#[inline(always)]
pub fn with_bounds<const N: usize>(len: u32) -> u32 {
    let mut less = u64::from(len).wrapping_sub(1);
    // SAFETY: the instruction moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) less) };
    (less & (N as u64 - 1)) as u32 + 1
}

/// `number`, of which the verifier no longer knows anything; of `any` it must not know anything either.
// VERIFIER: where several ways meet that know different ranges of a number, 5.10 and 6.1 go on once for each of them:
// 128,000 instructions in `ws_walk` alone.
#[inline(always)]
pub fn forget_bounds(number: u64, any: u64) -> u64 {
    let mut number = number;
    // SAFETY: what is done to the register is undone.
    unsafe {
        core::arch::asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) number, in(reg) any);
    }
    number
}
