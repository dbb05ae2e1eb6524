//! Least privilege: what the agent runs with, and that it tells the same as one that root started.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::{is_since, results};

use crate::lifecycle::public_copy;
use crate::stage::Stage;

/// The user and the group that own nothing.
const NOBODY: u32 = 65_534;
const ORIGIN: &str = "https://privileges.example";
const CAP_DAC_READ_SEARCH: u64 = 1 << 2;
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_BPF: u64 = 1 << 39;

/// The value of a line of a thread's status in hexadecimal digits.
fn bits(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    Ok(u64::from_str_radix(line.with_context(|| format!("{name}: {status}"))?.trim(), 16)?)
}

/// Every thread of the process has no capability but those that it may keep, and cannot come by any.
fn has_shed(process: u32, may_keep: u64) -> Result<usize> {
    // From then on a process reads its own maps without it.
    let may_keep = may_keep | if is_since((5, 19))? { 0 } else { CAP_BPF };
    let threads: Vec<_> =
        fs::read_dir(format!("/proc/{process}/task"))?.collect::<Result<_, _>>()?;
    for thread in &threads {
        let status = fs::read_to_string(thread.path().join("status"))?;
        for set in ["CapEff", "CapPrm"] {
            ensure!(bits(&status, set)? & !may_keep == 0, "{set}\n{status}");
        }
        for set in ["CapInh", "CapAmb"] {
            ensure!(bits(&status, set)? == 0, "{set}\n{status}");
        }
        ensure!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    Ok(threads.len())
}

/// Starts the agent as a user who owns nothing, with the three capabilities.
fn start_unprivileged(arguments: &[&str]) -> Result<Agent> {
    let folder = std::env::temp_dir().join("wstap-live-capabilities");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY))?;
    let capabilities = "+bpf,+perfmon,+net_admin";
    let mut command = Command::new("setpriv");
    if !is_since((5, 11))? {
        // BPF memory is charged to this limit, which these capabilities do not raise.
        command = Command::new("prlimit");
        command.args(["--memlock=unlimited", "setpriv"]);
    }
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.arg(format!("--inh-caps=-all,{capabilities}"));
    command.arg(format!("--ambient-caps=-all,{capabilities}"));
    command.arg(format!("--bounding-set=-all,{capabilities}"));
    command.arg("--").arg(public_copy()?);
    Agent::start_program(command, &folder, arguments)
}

#[test]
fn three_capabilities_are_enough_and_are_given_up_and_the_results_are_roots() -> Result<()> {
    let mut stage = Stage::new("privileges", &[])?;
    let mut other = start_unprivileged(&[])?;
    let wanted = ["--all", "--closures", "--origin", ORIGIN];
    let (tail, tail_of_root) = (other.tail(&wanted)?, stage.agent.tail(&wanted)?);
    let root = stage.agent.process().id();
    let threads = has_shed(root, CAP_SYS_PTRACE | CAP_DAC_READ_SEARCH)?;
    let threads = threads.min(has_shed(other.process().id(), 0)?);
    ensure!(threads >= 4, "the capture, what names and what serves: {threads}");

    let visits = results::visit(stage.server(), ORIGIN)?;
    let (as_root, as_other) = (results::events(&tail_of_root)?, results::events(&tail)?);
    results::same_events(&as_root, &as_other)?;
    // In each role, and the end of what was accepted.
    ensure!(as_root.len() >= visits * 2, "{as_root:#?}");
    results::same_counters(&stage.agent, &other, ORIGIN)?;

    // What is read later is there: the programs' cost, and a thread that came later has no more than the others.
    let cost = |agent: &Agent| -> Result<usize> {
        Ok(agent.metrics()?.of("wstap_program_runs_total").count())
    };
    ensure!(cost(&stage.agent)? >= 3 && cost(&stage.agent)? == cost(&other)?);
    has_shed(root, CAP_SYS_PTRACE | CAP_DAC_READ_SEARCH)?;
    has_shed(other.process().id(), 0)?;
    socket_is_closed_to_others(other.socket())?;
    memory_is_closed_to_its_user(other.process().id())?;
    other.stop()
}

/// The tail socket is for its owner and group.
fn socket_is_closed_to_others(socket: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(socket)?.permissions().mode() & 0o777;
    ensure!(mode == 0o660, "{mode:o}");
    Ok(())
}

/// Another process of the same user reads nothing of it, and a crash leaves no core.
fn memory_is_closed_to_its_user(process: u32) -> Result<()> {
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(format!("/proc/{process}/environ"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("Permission denied"), "{output:?}");
    Ok(())
}
