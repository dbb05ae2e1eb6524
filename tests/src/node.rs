//! A real Node server: a script that prints `listening PORT` when it does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{Lines, Process};
use crate::workspace;

/// Where `cargo xtask setup` installs the packages.
const MODULES: &str = "target/node/node_modules";

/// A running Node server.
#[derive(Debug)]
pub struct Node {
    process: Process,
    lines: Lines,
    address: SocketAddr,
}

impl Node {
    /// Starts a script (a path in the workspace) with arguments and waits until it listens.
    pub fn start(folder: &Path, script: &str, arguments: &[&str]) -> Result<Self> {
        let name = Path::new(script).file_stem().unwrap_or_default().to_string_lossy();
        let mut command = command(script);
        command.args(arguments);
        let (process, lines) = Process::start_with_lines(&name, &mut command, folder)?;
        let line = lines.next().with_context(|| format!("{script}: {}", process.log()))?;
        let port = line.strip_prefix("listening ").with_context(|| format!("{script}: {line}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
        Ok(Self { process, lines, address })
    }

    /// Where it listens on IPv4's loopback.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it prints after `listening PORT`.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }
}

/// A Node script of the workspace, with the packages of `cargo xtask setup`.
pub fn command(script: &str) -> Command {
    let mut command = Command::new("node");
    // Heads as large as the agent must see.
    command.arg("--max-http-header-size=131072");
    command.arg(workspace().join(script)).env("NODE_PATH", workspace().join(MODULES));
    command
}
