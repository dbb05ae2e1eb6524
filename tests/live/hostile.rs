//! A hostile client makes up 100,000 origins, hosts, paths and keys, and heads of 64 KiB: series and memory stay within
//! their bounds.

use std::time::Instant;

use anyhow::{Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::{hostile, http, scratch};

use crate::stage::alone;

const COUNT: usize = 100_000;
/// Handshakes with a list of subprotocols that fills the head, each remembered by its key.
const LONG: usize = 500;
/// docs/metrics.md: of one family, and a few more in which the rest is folded.
const FAMILY: usize = 10_000;
const FOLDED: usize = 16;
/// docs/sizing.md: what the agent needs at most whatever is made up, and the pages of a ring of 16 MiB, which count
/// twice, instead of those of 4 MiB.
const MEMORY: u64 = (128 + 2 * 12) << 20;

#[test]
fn what_a_client_makes_up_stays_within_the_bounds() -> Result<()> {
    let _alone = alone();
    let folder = scratch("hostile")?;
    let arguments = ["--max-paths", "100", "--workload-labels", "--ring-bytes", hostile::RING];
    let agent = Agent::start(&folder, &arguments)?;
    hostile::storm(&agent, COUNT)?;
    hostile::long_lists(&agent, COUNT, LONG)?;
    let metrics = agent.wait_for_metrics("100,000 handshakes", |metrics| {
        metrics.count("ws_handshakes_total", &[]) >= COUNT as u64
    })?;

    let (name, series) = hostile::largest_family(&metrics);
    let memory = metrics.count("process_resident_memory_bytes", &[]);
    let began = Instant::now();
    let (_, page) = http::get(agent.address(), "/metrics")?;
    eprintln!(
        "{name} has {series} series; {} lines, {} KiB in {:?} ({} MiB of memory)",
        page.lines().count(),
        page.len() >> 10,
        began.elapsed(),
        memory >> 20,
    );
    ensure!(memory < MEMORY, "{} MiB", memory >> 20);
    ensure!(series <= FAMILY + FOLDED, "{name} has {series} series");
    let values = |family: &str, label: &str| {
        let values = metrics.of(family).map(|sample| sample.label(label).to_owned());
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    // 200 of each kind, and the words that are no origin.
    for family in ["ws_handshakes_total", "ws_closures_total", "ws_connections_active"] {
        let origins = values(family, "origin");
        ensure!(origins <= 205, "{family}: {origins} origins");
    }
    ensure!(values("ws_handshakes_total", "origin") > 200);
    let paths = values("ws_handshakes_by_path_total", "path");
    ensure!((50..=101).contains(&paths), "{paths} paths");
    let codes = values("ws_closures_total", "code");
    ensure!(codes <= 16 + 32 + 1, "{codes} close codes");
    // What has no series of its own is counted all the same.
    for (family, what) in
        [("ws_handshakes_total", "origin"), ("ws_handshakes_by_path_total", "path")]
    {
        let folded = metrics.count("wstap_labels_folded_total", &[("what", what)]);
        ensure!(folded > COUNT as u64 / 2, "{what}: {folded}");
        ensure!(metrics.count(family, &[]) >= COUNT as u64, "{family}");
    }

    agent.stop()
}
