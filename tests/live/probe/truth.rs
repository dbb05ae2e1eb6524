//! nginx before uvicorn on a unix socket, as many Python services run: every handshake is told, once for each
//! leg and end, with what became of it, why, and the exact process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wstap_tests::agent::Agent;
use wstap_tests::http;
use wstap_tests::metrics::Metrics;
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::process::Process;
use wstap_tests::{frames, free_port, scratch, workspace};

use super::{ensure_no_loss, has_probes};
use crate::stage::alone;

/// What goes wrong, and what uvicorn, behind nginx, answers.
struct Fault {
    name: &'static str,
    status: u16,
    /// Causes that the leg into uvicorn may be told with.
    causes: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault { name: "sound", status: 101, causes: &[] },
    Fault { name: "foreign-origin", status: 403, causes: &["origin-not-allowed"] },
    Fault { name: "origin-stripped", status: 403, causes: &["origin-absent"] },
    Fault { name: "upgrade-stripped", status: 404, causes: &["upgrade-stripped"] },
    Fault { name: "version", status: 400, causes: &["version-unsupported"] },
    Fault { name: "key-missing", status: 400, causes: &["key-missing"] },
];

/// How often each of them: more than 200 handshakes.
const ROUNDS: usize = 34;

fn request(fault: &Fault, number: usize) -> String {
    let path = format!("/{}/chat/{number}", fault.name);
    let origin =
        if fault.name == "foreign-origin" { "https://evil.example" } else { "https://app.example" };
    let whole = http::upgrade(&path, "app.example", origin);
    match fault.name {
        "version" => whole.replace("Version: 13", "Version: 12"),
        "key-missing" => whole.replace(&format!("Sec-WebSocket-Key: {}\r\n", http::KEY), ""),
        _ => whole,
    }
}

fn nginx(folder: &Path, front: SocketAddr, socket: &Path) -> Result<Nginx> {
    let mut locations = String::new();
    for Fault { name, .. } in FAULTS {
        let headers = match *name {
            "upgrade-stripped" => "proxy_http_version 1.1;".to_owned(),
            "origin-stripped" => format!("{UPGRADE}proxy_set_header Origin '';"),
            _ => UPGRADE.to_owned(),
        };
        // The path goes on as it came, without its first part.
        writeln!(
            locations,
            "location /{name}/ {{ {headers} proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-Proto https; \
             rewrite ^/[^/]+(/chat/.*) $1-{name} break; proxy_pass http://unix:{}:; }}",
            socket.display()
        )?;
    }
    Nginx::start(folder, &format!("server {{ listen {front}; {locations} }}"), &[front])
}

/// A handshake and, when it was accepted, an orderly end. The answer is read by large pieces: byte by byte each of them
/// would be a call, and a record.
fn shake(front: SocketAddr, request: &str) -> Result<u16> {
    let mut stream = http::connect(front)?;
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let len = stream.read(&mut piece)?;
        ensure!(len > 0, "no whole answer: {head:?}");
        head.extend(piece.iter().take(len));
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    if status == 101 {
        frames::close(&mut stream, 1000)?;
    }
    Ok(status)
}

/// How often each status was told for each fault, of the events that `wanted` picks.
fn count(events: &[Value], wanted: impl Fn(&Value) -> bool) -> BTreeMap<(String, u64), usize> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "handshake" && wanted(event)) {
        let path = event["path"].as_str().unwrap_or_default();
        // `/FAULT/chat/NUMBER` before nginx, `/chat/NUMBER-FAULT` behind it.
        let fault = FAULTS.iter().find(|fault| {
            path.starts_with(&format!("/{}/", fault.name))
                || path.ends_with(&format!("-{}", fault.name))
        });
        let name = fault.map_or(path, |fault| fault.name).to_owned();
        *counts.entry((name, event["status"].as_u64().unwrap_or(0))).or_default() += 1;
    }
    counts
}

