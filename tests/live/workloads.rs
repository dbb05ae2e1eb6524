//! Without Kubernetes: the systemd service of an event, by its cgroup, and a container's id without a runtime to ask.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::node;
use wstap_tests::process::Process;
use wstap_tests::{http, scratch};

use crate::stage::alone;

const ORIGIN: &str = "https://workloads.example";

/// A cgroup of the test's own, removed with the value.
struct Cgroup {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    fn new(path: &str) -> Result<Self> {
        let root = wstap::kernel::cgroup2_mount().context("a cgroup v2 mount")?;
        let mut this = Self { folders: Vec::new(), root };
        let mut folder = this.root.clone();
        for part in path.split('/') {
            folder.push(part);
            fs::create_dir(&folder)?;
            this.folders.push(folder.clone());
        }
        Ok(this)
    }

    fn processes(&self) -> Result<PathBuf> {
        Ok(self.folders.last().context("a folder")?.join("cgroup.procs"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            for process in
                fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines()
            {
                let _moved = fs::write(self.root.join("cgroup.procs"), process);
            }
            let _removed = fs::remove_dir(folder);
        }
    }
}

/// A server in the cgroup answers a handshake; its event, and what its metrics were counted under.
fn told(folder: &Path, cgroup: &Cgroup) -> Result<(serde_json::Value, String)> {
    let agent = Agent::start(folder, &["--workload-labels"])?;
    let tail = agent.tail(&["--origin", ORIGIN, "--role", "server"])?;
    // A listener belongs to the cgroup in which it was made, and its connections do.
    let script = node::command("tests/live/servers/ws.js");
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(cgroup.processes()?);
    command.arg(script.get_program()).args(script.get_args()).arg("::");
    for (name, value) in script.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let (node, lines) = Process::start_with_lines("node", &mut command, folder)?;
    let port: u16 = lines.next()?.trim_start_matches("listening ").parse()?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    http::ask(server, http::upgrade("/reject/403", "here.example", ORIGIN).as_bytes())?;
    let event = tail.next(|_| true)?;
    let metrics = agent.wait_for_metrics("the handshake", |metrics| {
        metrics.count("ws_handshakes_total", &[("origin", ORIGIN)]) == 1
    })?;
    let sample = metrics.of("ws_handshakes_total").find(|sample| sample.label("origin") == ORIGIN);
    let sample = sample.context("it was counted")?;
    let labels = format!("{}/{}", sample.label("namespace"), sample.label("workload"));
    drop(node);
    agent.stop()?;
    Ok((event, labels))
}

#[test]
fn a_service_is_named_and_counted_as_the_workload() -> Result<()> {
    let _alone = alone();
    let folder = scratch("service")?;
    let cgroup = Cgroup::new("wstap-live.slice/chat@eu.service")?;
    let (event, labels) = told(&folder, &cgroup)?;
    ensure!(event["unit"] == "chat@eu.service" && event["container"].is_null(), "{event:#}");
    ensure!(event["process"]["name"] == "node", "{event:#}");
    ensure!(labels == "none/chat@eu.service", "{labels}");
    Ok(())
}

#[test]
fn a_container_has_its_id_without_a_runtime_and_counts_as_its_process() -> Result<()> {
    let _alone = alone();
    let folder = scratch("container-id")?;
    let id = "0b8a6c9d1e2f30415263748596a7b8c9dae0f1021324354657687980a1b2c3d4";
    // As podman's systemd driver makes them.
    let cgroup = Cgroup::new(&format!("wstap-live.slice/libpod-{id}.scope/container"))?;
    let (event, labels) = told(&folder, &cgroup)?;
    ensure!(event["container"]["id"] == id && event["unit"].is_null(), "{event:#}");
    ensure!(labels == "none/node", "{labels}");
    Ok(())
}
