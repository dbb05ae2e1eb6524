//! `/metrics`, `/healthz` and `/readyz` as Prometheus and a load balancer use them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use wstap_tests::http::{self, Answer};
use wstap_tests::metrics::Metrics;

use crate::stage::Stage;

/// Sends a handshake from the origin to the path, and takes any answer.
fn visit(stage: &Stage, path: &str, origin: &str) -> Result<Answer> {
    http::ask(stage.server(), http::upgrade(path, "here.example", origin).as_bytes())
}

#[test]
fn promtool_finds_nothing_to_complain_of() -> Result<()> {
    let stage = Stage::new("promtool", &[])?;
    for path in ["/accept", "/reject/403", "/silent"] {
        visit(&stage, path, "https://app.example")?;
    }
    stage.events_until_now()?;
    let (_, page) = http::get(stage.agent.address(), "/metrics")?;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().context("piped")?.write_all(page.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && complaints.is_empty(), "{complaints}\n{page}");
    Ok(())
}

#[test]
fn each_handshake_counts_once_under_its_own_labels() -> Result<()> {
    let stage = Stage::new("labels", &[])?;
    for _ in 0..3 {
        visit(&stage, "/reject/403", "https://one.example")?;
    }
    visit(&stage, "/reject/404", "HTTPS://One.Example:443")?;
    visit(&stage, "/accept", "https://two.example")?;
    visit(&stage, "/silent", "null")?;
    let count =
        |metrics: &Metrics, labels: &[(&str, &str)]| metrics.count("ws_handshakes_total", labels);
    stage.agent.wait_for_metrics("six handshakes", |metrics| {
        count(metrics, &[("origin", "https://one.example"), ("status", "403")]) == 3
            && count(metrics, &[("origin", "https://one.example"), ("status", "404")]) == 1
            && count(metrics, &[("origin", "https://two.example"), ("outcome", "accepted")]) == 1
            && count(metrics, &[("origin", "null"), ("outcome", "unanswered")]) == 1
    })?;
    Ok(())
}

#[test]
fn origins_beyond_the_bound_fold_into_other_and_are_counted() -> Result<()> {
    let stage = Stage::new("folding", &["--max-origins", "5"])?;
    for number in 0..50 {
        visit(&stage, "/reject/403", &format!("https://fold-{number}.example"))?;
    }
    stage.agent.wait_for_metrics("fifty handshakes", |metrics| {
        let own = metrics.of("ws_handshakes_total").filter(|sample| {
            let origin = sample.label("origin");
            origin.starts_with("https://fold-") || origin == "other"
        });
        let own: Vec<_> = own.collect();
        own.iter().map(|sample| sample.count()).sum::<u64>() >= 50
            && own.len() <= 6
            && metrics.count("wstap_origins_folded_total", &[]) >= 45
    })?;
    Ok(())
}

#[test]
fn health_and_readiness_are_told() -> Result<()> {
    let stage = Stage::new("health", &[])?;
    for (page, status) in [("/healthz", 200), ("/readyz", 200), ("/nothing", 404)] {
        let (answered, text) = http::get(stage.agent.address(), page)?;
        ensure!(answered == status, "{page}: {answered} {text}");
    }
    Ok(())
}
