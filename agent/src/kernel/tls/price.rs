//! What a probe's hit costs on this host, found out on a function of wstap's own before anybody else pays it.

use std::{
    arch::naked_asm,
    hint::black_box,
    time::{Duration, Instant},
};

use procfs::process::Process;

use super::uprobe::{Place, Programs};

/// How often the function is called: some milliseconds in all.
const CALLS: u32 = 5_000;
/// What a hit costs on the machines that were measured, where it cannot be found out.
pub(super) const USUAL: Duration = Duration::from_nanos(1_500);

/// Does nothing, and begins as a library's function should: with an instruction that the kernel emulates.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn nothing(_: u64, _: u64, _: u64) -> u64 {
    naked_asm!("push rbp", "xor eax, eax", "pop rbp", "ret")
}

/// As above.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn nothing(_: u64, _: u64, _: u64) -> u64 {
    naked_asm!("nop", "mov x0, #0", "ret")
}

/// The price of a call that is probed as it begins and as it returns; `None` when no probe can be made here.
pub(super) fn of_a_hit(programs: &Programs) -> Option<Duration> {
    let address = nothing as *const () as u64;
    let maps = Process::myself().ok()?.maps().ok()?;
    let map = maps.into_iter().find(|map| (map.address.0..map.address.1).contains(&address))?;
    let offset = address - map.address.0 + map.offset;
    let free = time();
    let begin = Place { program: "wt_read", offset, returns: false };
    let end = Place { program: "wt_done", offset, returns: true };
    let links = programs.attach("/proc/self/exe", &[begin, end], std::process::id()).ok()?;
    let probed = time();
    drop(links);
    Some(probed.saturating_sub(free).max(Duration::from_nanos(1)))
}

/// The time of one call.
fn time() -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(nothing(black_box(0), 0, 0));
    }
    start.elapsed() / CALLS
}
