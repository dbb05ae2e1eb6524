//! `wstap tail` on a running agent.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use wstap_tests::agent::binary;
use wstap_tests::http;
use wstap_tests::process::Process;

use crate::stage::Stage;

fn visit(stage: &Stage, path: &str, origin: &str) -> Result<()> {
    http::ask(stage.server(), http::upgrade(path, "here.example", origin).as_bytes())?;
    Ok(())
}

#[test]
fn an_event_has_the_fields_of_the_public_interface() -> Result<()> {
    let stage = Stage::new("fields", &[])?;
    visit(&stage, "/reject/403", "https://app.example")?;
    let event = stage.event(|event| event["path"] == "/reject/403")?;
    let fields = [
        "type",
        "time",
        "role",
        "outcome",
        "status",
        "cause",
        "confidence",
        "evidence",
        "origin",
        "host",
        "path",
        "forwarded_proto",
        "forwarded_host",
        "server",
        "duration_us",
        "local",
        "peer",
        "process",
        "container",
    ];
    for field in fields {
        ensure!(event.get(field).is_some(), "{field} is missing: {event:#}");
    }
    Ok(())
}

#[test]
fn filters_let_only_what_was_asked_for_through() -> Result<()> {
    let stage = Stage::new("filters", &[])?;
    let by_default = stage.agent.tail(&["--role", "server"])?;
    let by_origin = stage.agent.tail(&["--all", "--origin", "https://two.example"])?;
    let by_status = stage.agent.tail(&["--status", "404", "--role", "server"])?;
    let by_path = stage.agent.tail(&["--path", "/reject/*", "--role", "client"])?;
    visit(&stage, "/accept", "https://one.example")?;
    visit(&stage, "/reject/404", "https://one.example")?;
    visit(&stage, "/reject/403", "https://two.example")?;
    visit(&stage, "/ignore", "https://three.example")?;
    stage.events_until_now()?;
    let of = |tail: &wstap_tests::tail::Tail| -> Result<Vec<(String, String)>> {
        let events =
            tail.until_quiet(Duration::from_millis(500), |event| event["host"] == "here.example")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seen = events.iter().filter(|event| event["origin"] != "https://last.example");
        Ok(seen.map(|event| (text(&event["role"]), text(&event["path"]))).collect())
    };
    let expect = |role: &str, paths: &[&str]| -> Vec<(String, String)> {
        paths.iter().map(|path| (role.to_owned(), (*path).to_owned())).collect()
    };
    let server = expect("server", &["/reject/404", "/reject/403", "/ignore"]);
    ensure!(of(&by_default)? == server);
    let both = of(&by_origin)?;
    ensure!(both.len() == 2 && both.iter().all(|(_, path)| path == "/reject/403"), "{both:?}");
    ensure!(of(&by_status)? == expect("server", &["/reject/404"]));
    ensure!(of(&by_path)? == expect("client", &["/reject/404", "/reject/403"]));
    Ok(())
}

#[test]
fn text_without_a_terminal_has_no_colour() -> Result<()> {
    let stage = Stage::new("text", &[])?;
    let mut command = Command::new(binary()?);
    command.args(["tail", "--role", "server", "--origin", "https://app.example", "--socket"]);
    command.arg(stage.agent.socket());
    let (_tail, lines) = Process::start_with_lines("text", &mut command, &stage.folder)?;
    stage.agent.wait_for_metrics("the tail to join", |metrics| {
        metrics.count("wstap_tail_readers", &[]) == 2
    })?;
    visit(&stage, "/reject/403", "https://app.example")?;
    let line = lines.next()?;
    for part in ["rejected 403", "https://app.example", "here.example/reject/403", "node"] {
        ensure!(line.contains(part), "{part}: {line}");
    }
    ensure!(!line.contains('\x1b'), "{line:?}");
    Ok(())
}

#[test]
fn a_tail_whose_reader_has_gone_ends_quietly() -> Result<()> {
    let stage = Stage::new("head", &[])?;
    let mut tail = Command::new(binary()?)
        .args(["tail", "--json", "--socket"])
        .arg(stage.agent.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    stage.agent.wait_for_metrics("the tail to join", |metrics| {
        metrics.count("wstap_tail_readers", &[]) == 2
    })?;
    visit(&stage, "/reject/403", "https://app.example")?;
    let mut line = String::new();
    if let Some(output) = tail.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    let output = tail.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(!String::from_utf8_lossy(&output.stderr).contains("Broken pipe"), "{output:?}");
    Ok(())
}

#[test]
fn a_reader_that_reads_nothing_slows_nobody_and_is_told_what_it_missed() -> Result<()> {
    let stage = Stage::new("slow-reader", &[])?;
    let slow = UnixStream::connect(stage.agent.socket())?;
    stage.agent.wait_for_metrics("the slow reader to join", |metrics| {
        metrics.count("wstap_tail_readers", &[]) == 2
    })?;
    let mut told = 0;
    // More than a socket's buffer and the reader's queue hold together.
    while stage.agent.metrics()?.count("wstap_tail_events_missed_total", &[]) == 0 {
        for _ in 0..500 {
            visit(&stage, "/reject/403", "https://app.example")?;
        }
        told += 500;
        ensure!(told < 50_000, "the queue of a reader has no bound");
        stage.events_until_now()?;
    }
    slow.set_read_timeout(Some(wstap_tests::PATIENCE))?;
    for line in BufReader::new(slow).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        if event["type"] == "missed" {
            ensure!(event["missed"].as_u64() > Some(0), "{event}");
            return Ok(());
        }
    }
    anyhow::bail!("the reader was not told what it missed")
}

#[test]
fn a_tail_without_an_agent_captures_by_itself() -> Result<()> {
    let stage = Stage::new("own-capture", &[])?;
    let mut command = Command::new(binary()?);
    command.args(["tail", "--json", "--all", "--socket"]).arg(stage.folder.join("nobody.sock"));
    let (tail, lines) = Process::start_with_lines("own", &mut command, &stage.folder)?;
    // It is ready when it sees a handshake.
    let seen = wstap_tests::wait_for("the tail's own capture", || {
        visit(&stage, "/reject/403", "https://app.example")?;
        Ok(lines.next_within(Duration::from_millis(200)))
    })?;
    let event: Value = serde_json::from_str(&seen)?;
    ensure!(event["type"] == "handshake", "{event:#}");
    ensure!(tail.log().contains("capturing by itself"), "{}", tail.log());
    Ok(())
}
