//! Starting and ending: nothing is left behind, and what is in the way is told in one line.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use wstap_tests::agent::{Agent, binary};
use wstap_tests::{http, is_slow, scratch, wait_for};

use crate::stage::{Stage, alone};

/// The ids of the kernel's objects of a kind (`prog`, `link`, `map`) that this process holds.
pub(crate) fn held(kind: &str, process: u32) -> Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    for file in std::fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // Some are closed meanwhile.
        let text = std::fs::read_to_string(file?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix(&format!("{kind}_id:")));
        ids.extend(id.and_then(|id| id.trim().parse::<u64>().ok()));
    }
    ensure!(!ids.is_empty(), "the agent holds no {kind}");
    Ok(ids)
}

fn list(kind: &str) -> Result<Vec<Value>> {
    let output = Command::new("bpftool").args(["-j", kind, "list"]).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

/// Waits until none of the ids is in the kernel any more.
fn wait_until_gone(kind: &str, ids: &BTreeSet<u64>) -> Result<()> {
    wait_for(&format!("the end of each {kind}"), || {
        let left = list(kind)?;
        Ok((!left.iter().any(|object| object["id"].as_u64().is_some_and(|id| ids.contains(&id))))
            .then_some(()))
    })
}

#[test]
fn an_ended_agent_leaves_nothing_in_the_kernel() -> Result<()> {
    let _alone = alone();
    let signals = [Signal::KILL, Signal::TERM, Signal::INT];
    for signal in signals.into_iter().take(if is_slow() { 1 } else { 3 }) {
        let folder = scratch("ended")?;
        let mut agent = Agent::start(&folder, &[])?;
        let process = agent.process().id();
        let mut objects = Vec::new();
        for kind in ["prog", "link", "map"] {
            objects.push((kind, held(kind, process)?));
        }
        agent.process().signal(signal)?;
        let status = agent.process().wait()?;
        ensure!(status.success() == (signal != Signal::KILL), "{signal:?}: {status}");
        for (kind, ids) in &objects {
            wait_until_gone(kind, ids).with_context(|| format!("{signal:?}"))?;
        }
        // Its socket's file is in nobody's way.
        if !is_slow() {
            Agent::start(&folder, &[])?.stop()?;
        }
    }
    Ok(())
}

/// Runs the agent with arguments that cannot work; returns the one line that it says.
fn refusal(mut command: Command, arguments: &[&str]) -> Result<String> {
    let output = command.arg("run").args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code().is_some_and(|code| code != 0), "{:?}: {text}", output.status);
    let line = text.lines().find(|line| line.starts_with("wstap: ")).context(text.clone())?;
    ensure!(!text.contains("panicked"), "{text}");
    ensure!(text.lines().filter(|line| line.starts_with("wstap: ")).count() == 1, "{text}");
    Ok(line.to_owned())
}

fn arguments<'a>(socket: &'a Path, metrics: &'a str) -> Vec<&'a str> {
    vec!["--socket", socket.to_str().unwrap_or_default(), "--metrics-addr", metrics]
}

#[test]
fn a_second_agent_is_told_so_or_runs_beside_the_first() -> Result<()> {
    let stage = Stage::new("second", &[])?;
    let first_socket = stage.agent.socket();
    let line = refusal(Command::new(binary()?), &arguments(first_socket, "127.0.0.1:0"))?;
    ensure!(line.contains(&first_socket.display().to_string()), "{line}");
    let line = refusal(
        Command::new(binary()?),
        &arguments(&stage.folder.join("other.sock"), &stage.agent.address().to_string()),
    )?;
    ensure!(line.contains(&stage.agent.address().port().to_string()), "{line}");

    let folder = scratch("beside")?;
    let second = Agent::start(&folder, &[])?;
    let tail = second.tail(&["--all"])?;
    http::ask(
        stage.server(),
        http::upgrade("/reject/403", "here.example", "https://app.example").as_bytes(),
    )?;
    stage.event(|event| event["path"] == "/reject/403" && event["role"] == "server")?;
    tail.next(|event| event["path"] == "/reject/403" && event["role"] == "server")?;
    second.stop()
}

#[test]
fn what_is_in_the_way_is_told_in_one_line() -> Result<()> {
    let _alone = alone();
    let folder = scratch("refusals")?;
    let socket = folder.join("tail.sock");

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = taken.local_addr()?.to_string();
    let line = refusal(Command::new(binary()?), &arguments(&socket, &address))?;
    ensure!(line.contains(&address) && line.contains("--metrics-addr"), "{line}");

    let mut no_cgroup = arguments(&socket, "127.0.0.1:0");
    no_cgroup.extend(["--cgroup", folder.to_str().unwrap_or_default()]);
    let line = refusal(Command::new(binary()?), &no_cgroup)?;
    ensure!(line.contains("cgroup"), "{line}");

    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    unprivileged.args(["--bounding-set=-all", "--no-new-privs", "--"]).arg(public_copy()?);
    let socket = "/tmp/wstap-live-unprivileged.sock";
    let line = refusal(unprivileged, &["--socket", socket, "--metrics-addr", "127.0.0.1:0"])?;
    ensure!(line.contains("CAP_BPF") || line.contains("root"), "{line}");

    let output = Command::new(binary()?).args(["run", "--no-such-flag"]).output()?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}

/// The binary where another user may run it: the workspace may be in a closed home.
pub(crate) fn public_copy() -> Result<PathBuf> {
    let copy = std::env::temp_dir().join("wstap-live-binary");
    std::fs::copy(binary()?, &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}
