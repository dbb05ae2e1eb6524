//! The command line as a user meets it: exit codes, one clear line, nothing half done.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Command, Output, Stdio},
};

fn wstap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wstap"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WSTAP_") {
            command.env_remove(name);
        }
    }
    command.env("WSTAP_CONFIG", "/dev/null").args(arguments).stdin(Stdio::null());
    command
}

/// Standard error, which must be one line, of a run that must fail with this exit code.
fn complaint(output: &Output, code: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    if code == 1 {
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("wstap: "), "{said}");
    }
    said
}

#[test]
fn lint_tells_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let sound = "server {\nlocation /ws/ {\nproxy_pass http://a;\nproxy_http_version 1.1;\n\
                 proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection upgrade;\n\
                 proxy_set_header Host $http_host;\n}\n}\n";
    let sound = file("sound.conf", sound);
    let broken = file("broken.conf", "server {\nlocation /ws/ {\nproxy_pass http://a;\n}\n}\n");
    let vague = file("vague.conf", "server {\nlocation / {\nproxy_pass http://a;\n}\n}\n");
    let nothing = file("nothing", "hello\n");
    let torn = file("torn.conf", "server {\nlocation /ws/ {\n");
    let chart = file("chart.yaml", "kind: Ingress\nmetadata:\n  name: {{ .Values.name }}\n");
    for (arguments, code) in [
        (&[sound.as_str()][..], 0),
        (&[&broken], 1),
        (&[&broken, "--fix"], 1),
        (&[&vague], 0),
        (&[&vague, "--strict"], 5),
        (&[&chart, "--strict"], 5),
        (&[&nothing], 2),
        (&[&torn], 2),
        (&[&sound, "--nginx-version", "new"], 2),
        (&["nowhere.conf"], 2),
    ] {
        let output = wstap(&["lint"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
    let output = wstap(&["lint", &broken, "--fix"]).output().unwrap();
    let diff = String::from_utf8(output.stdout).unwrap();
    assert!(diff.contains("\n+    proxy_set_header Upgrade $http_upgrade;\n"), "{diff}");
    let output = wstap(&["lint", &broken]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("broken.conf:2") && table.contains("upgrade-stripped"), "{table}");
}

#[test]
fn a_bad_flag_exits_with_2() {
    for arguments in [
        &["run", "--nonsense"][..],
        &["run", "--metrics-addr", "nowhere"],
        &["run", "--handshake-timeout", "soon"],
        &["tail", "--status", "teapot"],
        &["tail", "--cause", "bad-luck"],
        &["nonsense"],
        &[],
    ] {
        complaint(&wstap(arguments).output().unwrap(), 2);
    }
}

#[test]
fn the_version_and_the_help_go_to_standard_output() {
    for (argument, want) in [("--version", env!("CARGO_PKG_VERSION")), ("--help", "Usage: wstap")] {
        let output = wstap(&[argument]).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(want));
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, "max-origins = 1\nsocket = \"/file\"\nroles = [\"client\"]\n").unwrap();
    let output = wstap(&["run", "--check-config", "--socket", "/flag", "--config"])
        .arg(&file)
        .env("WSTAP_MAX_ORIGINS", "2")
        .env("WSTAP_SOCKET", "/environment")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for line in ["max-origins = 2", "socket = \"/flag\"", "roles = [\"client\"]"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}

#[test]
fn a_bad_configuration_is_one_line_with_file_line_and_advice() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    for (text, want) in [
        ("\nmetric-addr = 1", "line 2: unknown key `metric-addr`: did you mean `metrics-addr`?"),
        ("max-origins = 0", "--max-origins 0 is out of bounds: choose a value from 1 to 2000"),
        ("allow-origin = ['.*']", "matches every origin"),
        ("allow-origin = ['(']", "is not a regular expression"),
        ("roles = 3", "line 1: "),
    ] {
        fs::write(&file, text).unwrap();
        let output = wstap(&["run", "--check-config", "--config"]).arg(&file).output().unwrap();
        let said = complaint(&output, 1);
        assert!(said.contains(want), "{text}: {said}");
    }
    fs::remove_file(&file).unwrap();
    let output = wstap(&["run", "--config"]).arg(&file).output().unwrap();
    assert!(complaint(&output, 1).contains("cannot read"));
}

#[test]
fn a_port_or_a_socket_in_use_is_told_before_anything_is_attached() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("tail.sock");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    let run = |address: &str| {
        let output = wstap(&["run", "--metrics-addr", address, "--socket"]).arg(&socket).output();
        complaint(&output.unwrap(), 1)
    };
    assert!(run(&address).contains("the port is in use: choose another --metrics-addr"));
    assert!(!socket.exists());
    let _agent = UnixListener::bind(&socket).unwrap();
    let said = run("127.0.0.1:0");
    assert!(said.contains("another agent serves") && said.contains("--socket"), "{said}");
}

#[test]
fn completions_and_the_manual_page_can_be_piped_and_cut() {
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"], &["man"]] {
        let output = wstap(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8(output.stdout).unwrap().contains("wstap"));
        // A pipe that nobody reads.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = wstap(arguments).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn top_without_a_terminal_names_tail() {
    let said = complaint(&wstap(&["top"]).output().unwrap(), 1);
    assert!(said.contains("terminal") && said.contains("wstap tail"), "{said}");
}
