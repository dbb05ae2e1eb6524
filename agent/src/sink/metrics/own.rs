//! What the agent says of itself, as Prometheus families: `wstap_*`.
//!
//! In: a snapshot. Out: families made afresh for each scrape, because the numbers live elsewhere
//! (in the kernel's maps, in the stages) and a copy could go stale.

use prometheus::{
    Counter, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{AtomicF64, Collector, GenericCounterVec},
    proto::MetricFamily,
};

use crate::sink::{
    stats::{AgentStats, TlsStats},
    tail::TailStats,
};

/// The families of one scrape.
pub(super) fn families(
    stats: &AgentStats,
    tail: TailStats,
    clients_left: &[(&'static str, u64)],
    folded: &[(&str, u64)],
) -> prometheus::Result<Vec<MetricFamily>> {
    let build = IntGaugeVec::new(
        Opts::new("wstap_build_info", "Always 1; the labels say which agent this is."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

    let hooks = IntGaugeVec::new(
        Opts::new(
            "wstap_hooks",
            "1: this family of hooks is used; its sockets, and by which programs.",
        ),
        &["family", "sockets", "means"],
    )?;
    for family in &stats.hooks {
        let labels = [family.family, family.sockets, family.means];
        hooks.with_label_values(&labels).set(i64::from(family.used));
    }

    let runs = counters(
        "wstap_program_runs_total",
        "Runs of a program in the kernel (0 unless kernel.bpf_stats_enabled).",
        "program",
        stats.programs.iter().map(|program| (program.name, program.run_count)),
    )?;
    let run_seconds = GenericCounterVec::<AtomicF64>::new(
        Opts::new(
            "wstap_program_run_seconds_total",
            "Time a program ran in the kernel (0 unless kernel.bpf_stats_enabled).",
        ),
        &["program"],
    )?;
    for program in &stats.programs {
        let counter: Counter = run_seconds.with_label_values(&[program.name]);
        counter.inc_by(program.run_time.as_secs_f64());
    }

    let h2 = IntCounterVec::new(
        Opts::new(
            "wstap_h2_connections_total",
            "Plaintext HTTP/2 connections, whose WebSockets are not judged.",
        ),
        &["role", "extended_connect"],
    )?;
    for (role, offer, count) in &stats.h2 {
        h2.with_label_values(&[role.name(), *offer]).inc_by(*count);
    }

    let entries =
        IntGaugeVec::new(Opts::new("wstap_map_entries", "What a bounded table holds."), &["map"])?;
    let capacity = IntGaugeVec::new(
        Opts::new("wstap_map_capacity", "What a bounded table can hold."),
        &["map"],
    )?;
    for table in &stats.tables {
        entries.with_label_values(&[table.name]).set(gauge_value(table.entries));
        capacity.with_label_values(&[table.name]).set(gauge_value(table.capacity));
    }

    let origins = folded.iter().find(|(what, _)| *what == "origin").map_or(0, |(_, count)| *count);
    let parts = [
        build.collect(),
        hooks.collect(),
        counter(
            "wstap_records_seen_total",
            "Records that the kernel half set out to send.",
            stats.seen,
        )?,
        counter(
            "wstap_records_delivered_total",
            "Records that reached user space.",
            stats.delivered,
        )?,
        counters(
            "wstap_records_lost_total",
            "Records that did not reach user space; seen = delivered + lost.",
            "reason",
            stats.lost.iter().copied(),
        )?,
        counter(
            "wstap_connections_found_total",
            "Connections older than the agent that were recognised by their frames.",
            stats.found,
        )?,
        h2.collect(),
        counter(
            "wstap_heads_truncated_total",
            "Heads longer than what is kept of a head.",
            stats.heads_truncated,
        )?,
        counters(
            "wstap_bounds_reached_total",
            "How often a bound of the agent was reached.",
            "bound",
            stats.bounds.iter().copied(),
        )?,
        counter(
            "wstap_origins_folded_total",
            "Handshakes and connections whose origin came after --max-origins others.",
            origins,
        )?,
        counters(
            "wstap_labels_folded_total",
            "Label values or series beyond their cap, counted as `other`.",
            "what",
            folded.iter().copied(),
        )?,
        entries.collect(),
        capacity.collect(),
        runs,
        run_seconds.collect(),
        gauge("wstap_tail_readers", "Live-tail readers that are connected.", tail.readers)?,
        counter(
            "wstap_tail_events_missed_total",
            "Events that slow live-tail readers did not get.",
            tail.missed,
        )?,
        counter(
            "wstap_tail_readers_refused_total",
            "Live-tail readers that came when there were too many.",
            tail.refused,
        )?,
        counter(
            "wstap_tail_readers_left_total",
            "Live-tail readers that read nothing and were left for others.",
            tail.left,
        )?,
        counters(
            "wstap_http_clients_left_total",
            "HTTP clients that were left before they had their answer, by reason: crowded or slow.",
            "reason",
            clients_left.iter().copied(),
        )?,
    ];
    let tls = stats.tls.as_ref().map(tls_families).transpose()?.unwrap_or_default();
    Ok(parts
        .into_iter()
        .flatten()
        .chain(tls)
        .filter(|family| !family.get_metric().is_empty())
        .collect())
}

/// What the TLS family does; only where it was asked for.
fn tls_families(tls: &TlsStats) -> prometheus::Result<Vec<MetricFamily>> {
    let processes = IntGaugeVec::new(
        Opts::new(
            "wstap_tls_processes",
            "Processes that end TLS, by what became of them: probed, refused or over-budget.",
        ),
        &["state"],
    )?;
    for (state, count) in &tls.processes {
        processes.with_label_values(&[state]).set(gauge_value(*count));
    }
    let parts = [
        processes.collect(),
        counters(
            "wstap_tls_sockets_total",
            "TLS connections whose socket was found (bound), matches that contradict an earlier one and were not taken \
             (contradicted), and handshakes that have no addresses (unbound).",
            "result",
            tls.sockets.iter().copied(),
        )?,
        counter(
            "wstap_tls_let_go_total",
            "Times that a process was let go for a while because its probes cost more than --tls-budget.",
            tls.let_go,
        )?,
        counter(
            "wstap_tls_beyond_total",
            "Processes that were left out because as many are probed as may be.",
            tls.beyond,
        )?,
    ];
    Ok(parts.into_iter().flatten().collect())
}

pub(super) fn counter(name: &str, help: &str, value: u64) -> prometheus::Result<Vec<MetricFamily>> {
    let counter = IntCounter::new(name, help)?;
    counter.inc_by(value);
    Ok(counter.collect())
}

fn counters<'a>(
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> prometheus::Result<Vec<MetricFamily>> {
    let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
    for (value, count) in values {
        family.with_label_values(&[value]).inc_by(count);
    }
    Ok(family.collect())
}

pub(super) fn gauge(name: &str, help: &str, value: u64) -> prometheus::Result<Vec<MetricFamily>> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(gauge_value(value));
    Ok(gauge.collect())
}

pub(super) fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
