//! The agent, started as a user starts it: `wstap run`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::metrics::Metrics;
use crate::process::Process;
use crate::tail::Tail;
use crate::{free_port, http, wait_for};

/// A running agent with a socket and a port of its own.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    metrics: SocketAddr,
    socket: PathBuf,
    folder: PathBuf,
}

impl Agent {
    /// Starts the agent with further arguments and waits until `/readyz` says that it captures.
    pub fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_program(Command::new(binary()?), folder, arguments)
    }

    /// The same with a program of another profile, or behind another program.
    pub fn start_program(mut command: Command, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let socket = folder.join("tail.sock");
        command.arg("run").args(["--metrics-addr", &metrics.to_string()]);
        command.arg("--socket").arg(&socket).args(arguments);
        let mut process = Process::start("wstap", &mut command, folder)?;
        wait_for("the agent's /readyz", || {
            process.check_alive()?;
            Ok(http::get(metrics, "/readyz").ok().filter(|(status, _)| *status == 200))
        })
        .with_context(|| process.log())?;
        Ok(Self { process, metrics, socket, folder: folder.to_owned() })
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where it serves `/metrics`.
    pub fn address(&self) -> SocketAddr {
        self.metrics
    }

    /// Its tail socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// One scrape.
    pub fn metrics(&self) -> Result<Metrics> {
        let (status, text) = http::get(self.metrics, "/metrics")?;
        ensure!(status == 200, "/metrics answered {status}: {text}");
        Ok(Metrics::parse(&text))
    }

    /// Waits until the metrics are as wanted; the error shows the last scrape's handshakes.
    pub fn wait_for_metrics(
        &self,
        what: &str,
        wanted: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics> {
        let mut last = Metrics::default();
        wait_for(what, || {
            last = self.metrics()?;
            Ok(wanted(&last).then(|| last.clone()))
        })
        .with_context(|| format!("{:#?}", last.of("ws_handshakes_total").collect::<Vec<_>>()))
    }

    /// `wstap tail --json` on this agent, with further arguments.
    pub fn tail(&self, arguments: &[&str]) -> Result<Tail> {
        Tail::start(self, &self.folder, arguments)
    }

    /// Ends it with SIGTERM; an error when it does not end with success.
    pub fn stop(self) -> Result<()> {
        let status = self.process.stop()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

/// The built `wstap`: the one that `WSTAP_BINARY` names, or beside the program that asks (a test in `deps/`, or xtask).
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WSTAP_BINARY") {
        return Ok(named.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("wstap"));
    beside
        .into_iter()
        .find(|file| file.is_file())
        .context("wstap is not built: `cargo build`, or `cargo xtask test` does it all")
}
