//! `wstap tail` as a user runs it: the real program joined to the real sinks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wstap::{
    config::{CaptureOptions, ServeOptions, Settings},
    event::Event,
    sink::{Servers, Sinks},
};

/// The sinks of an agent, served, without anything captured.
struct Agent {
    sinks: Arc<Sinks>,
    socket: PathBuf,
    directory: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Agent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tail.sock");
        let settings = Settings::resolve(
            ServeOptions {
                metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
                capture: CaptureOptions { socket: Some(socket.clone()), ..Default::default() },
                ..ServeOptions::default()
            },
            Some("/dev/null".as_ref()),
        );
        let settings = settings.unwrap();
        let sinks = Arc::new(Sinks::new(&settings).unwrap());
        let servers = Servers::bind(&settings).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let for_servers = Arc::clone(&sinks);
        runtime.spawn(async move { servers.serve(for_servers).await });
        Self { sinks, socket, directory, runtime: Some(runtime) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wstap"));
        command.args(arguments).arg("--socket").arg(&self.socket);
        isolated(&mut command);
        command
    }

    /// Starts a reader and returns once the agent has it.
    fn tail(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(&["tail"]);
        let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        self.has_readers(1);
        child.unwrap()
    }

    fn has_readers(&self, count: usize) {
        let want = format!("\nwstap_tail_readers {count}\n");
        until(|| self.sinks.scrape().unwrap().contains(&want));
    }

    fn publish(&self, events: &[Value]) {
        for event in events {
            let event: Event = serde_json::from_value(event.clone()).unwrap();
            self.sinks.publish(&event);
        }
    }

    /// Ends the agent: its readers see the end of the stream.
    fn stop(&mut self) {
        drop(self.runtime.take());
    }
}

/// Waits; far beyond what it can take, fails instead of hanging.
fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came to that");
        std::thread::yield_now();
    }
}

/// Without what this machine's user may have set.
fn isolated(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WSTAP_") {
            command.env_remove(name);
        }
    }
    command.env_remove("NO_COLOR").env("WSTAP_CONFIG", "/dev/null").stdin(Stdio::null());
}

fn handshake(path: &str, outcome: &str, status: u16) -> Value {
    json!({
        "type": "handshake", "time": "2026-05-04T03:02:01.123456Z", "role": "server",
        "outcome": outcome, "status": status, "cause": null, "confidence": null, "evidence": [],
        "origin": "https://app.example", "host": "app.example", "path": path,
        "forwarded_proto": null, "forwarded_host": null, "server": null, "scheme": "wss",
        "policy": "none", "duration_us": 10, "local": "127.0.0.1:1", "peer": "127.0.0.1:2",
        "process": null, "container": null,
    })
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// The exit code and what was said on standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

#[test]
fn it_joins_the_agent_and_says_so() {
    let mut agent = Agent::start();
    let mut tail = agent.tail(&["--json"]);
    let refused = handshake("/a", "rejected", 403);
    agent.publish(&[handshake("/", "accepted", 101), refused.clone()]);
    assert_eq!(serde_json::from_str::<Value>(&line(&mut tail)).unwrap(), refused);
    agent.stop();
    let (code, said) = end(tail);
    assert_eq!(code, Some(1));
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("wstap: joined the agent at "), "{said:?}");
    assert!(
        said[1].contains("has ended") && said[1].contains("start wstap tail again"),
        "{said:?}"
    );
}

#[test]
fn two_readers_each_get_what_they_asked_for() {
    let mut agent = Agent::start();
    let mut failed = agent.tail(&["--json", "--status", "4xx"]);
    let mut command = agent.command(&["tail", "--json", "--all", "--path", "/b"]);
    let mut all = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    agent.has_readers(2);
    agent.publish(&[
        handshake("/b", "accepted", 101),
        handshake("/b", "rejected", 502),
        handshake("/a", "rejected", 403),
    ]);
    let path_and_status = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        (event["path"].as_str().unwrap().to_owned(), event["status"].as_u64().unwrap())
    };
    assert_eq!(path_and_status(line(&mut failed)), ("/a".to_owned(), 403));
    assert_eq!(path_and_status(line(&mut all)), ("/b".to_owned(), 101));
    assert_eq!(path_and_status(line(&mut all)), ("/b".to_owned(), 502));
    agent.stop();
    end(failed);
    end(all);
}

#[test]
fn it_ends_quietly_as_soon_as_nobody_reads_it() {
    let agent = Agent::start();
    let mut tail = agent.tail(&[]);
    agent.publish(&[handshake("/a", "rejected", 403)]);
    assert!(line(&mut tail).contains("rejected 403"));
    // As `| head -1` does it: no further event is needed for it to be noticed.
    drop(tail.stdout.take());
    let (code, said) = end(tail);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    agent.has_readers(0);
}

#[test]
fn colours_are_for_terminals_only_and_no_color_is_respected() {
    for (no_colour, coloured) in [("", true), ("1", false)] {
        let mut agent = Agent::start();
        // script gives the program a terminal.
        let shown = agent.directory.path().join("shown");
        let tail = format!(
            "{} tail --socket {}",
            env!("CARGO_BIN_EXE_wstap"),
            agent.socket.to_str().unwrap()
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &tail]).arg(&shown);
        isolated(&mut command);
        command
            .env("TERM", "xterm")
            .env("NO_COLOR", no_colour)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut script = command.spawn().expect("script is needed (Debian: bsdutils)");
        agent.has_readers(1);
        agent.publish(&[handshake("/a", "rejected", 403)]);
        let text = || fs::read_to_string(&shown).unwrap_or_default();
        until(|| text().contains("/a"));
        agent.stop();
        drop(script.stdin.take());
        script.wait().unwrap();
        let shown = text();
        assert_eq!(shown.contains("\u{1b}["), coloured, "NO_COLOR={no_colour:?}: {shown:?}");
    }
}
