//! The agent's own process, under the names that Prometheus clients share: memory, time, descriptors.
//!
//! In: /proc/self. Out: families; without /proc (a sandbox) there are none.

use std::time::Duration;

use procfs::process::Process;
use prometheus::{Counter, IntGauge, core::Collector as _, proto::MetricFamily};

/// The families of one scrape.
pub(super) fn families() -> prometheus::Result<Vec<MetricFamily>> {
    let Ok(process) = Process::myself() else { return Ok(Vec::new()) };
    let Ok(stat) = process.stat() else { return Ok(Vec::new()) };
    let used = Duration::from_millis((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second());
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory.", stat.rss * procfs::page_size()),
        ("process_virtual_memory_bytes", "Virtual memory.", stat.vsize),
        ("process_threads", "Threads.", stat.num_threads.try_into().unwrap_or(0)),
        ("process_open_fds", "Open file descriptors.", process.fd_count().unwrap_or(0) as u64),
    ];
    let cpu = Counter::new("process_cpu_seconds_total", "User and system time.")?;
    cpu.inc_by(used.as_secs_f64());
    let mut families = cpu.collect();
    for (name, help, value) in gauges {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(super::own::gauge_value(value));
        families.extend(gauge.collect());
    }
    Ok(families)
}
