//! Standard output, the agent's memory, and streams that are read later.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::{Agent, binary};
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

#[test]
fn a_pipe_that_nobody_reads_never_stops_the_agent() -> Result<()> {
    let stage = Stage::new("stdout-block", &[])?;
    let folder = wstap_tests::scratch("stdout-block-agent")?;
    // `sleep` has the other end of the pipe and reads nothing.
    let mut shell = Command::new("bash");
    shell.args(["-c", "exec \"$0\" \"$@\" > >(exec sleep 600)"]).arg(binary()?);
    let arguments = ["--events", "all", "--events-rate", "10000"];
    let agent = Agent::start_program(shell, &folder, &arguments)?;
    let dropped = |result: &str| -> Result<u64> {
        let labels = [("output", "stdout"), ("result", result)];
        Ok(agent.metrics()?.count("wstap_events_out_total", &labels))
    };
    let mut rounds = 0;
    while dropped("dropped")? == 0 {
        for _ in 0..500 {
            visit(&stage, "/reject/403", "https://app.example")?;
        }
        rounds += 1;
        ensure!(rounds < 40, "the queue has no bound");
    }
    // It still serves, remembers and ends.
    let before = agent.metrics()?.count("ws_handshakes_total", &[]);
    visit(&stage, "/reject/403", "https://app.example")?;
    agent.wait_for_metrics("one more handshake", |metrics| {
        metrics.count("ws_handshakes_total", &[]) > before
    })?;
    agent.stop()
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
fn the_agent_remembers_what_failed_and_tells_how_far_back() -> Result<()> {
    let stage = Stage::new("history", &[])?;
    for number in 0..20 {
        visit(&stage, &format!("/reject/403/{number}"), "https://app.example")?;
        visit(&stage, "/accept", "https://app.example")?;
    }
    stage.events_until_now()?;
    let socket = stage.agent.socket().to_string_lossy().into_owned();
    let tail = |arguments: &[&str]| -> Result<Vec<Value>> {
        let common = ["tail", "--json", "--no-follow", "--role", "server", "--socket", &socket];
        let (text, _) = wstap(&[&common[..], arguments].concat(), "")?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let all = tail(&["--path", "/reject/403/*", "--origin", "https://app.example"])?;
    ensure!(all.len() == 21, "{all:#?}");
    let memory = all.last().context("not empty")?;
    ensure!(memory["type"] == "history" && memory["since"].is_string(), "{memory:#}");
    let last = tail(&["--last", "5", "--origin", "https://app.example"])?;
    let paths: Vec<_> = last.iter().filter_map(|event| event["path"].as_str()).collect();
    let want = [15, 16, 17, 18, 19].map(|number| format!("/reject/403/{number}"));
    ensure!(paths == want, "{paths:?}");
    ensure!(tail(&["--since", "0s"])?.len() == 1);
    // And then it follows.
    let following = stage.agent.tail(&["--since", "10m", "--origin", "https://next.example"])?;
    visit(&stage, "/reject/404", "https://next.example")?;
    following.next(|event| event["type"] == "history")?;
    following.next(|event| event["path"] == "/reject/404")?;
    Ok(())
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
            text += &format!("[pod/wstap-{agent:03}/wstap] {line}\n");
        }
    }
    let arguments = ["tail", "-", "--json", "--origin", "https://*.example.com"];
    let (out, notes) = wstap(&arguments, &text)?;
    ensure!(out.lines().count() == 500, "{}", out.lines().count());
    ensure!(out.lines().all(|line| line.contains("https://app.example.com")));
    ensure!(notes.contains("1000 lines that are no events were skipped"), "{notes}");
    Ok(())
}

#[test]
fn memory_stays_in_its_bound_with_everything_on() -> Result<()> {
    // Nobody listens there: the queue fills.
    let arguments =
        ["--events", "all", "--history-bytes", "1000000", "--otlp-endpoint", "http://127.0.0.1:1"];
    let stage = Stage::new("memory-bound", &arguments)?;
    let long = format!("/reject/403/{}", "x".repeat(900));
    let turn = || -> Result<()> {
        for _ in 0..1500 {
            visit(&stage, &long, "https://app.example")?;
        }
        stage.events_until_now()?;
        Ok(())
    };
    turn()?;
    let metrics = stage.agent.metrics()?;
    ensure!(metrics.count("wstap_history_bytes", &[]) <= 1_000_000);
    ensure!(metrics.count("wstap_history_events_forgotten_total", &[]) > 0);
    let memory = || -> Result<u64> {
        Ok(stage.agent.metrics()?.count("process_resident_memory_bytes", &[]))
    };
    let before = memory()?;
    turn()?;
    std::thread::sleep(Duration::from_millis(200));
    let after = memory()?;
    // The OTLP queue is 4 MiB; the rest has been in use before.
    ensure!(after < before + 12 * 1024 * 1024, "{before} bytes, then {after}");
    Ok(())
}
