//! Standard output, the agent's memory, and streams that are read later.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::binary;
use wstap_tests::http;

use crate::stage::Stage;

fn visit(stage: &Stage, path: &str, origin: &str) -> Result<()> {
    http::ask(stage.server(), http::upgrade(path, "here.example", origin).as_bytes())?;
    Ok(())
}

/// The events of a stream that are of this test.
fn own(text: &str) -> Vec<Value> {
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["host"] == "here.example" && event["role"] == "server").collect()
}

#[test]
fn failures_are_lines_on_standard_output_within_the_rate() -> Result<()> {
    let arguments = ["--events", "failed", "--events-rate", "5"];
    let mut stage = Stage::new("stdout", &arguments)?;
    visit(&stage, "/accept", "https://app.example")?;
    for _ in 0..40 {
        visit(&stage, "/reject/403", "https://app.example")?;
    }
    stage.events_until_now()?;
    // The log is on standard error, and in these tests in the same file.
    let text = wstap_tests::wait_for("the others to be summed up", || {
        let log = stage.agent.process().log();
        Ok(log.contains("\"type\":\"suppressed\"").then_some(log))
    })?;
    let events = own(&text);
    ensure!(!events.is_empty() && events.len() < 40, "{}", events.len());
    ensure!(events.iter().all(|event| event["outcome"] == "rejected"), "{events:#?}");
    ensure!(events.iter().all(|event| event["process"]["name"] == "node"), "{events:#?}");
    Ok(())
}

/// `wstap` with these arguments, and what it prints for this input.
fn wstap(arguments: &[&str], input: &str) -> Result<(String, String)> {
    let mut child = Command::new(binary()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut to = child.stdin.take().context("piped")?;
    let input = input.to_owned();
    let writer = std::thread::spawn(move || to.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // It may end before it has read all.
    let _written = writer.join();
    ensure!(output.status.success(), "{output:?}");
    Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[test]
fn a_hundred_agents_in_one_stream_are_one_tail() -> Result<()> {
    let stage = Stage::new("many-agents", &[])?;
    visit(&stage, "/reject/403", "https://app.example.com")?;
    visit(&stage, "/reject/403", "https://other.example")?;
    let events = stage.events_until_now()?;
    let of = |origin: &str| -> Result<Value> {
        let found = events.iter().find(|event| event["origin"] == origin);
        found.cloned().context("the handshake was told")
    };
    let (wanted, other) = (of("https://app.example.com")?, of("https://other.example")?);
    // As `kubectl logs --prefix` mixes them: events, the agents' logs, and other programs' lines.
    let mut text = String::new();
    for round in 0..20 {
        for agent in 0..100 {
            let line = match (round + agent) % 4 {
                0 => wanted.to_string(),
                1 => other.to_string(),
                2 => "2026-01-01T00:00:00Z  INFO wstap::cli::run: ready".to_owned(),
                _ => "{\"level\":\"info\",\"msg\":\"something else {}\"}".to_owned(),
            };
            writeln!(text, "[pod/wstap-{agent:03}/wstap] {line}")?;
        }
    }
    let arguments = ["tail", "-", "--json", "--origin", "https://*.example.com"];
    let (out, notes) = wstap(&arguments, &text)?;
    ensure!(out.lines().count() == 500, "{}", out.lines().count());
    ensure!(out.lines().all(|line| line.contains("https://app.example.com")));
    ensure!(notes.contains("1000 lines that are no events were skipped"), "{notes}");
    Ok(())
}
