//! The kernel half of wstap.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

/// Allows every packet.
#[cfg(target_arch = "bpf")]
#[aya_ebpf::macros::cgroup_skb]
pub fn ingress(_context: aya_ebpf::programs::SkBuffContext) -> i32 {
    1
}

/// The kernel's helpers want a licence that is compatible with the GPL.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
