//! `wstap replay` as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const STRIPPED: &str = "GET /chat?token=secret HTTP/1.1\r\n\
    Host: app.example\r\n\
    Connection: close\r\n\
    Origin: https://app.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    \r\n\
    HTTP/1.1 426 Upgrade Required\r\n\
    Content-Length: 0\r\n\
    \r\n";

const ACCEPTED: &str = "GET /chat HTTP/1.1\r\n\
    Host: app.example\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Origin: https://app.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    \r\n\
    HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    \r\n";

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn replay(flags: &[&str], files: &[PathBuf]) -> Output {
    command(flags).args(files).output().unwrap()
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wstap"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WSTAP_") {
            command.env_remove(name);
        }
    }
    command.env("WSTAP_CONFIG", "/dev/null").arg("replay").args(flags).stdin(Stdio::null());
    command
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_pasted_request_and_response_get_a_verdict() {
    let files = Files::new();
    let output = replay(&["--json"], &[files.file("stripped.txt", STRIPPED)]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
    let events = events(&output);
    assert_eq!(events.len(), 1);
    let event = &events[0];
    for (name, want) in [
        ("type", "handshake"),
        ("role", "server"),
        ("outcome", "rejected"),
        ("cause", "upgrade-stripped"),
        ("origin", "https://app.example"),
        ("host", "app.example"),
        ("path", "/chat"),
        ("policy", "none"),
    ] {
        assert_eq!(event[name], want, "{name}");
    }
    assert_eq!(event["status"], 426);
    let text = event.to_string();
    assert!(!text.contains("secret") && !text.contains("dGhlIHNhbXBsZSBub25jZQ"), "{text}");
}

#[test]
fn without_json_the_verdict_is_text_without_colour() {
    let files = Files::new();
    let output = replay(&[], &[files.file("stripped.txt", STRIPPED)]);
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("server rejected 426 https://app.example -> app.example/chat"),
        "{text}"
    );
    assert!(first.contains("upgrade-stripped ("), "{text}");
    assert!(text.lines().any(|line| line.starts_with("    fix ")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_filters_and_the_policy_are_the_tails() {
    let files = Files::new();
    let both = [files.file("stripped.txt", STRIPPED), files.file("accepted.txt", ACCEPTED)];
    for (flags, want) in [
        (&["--json"][..], &[426][..]),
        (&["--json", "--all"], &[426, 101]),
        (&["--json", "--all", "--status", "101"], &[101]),
        (&["--json", "--cause", "upgrade-stripped"], &[426]),
        (&["--json", "--cause", "unknown"], &[]),
        (&["--json", "--origin", "https://other.example"], &[]),
        (&["--json", "--role", "client"], &[]),
    ] {
        let output = replay(flags, &both);
        let statuses: Vec<_> =
            events(&output).iter().map(|event| event["status"].clone()).collect();
        assert_eq!(statuses, want, "{flags:?}");
        assert!(output.status.success());
    }
    let own = ["--json", "--all", "--allow-origin", r"https://app\.example"];
    assert!(events(&replay(&own, &both)).iter().all(|event| event["policy"] == "allowed"));
    let others = ["--json", "--all", "--allow-origin", r"https://other\.example"];
    assert!(events(&replay(&others, &both)).iter().all(|event| event["policy"] == "foreign"));
}

#[test]
fn when_nothing_is_shown_it_says_why() {
    let files = Files::new();
    let output = replay(&[], &[files.file("accepted.txt", ACCEPTED)]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(
        said(&output).contains("accepted.txt: handshakes found: 1, none passes"),
        "{}",
        said(&output)
    );
    let empty = files.file("empty.pcap", pcap_header());
    let output = replay(&[], &[empty]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(said(&output).contains("no WebSocket handshake"), "{}", said(&output));
}

#[test]
fn it_reads_standard_input() {
    let mut child =
        command(&["--json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(STRIPPED.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(events(&output).len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_fails_and_the_others_are_told() {
    let files = Files::new();
    let damaged = [pcap_header(), vec![1; 10]].concat();
    let all = [
        files.directory.path().join("missing.pcap"),
        files.file("stripped.txt", STRIPPED),
        files.file("damaged.pcap", damaged),
        files.file("noise", [0xff; 64]),
    ];
    let output = replay(&["--json"], &all);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(events(&output).len(), 1);
    let said = said(&output);
    for (name, what) in
        [("missing.pcap", "cannot be read"), ("damaged.pcap", "damaged"), ("noise", "neither")]
    {
        let line = said.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.starts_with("wstap: ") && line.contains(what), "{line}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
}

/// The header of a little-endian pcap of Ethernet frames.
fn pcap_header() -> Vec<u8> {
    let fields: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1];
    fields.into_iter().flat_map(u32::to_le_bytes).collect()
}