fn truth(hooks: &str) -> Result<()> {
    if !has_probes()? {
        return Ok(());
    }
    let _alone = alone();
    let folder = scratch(&format!("probe-truth-{hooks}"))?;
    // Below /tmp: the name of a unix socket is short.
    let socket =
        std::env::temp_dir().join(format!("wstap-probe-{hooks}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let mut uvicorn = Command::new(workspace().join("target/servers/bin/python"));
    uvicorn.arg(workspace().join("tests/live/servers/probe/uvicorn_unix.py")).arg(&socket);
    let (mut uvicorn, lines) = Process::start_with_lines("uvicorn", &mut uvicorn, &folder)?;
    lines.next().with_context(|| uvicorn.log())?;
    let front = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let _nginx = nginx(&folder, front, &socket)?;
    let agent = Agent::start(&folder, &["--hooks", hooks])?;
    let tail = agent.tail(&["--all", "--closures"])?;

    let mut truth = BTreeMap::new();
    for number in 0..ROUNDS {
        for fault in FAULTS {
            let status = shake(front, &request(fault, number))?;
            ensure!(status == fault.status, "{}: {status}; {}", fault.name, uvicorn.log());
            *truth.entry((fault.name.to_owned(), u64::from(status))).or_default() += 1;
        }
    }
    ensure_no_loss(&agent)?;
    let own = |event: &Value| event["path"].as_str().is_some_and(|path| path.contains("/chat/"));
    let events = tail.until_quiet(Duration::from_secs(4), own)?;
    uvicorn.check_alive()?;

    let name = json!(format!("unix:{}", socket.display()));
    let backend = |event: &Value| event["local"] == name;
    let proxy = |event: &Value| event["peer"] == name;
    let outer = |event: &Value| event["local"] == front.to_string().as_str();
    // Runs of the programs that a preempting kernel left out: what is not told of the legs that they see has such a run.
    let missed = agent.metrics()?.count("wstap_bounds_reached_total", &[("bound", "missed-calls")]);
    let missed = usize::try_from(missed)?;
    for (leg, told, probed) in [
        ("into uvicorn", count(&events, backend), true),
        ("out of nginx", count(&events, proxy), true),
        ("into nginx", count(&events, outer), hooks == "probe"),
    ] {
        let right = |(what, count): (&_, &usize)| *count.min(told.get(what).unwrap_or(&0));
        let untold = truth.values().sum::<usize>() - truth.iter().map(right).sum::<usize>();
        let may_miss = if probed { missed } else { 0 };
        ensure!(
            told == truth || untold <= may_miss,
            "{leg}: {missed} runs were left out; {told:#?}\nthe client saw {truth:#?}"
        );
    }
    for event in events.iter().filter(|event| backend(event) || proxy(event)) {
        let (role, process) =
            if backend(event) { ("server", "python") } else { ("client", "nginx") };
        ensure!(event["role"] == role, "{event:#}");
        ensure!(event["process"]["name"] == process, "{event:#}");
        if role == "server" {
            ensure!(event["process"]["pid"] == uvicorn.id(), "{event:#}");
        }
    }
    let mut wrong = Vec::new();
    for event in events.iter().filter(|event| backend(event) && event["type"] == "handshake") {
        let path = event["path"].as_str().unwrap_or_default();
        let fault = FAULTS.iter().find(|fault| path.ends_with(&format!("-{}", fault.name)));
        let causes = fault.map_or(&[][..], |fault| fault.causes);
        let cause = event["cause"].as_str();
        if !(cause.is_none() && causes.is_empty()
            || cause.is_some_and(|cause| causes.contains(&cause)))
        {
            wrong.push(format!("{path}: {cause:?} {}", event["evidence"]));
        }
    }
    ensure!(wrong.is_empty(), "{} causes: {wrong:#?}", wrong.len());
    let closures: Vec<_> =
        events.iter().filter(|event| event["type"] == "closure" && backend(event)).collect();
    ensure!(
        closures.len() <= ROUNDS && closures.len() + missed >= ROUNDS,
        "{} closures, {missed} runs left out",
        closures.len()
    );
    for closure in closures {
        ensure!(closure["code"] == 1000 && closure["initiator"] == "peer", "{closure:#}");
        ensure!(missed > 0 || closure["synchronised"] == true, "{closure:#}");
    }
    let _ = std::fs::remove_file(&socket);
    costs(&agent.metrics()?);
    agent.stop()
}

/// Prints what a run of each program cost, where the kernel measures it (`kernel.bpf_stats_enabled`).
#[expect(clippy::print_stdout, reason = "figures for the documentation")]
fn costs(metrics: &Metrics) {
    for runs in metrics.of("wstap_program_runs_total").filter(|runs| runs.value > 0.0) {
        let program = runs.label("program");
        let time = metrics.of("wstap_program_run_seconds_total");
        let seconds: f64 =
            time.filter(|time| time.label("program") == program).map(|time| time.value).sum();
        println!(
            "figure: {program}: {} runs, {:.0} ns each",
            runs.value,
            seconds * 1e9 / runs.value
        );
    }
}

#[test]
fn handshakes_through_nginx_to_uvicorn_on_a_unix_socket() -> Result<()> {
    truth("auto")
}

#[test]
fn the_same_by_the_probes_alone() -> Result<()> {
    truth("probe")
}
