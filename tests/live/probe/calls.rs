//! Calls that a probe can misread: no byte outside a message, and each byte of one once.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::process::Process;
use wstap_tests::{scratch, workspace};

use super::{ensure_no_loss, has_probes};
use crate::stage::alone;

/// The paths of the handshakes that `calls.py` makes.
const REFUSED: &[&str] =
    &["short-first-element", "short-read", "large-room", "writev", "bytes", "peeked"];

fn calls(hooks: &str, family: &str) -> Result<()> {
    if !has_probes()? {
        return Ok(());
    }
    let _alone = alone();
    let folder = scratch(&format!("probe-calls-{hooks}-{family}"))?;
    let socket = std::env::temp_dir().join(format!("wstap-calls-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let agent = Agent::start(&folder, &["--hooks", hooks])?;
    let tail = agent.tail(&["--all", "--closures"])?;
    let mut python = Command::new(workspace().join("target/servers/bin/python"));
    python.arg(workspace().join("tests/live/servers/probe/calls.py")).arg(family).arg(&socket);
    let (mut python, lines) = Process::start_with_lines("calls", &mut python, &folder)?;
    while lines.next().with_context(|| python.log())? != "done" {}
    ensure!(python.wait()?.success(), "{}", python.log());
    ensure_no_loss(&agent)?;
    let own = |event: &serde_json::Value| {
        let text = event.to_string().to_lowercase();
        text.contains("/calls/") || text.contains("secret-canary")
    };
    let events = tail.until_quiet(Duration::from_secs(3), own)?;
    let text = serde_json::to_string(&events)?.to_lowercase();
    ensure!(!text.contains("secret-canary"), "bytes outside a message were told: {text}");

    let mut refused = REFUSED.to_vec();
    if family == "tcp" {
        refused.push("dropped");
    }
    for role in ["server", "client"] {
        for path in &refused {
            let path = format!("/calls/{path}");
            let told: Vec<_> = events
                .iter()
                .filter(|event| event["path"] == path.as_str() && event["role"] == role)
                .collect();
            ensure!(told.len() == 1, "{path} as {role}: {told:#?}");
            ensure!(told[0]["status"] == 403 && told[0]["outcome"] == "rejected", "{told:#?}");
            ensure!(told[0]["origin"] == "https://app.example", "{told:#?}");
        }
        let ends = |kind: &str| {
            let wanted = |event: &&serde_json::Value| {
                event["type"] == kind && event["role"] == role && event["path"] == "/calls/partial"
            };
            events.iter().filter(wanted).collect::<Vec<_>>()
        };
        ensure!(ends("handshake").len() == 1 && ends("handshake")[0]["status"] == 101);
        let closures = ends("closure");
        ensure!(closures.len() == 1, "{closures:#?}");
        let closure = closures[0];
        ensure!(closure["code"] == 1000 && closure["clean"] == true, "{closure:#}");
        ensure!(closure["synchronised"] == true, "{closure:#}");
        let messages = if role == "server" { "messages_out" } else { "messages_in" };
        ensure!(closure[messages] == 1, "{closure:#}");
    }
    let handshakes = events.iter().filter(|event| event["type"] == "handshake").count();
    ensure!(handshakes == 2 * (refused.len() + 1), "{handshakes} handshakes: {events:#?}");
    let _ = std::fs::remove_file(&socket);
    agent.stop()
}

#[test]
fn over_a_unix_socket() -> Result<()> {
    calls("auto", "unix")
}

#[test]
fn over_tcp() -> Result<()> {
    calls("probe", "tcp")
}

#[test]
fn over_a_unix_socket_by_kprobes() -> Result<()> {
    calls("kprobe", "unix")
}

#[test]
fn over_tcp_by_kprobes() -> Result<()> {
    calls("kprobe", "tcp")
}
