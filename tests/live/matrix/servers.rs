//! The servers of the matrix, started once, and what each of them refuses.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use wstap_tests::process::{Lines, Process};
use wstap_tests::{node, workspace};

use super::faults::Fault::{self, BadToken, WrongSubprotocol};

/// What the allow-lists hold.
pub(super) const ALLOWED: &str = "https://app.example https://app.example:8443";

/// Where the sources are.
const SOURCES: &str = "tests/live/servers/matrix";
/// Where `cargo xtask setup` installs the programs.
const PROGRAMS: &str = "target/servers/bin";

/// What a server's origin check compares `Origin` with. Read in each server's source, and seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// A list.
    List,
    /// `Host`, with its port; nothing when there is no `Origin`.
    Host,
    /// The forwarded scheme and `Host`, or the forwarded host; nothing when there is no `Origin`.
    SchemeAndHost,
}

/// A server, and what it does with handshakes that are not sound.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) check: Check,
    /// Whether it refuses version 8, and by what: most take it, some refuse it for what it lacks.
    pub(super) refuses_version_8: bool,
    /// What it does at a path that it does not serve.
    pub(super) elsewhere: Elsewhere,
    /// Whether it refuses an origin without saying so.
    pub(super) refuses_without_a_word: bool,
    /// Which faults its application refuses, each by its own words.
    pub(super) application: &'static [Fault],
    /// Whether the application does so before the handshake itself is looked at.
    pub(super) application_first: bool,
}

/// What a server does at a path that it does not serve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// 404, or 400 with a body of its own.
    NotFound,
    /// A 403 without a word, as to whomever it refuses.
    Refuses,
    /// 500: its router raises an exception.
    Fails,
    /// Closes after a second without a byte.
    Silent,
}

/// All servers.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "node_ws",
        check: Check::List,
        // It takes the origin of such a version from `Sec-WebSocket-Origin`, where browsers had it.
        refuses_version_8: true,
        elsewhere: Elsewhere::NotFound,
        refuses_without_a_word: true,
        application: &[BadToken],
        application_first: false,
    },
    Kind {
        name: "node_socketio",
        check: Check::List,
        refuses_version_8: false,
        elsewhere: Elsewhere::Silent,
        refuses_without_a_word: true,
        application: &[],
        application_first: false,
    },
    Kind {
        name: "py_websockets",
        check: Check::List,
        refuses_version_8: true,
        elsewhere: Elsewhere::NotFound,
        refuses_without_a_word: false,
        application: &[BadToken, WrongSubprotocol],
        application_first: true,
    },
    Kind {
        name: "py_tornado",
        check: Check::Host,
        refuses_version_8: true,
        elsewhere: Elsewhere::NotFound,
        refuses_without_a_word: false,
        application: &[BadToken, WrongSubprotocol],
        application_first: true,
    },
    Kind {
        name: "py_starlette",
        check: Check::List,
        refuses_version_8: true,
        elsewhere: Elsewhere::Refuses,
        refuses_without_a_word: true,
        application: &[BadToken],
        application_first: false,
    },
    Kind {
        name: "py_socketio",
        check: Check::SchemeAndHost,
        refuses_version_8: true,
        elsewhere: Elsewhere::Fails,
        refuses_without_a_word: true,
        application: &[],
        application_first: false,
    },
    Kind {
        name: "py_channels",
        check: Check::List,
        refuses_version_8: false,
        elsewhere: Elsewhere::Fails,
        refuses_without_a_word: true,
        application: &[],
        application_first: false,
    },
    Kind {
        name: "gorilla",
        check: Check::Host,
        refuses_version_8: true,
        elsewhere: Elsewhere::NotFound,
        refuses_without_a_word: false,
        application: &[BadToken, WrongSubprotocol],
        application_first: true,
    },
];

impl Kind {
    /// Whether it refuses this fault, by its own words.
    pub(super) fn can_refuse(&self, fault: Fault) -> bool {
        self.application.contains(&fault)
    }

    /// Whether it refuses this fault before it looks at the handshake itself.
    pub(super) fn asks_first(&self, fault: Fault) -> bool {
        // python websockets chooses the subprotocol last.
        let chosen_last = self.name == "py_websockets" && fault == WrongSubprotocol;
        self.application_first && self.can_refuse(fault) && !chosen_last
    }

    /// The path of a handshake with a number of its own.
    pub(super) fn path(&self, elsewhere: bool, number: usize) -> String {
        let name = self.name;
        match (elsewhere, name.ends_with("_socketio")) {
            (true, _) => format!("/{name}/elsewhere/{number}"),
            (false, true) => format!("/{name}/socket.io/{number}?EIO=4&transport=websocket"),
            (false, false) => format!("/{name}/chat/{number}"),
        }
    }

    fn command(&self) -> Command {
        let programs = workspace().join(PROGRAMS);
        let mut command = match self.name {
            "node_ws" | "node_socketio" => node::command(&format!("{SOURCES}/{}.js", self.name)),
            "gorilla" => Command::new(programs.join("gorilla")),
            "py_starlette" | "py_socketio" => {
                let mut python = Command::new(programs.join("python"));
                python.arg(workspace().join(SOURCES).join("py_uvicorn.py")).arg(self.name);
                python
            }
            name => {
                let mut python = Command::new(programs.join("python"));
                python.arg(workspace().join(SOURCES).join(format!("{name}.py")));
                python
            }
        };
        command.env("ALLOWED", ALLOWED);
        command
    }
}

/// All servers, running.
pub(super) struct Servers {
    /// Where each listens, by its name.
    pub(super) addresses: HashMap<&'static str, SocketAddr>,
    _running: Vec<(Process, Lines)>,
}

impl Servers {
    /// Starts all at the same time and waits until they listen.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let start = |kind: &Kind| Process::start_with_lines(kind.name, &mut kind.command(), folder);
        let running = KINDS.iter().map(start).collect::<Result<Vec<_>>>()?;
        let mut addresses = HashMap::new();
        for (kind, (process, lines)) in KINDS.iter().zip(&running) {
            let line = lines.next().with_context(|| format!("{}: {}", kind.name, process.log()))?;
            let port = line.strip_prefix("listening ").with_context(|| line.clone())?;
            addresses.insert(kind.name, SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)));
        }
        Ok(Self { addresses, _running: running })
    }
}
