//! What the hooks count, for each CPU.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use wstap_common::counters::{COUNT, Counter};

/// The counters of [`Counter`]. Written by all hooks.
#[btf_map]
static COUNTERS: PerCpuArray<u64, COUNT> = PerCpuArray::new();

/// Counts one.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // A softirq may run another hook between the load and the store of a plain increment, and
        // the loss equation must hold exactly. `core` has no atomic addition for this target, the
        // machine has one (BPF_XADD, Linux 3.18).
        // SAFETY: the slot is an aligned u64 that lives as long as the map.
        unsafe {
            core::arch::asm!("lock *(u64 *)({slot} + 0) += {one}", slot = in(reg) slot, one = in(reg) 1_u64);
        }
    }
}
