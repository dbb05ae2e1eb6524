//! The probe hooks: unix sockets, and TCP where nothing else looks.
//!
//! Where the kernel has no probes, each test makes sure that wstap says so instead, and says that the rest is left out:
//! `cargo xtask vm` runs all of them on kernels that have probes. Where they must be, `WSTAP_PROBES=1` says so.

mod calls;
mod ends;
mod truth;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::{Agent, binary};
use wstap_tests::left_out;

/// Whether this kernel has probes. Where it has none, that is what wstap must say, with what to do.
pub(crate) fn has_probes() -> Result<bool> {
    if std::env::var_os("WSTAP_PROBES").is_some() {
        return Ok(true);
    }
    let output = Command::new(binary()?).args(["doctor", "--json"]).output()?;
    let report: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    let checks = report["checks"].as_array().context("checks")?;
    let line = checks.iter().find(|check| check["name"] == "probe hooks");
    let line = line.with_context(|| format!("{report:#}"))?;
    if line["status"] == "fine" {
        return Ok(true);
    }
    ensure!(line["status"] == "degraded", "{line:#}");
    ensure!(line["found"].as_str().is_some_and(|found| found.contains("not used: ")), "{line:#}");
    let output =
        Command::new(binary()?).args(["tail", "--hooks", "probe", "--socket", "/none"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    ensure!(!output.status.success(), "{said}");
    ensure!(last.contains("the probe hooks cannot be used here: "), "{said}");
    ensure!(last.contains("--hooks auto does without them"), "{said}");
    left_out("this kernel has no probes");
    Ok(false)
}

/// Ensures that all that the kernel set out to tell has come, and that nothing was unreadable.
fn ensure_no_loss(agent: &Agent) -> Result<()> {
    let metrics = agent.wait_for_metrics("every record", |metrics| {
        metrics.count("wstap_records_seen_total", &[])
            == metrics.count("wstap_records_delivered_total", &[])
                + metrics.count("wstap_records_lost_total", &[])
    })?;
    ensure!(metrics.count("wstap_records_lost_total", &[]) == 0, "the ring was full");
    let count = |bound| metrics.count("wstap_bounds_reached_total", &[("bound", bound)]);
    for bound in ["unread", "state-refused", "decode-error"] {
        // Of a receiving call whose beginning the kernel left out, the end cannot be read.
        let left_out = bound == "unread" && count(bound) <= count("missed-calls");
        ensure!(count(bound) == 0 || left_out, "{bound}: {}", count(bound));
    }
    Ok(())
}

#[test]
fn the_choice_is_told_by_the_metrics() -> Result<()> {
    let probes = has_probes()?;
    let _alone = crate::stage::alone();
    let folder = wstap_tests::scratch("probe-choice")?;
    let agent = Agent::start(&folder, &[])?;
    let metrics = agent.metrics()?;
    let hooks = |family: &str, sockets: &str| {
        metrics.count("wstap_hooks", &[("family", family), ("sockets", sockets)])
    };
    ensure!(hooks("cgroup", "tcp") == 1, "{:#?}", metrics.of("wstap_hooks").collect::<Vec<_>>());
    ensure!(hooks("probe", "unix") == u64::from(probes));
    agent.stop()
}
