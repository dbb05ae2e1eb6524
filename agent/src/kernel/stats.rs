//! What the kernel half counts of itself.

use std::{fs, os::fd::AsFd as _, os::fd::AsRawFd as _};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use wstap_common::counters::Counter;

/// The kernel half's counters, summed over the CPUs, and the programs' cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelStats {
    counters: [u64; Counter::ALL.len()],
    /// Runs of programs that the kernel left out.
    pub missed_calls: u64,
    /// Run time and count of each program; zero unless `kernel.bpf_stats_enabled` is set.
    pub programs: Vec<ProgramStats>,
}

/// What the kernel knows of one program's cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStats {
    /// The program's name.
    pub name: &'static str,
    /// Nanoseconds spent in it.
    pub run_time_ns: u64,
    /// How often it ran.
    pub run_count: u64,
}

impl KernelStats {
    /// The value of one counter.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }
}

/// One counter, summed over the CPUs.
pub(super) fn sum(counters: &PerCpuArray<MapData, u64>, counter: Counter) -> u64 {
    counters.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum())
}

/// Runs that the kernel left out (since Linux 5.12 it tells), as another program of its kind was running on that CPU.
pub(super) fn missed_calls(ebpf: &Ebpf) -> u64 {
    super::probes::names()
        .filter_map(|name| {
            let program = ebpf.program(name)?.fd().ok()?.as_fd().as_raw_fd();
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?;
            recursion_misses(&text)
        })
        .sum()
}

/// The count in a program's fdinfo, which aya leaves out of `bpf_prog_info`.
fn recursion_misses(fdinfo: &str) -> Option<u64> {
    let count = fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
    count.trim().parse().ok()
}

pub(super) fn read(ebpf: &Ebpf, counters: &PerCpuArray<MapData, u64>) -> KernelStats {
    let mut stats = KernelStats::default();
    for (counter, total) in Counter::ALL.iter().zip(&mut stats.counters) {
        *total = sum(counters, *counter);
    }
    stats.missed_calls = missed_calls(ebpf);
    stats.programs = super::families::names()
        .filter_map(|name| {
            let info = ebpf.program(name)?.info().ok()?;
            Some(ProgramStats {
                name,
                run_time_ns: info.run_time().as_nanos() as u64,
                run_count: info.run_count(),
            })
        })
        .collect();
    stats
}

#[cfg(test)]
mod tests {
    use super::recursion_misses;

    #[test]
    fn what_the_kernel_says_of_a_program() {
        let fdinfo =
            "pos:\t0\nprog_id:\t3\nrun_cnt:\t9\nrecursion_misses:\t7\nverified_insns:\t5\n";
        assert_eq!(recursion_misses(fdinfo), Some(7));
        assert_eq!(recursion_misses("pos:\t0\nrun_cnt:\t9\n"), None);
    }
}
