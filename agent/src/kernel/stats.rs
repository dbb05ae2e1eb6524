//! What the kernel half counts of itself.

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use wstap_common::counters::Counter;

/// The kernel half's counters, summed over the CPUs, and the programs' cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelStats {
    counters: [u64; Counter::ALL.len()],
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

pub(super) fn read(ebpf: &Ebpf, counters: &PerCpuArray<MapData, u64>) -> KernelStats {
    let mut stats = KernelStats::default();
    for (counter, total) in Counter::ALL.iter().zip(&mut stats.counters) {
        *total = sum(counters, *counter);
    }
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
