//! `cargo xtask demo`: a chat behind nginx, once right and five times wrong, and what wstap says.
//!
//! Everything is real (the agent, nginx with TLS, a Node server on `ws`, clients) and ends with
//! the demo.

mod browser;
mod report;
mod scenario;

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use wstap_tests::agent::{self, Agent};
use wstap_tests::nginx::Nginx;
use wstap_tests::node::{self, Node};
use wstap_tests::process::{Lines, Process};

use self::scenario::{SCENARIOS, Scenario};
use crate::command::{cargo, find, need_root, run as run_command};
use crate::setup::{self, Group};

/// An address of the loopback network that other servers hardly ever use, so that its port 443 is
/// free and the demo's origins read as real ones do.
const FRONT: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// An event's lines come in one piece; the next event's do not come within this.
const END_OF_EVENT: Duration = Duration::from_millis(200);

/// Runs the demo.
pub(crate) fn run() -> Result<()> {
    need_root("Capturing on this kernel", "demo")?;
    setup::run(&[Group::Bpf, Group::Servers])?;
    run_command(&mut cargo(["build", "--quiet", "--package", "wstap"]))?;

    let world = World::start()?;
    report::opening(&world.address);
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        report::scenario(index + 1, scenario);
        world.visit(scenario)?;
    }
    let metrics = world.agent.wait_for_metrics("every visit in /metrics", |metrics| {
        metrics.count("ws_handshakes_total", &[]) >= SCENARIOS.len() as u64
    })?;
    report::summary(&metrics);
    world.stop()?;
    report::closing();
    Ok(())
}

/// What runs during the demo.
struct World {
    // In the order in which they stop.
    tail: Process,
    lines: Lines,
    nginx: Nginx,
    chat: Node,
    agent: Agent,
    address: SocketAddr,
    folder: std::path::PathBuf,
}

impl World {
    fn start() -> Result<Self> {
        let folder = wstap_tests::scratch("demo")?;
        let agent = Agent::start(&folder, &[])?;
        let (tail, lines) = tail(&agent, &folder)?;
        let chat = Node::start(&folder, "xtask/demo/chat.js", &[])?;
        certificate(&folder)?;
        let address = front()?;
        let blocks: String = SCENARIOS
            .iter()
            .map(|scenario| scenario::server_block(scenario, address, chat.address(), &folder))
            .collect();
        let nginx = Nginx::start(&folder, &blocks, &[address])?;
        Ok(Self { tail, lines, nginx, chat, agent, address, folder })
    }

    /// One client visits the site: the browser where it is installed and all is right, else Node.
    fn visit(&self, scenario: &Scenario) -> Result<()> {
        let origin = self.origin(scenario);
        if let Some(chromium) = find("chromium").filter(|_| scenario.works) {
            let message =
                browser::visit(&chromium, &origin, self.address, &self.chat, &self.folder)?;
            report::client("Chromium", &message);
        } else {
            let url = format!("{}/chat", origin.replacen("https", "wss", 1));
            let output = node::command("xtask/demo/client.js")
                .args([&url, &origin, &FRONT.to_string()])
                .output()?;
            report::client("Node client", String::from_utf8_lossy(&output.stdout).trim());
        }
        if scenario.works {
            report::no_event();
            return Ok(());
        }
        report::event(&self.event()?);
        Ok(())
    }

    /// The next event of the tail: its line and those under it.
    fn event(&self) -> Result<Vec<String>> {
        let mut event = vec![self.lines.next().context("the live tail did not show the failure")?];
        while let Some(line) = self.lines.next_within(END_OF_EVENT) {
            event.push(line);
        }
        Ok(event)
    }

    fn origin(&self, scenario: &Scenario) -> String {
        match self.address.port() {
            443 => format!("https://{}", scenario.site),
            port => format!("https://{}:{port}", scenario.site),
        }
    }

    fn stop(self) -> Result<()> {
        let Self { tail, nginx, chat, agent, .. } = self;
        drop((tail, nginx, chat));
        agent.stop()
    }
}

/// The live tail as a person sees it: server role only, so that each handshake is told once.
fn tail(agent: &Agent, folder: &Path) -> Result<(Process, Lines)> {
    let mut command = Command::new(agent::binary()?);
    command.args(["tail", "--role", "server", "--socket"]).arg(agent.socket());
    if std::io::stdout().is_terminal() {
        command.env("CLICOLOR_FORCE", "1");
    }
    let started = Process::start_with_lines("tail", &mut command, folder)?;
    agent.wait_for_metrics("the tail", |metrics| metrics.count("wstap_tail_readers", &[]) > 0)?;
    Ok(started)
}

fn front() -> Result<SocketAddr> {
    let listener = TcpListener::bind((FRONT, 443)).or_else(|_| TcpListener::bind((FRONT, 0)))?;
    Ok(listener.local_addr()?)
}

fn certificate(folder: &Path) -> Result<()> {
    let names: Vec<_> = SCENARIOS.iter().map(|each| format!("DNS:{}", each.site)).collect();
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=wstap demo", "-addext"])
        .arg(format!("subjectAltName={}", names.join(",")))
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .context("cannot start openssl")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
