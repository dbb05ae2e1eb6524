//! `wstap doctor` and the self-test: an agent that sees is told from one that does not.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::{Agent, binary};
use wstap_tests::process::Process;
use wstap_tests::{cgroup2, free_port, http, is_since, left_out, scratch, wait_for};

use crate::lifecycle::public_copy;
use crate::namespace::{self, Namespace};
use crate::probe::has_probes;
use crate::stage::alone;

/// What `wstap doctor --json` says, and whether it ends with success.
fn doctor(mut command: Command, arguments: &[&str]) -> Result<(Value, bool)> {
    let output = command.args(["doctor", "--json"]).args(arguments).output()?;
    let report = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((report, output.status.success()))
}

/// The check of this name.
fn check<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let checks = report["checks"].as_array().context("checks")?;
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("{report:#}"))
}

fn ensure_status(report: &Value, name: &str, status: &str) -> Result<()> {
    let check = check(report, name)?;
    ensure!(check["status"] == status, "{check:#}");
    ensure!((status == "fine") == check["advice"].is_null(), "{check:#}");
    Ok(())
}

#[test]
fn the_doctor_finds_this_host_fit() -> Result<()> {
    let _alone = alone();
    let (report, success) = doctor(Command::new(binary()?), &[])?;
    ensure!(success && report["can_capture"] == true, "{report:#}");
    for name in ["kernel", "cgroup v2", "capabilities", "cgroup hooks", "self-test"] {
        ensure_status(&report, name, "fine")?;
    }
    ensure_status(&report, "probe hooks", if has_probes()? { "fine" } else { "degraded" })?;

    let output = Command::new(binary()?).arg("doctor").output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && text.contains("\nfine      self-test "), "{text}");
    Ok(())
}

#[test]
fn the_doctor_says_what_is_missing_without_capabilities() -> Result<()> {
    let _alone = alone();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    command.args(["--bounding-set=-all", "--no-new-privs", "--"]);
    command.arg(public_copy()?);
    let (report, success) = doctor(command, &[])?;
    ensure!(!success && report["can_capture"] == false, "{report:#}");
    ensure_status(&report, "capabilities", "missing")?;
    ensure_status(&report, "cgroup hooks", "missing")?;
    let advice = &check(&report, "cgroup hooks")?["advice"];
    ensure!(advice.as_str().is_some_and(|advice| advice.contains("CAP_BPF")), "{advice}");
    Ok(())
}

/// A cgroup of its own, below the root.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Result<Self> {
        let folder = cgroup2()?.join(name);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The agent's program, in this cgroup.
    fn program(&self) -> Result<Command> {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"", self.path()]);
        command.arg(binary()?);
        Ok(command)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that just ended may hold it for a moment.
        let _removed = wait_for("the cgroup to be empty", || {
            Ok(fs::remove_dir(&self.0).is_ok().then_some(()))
        });
    }
}

#[test]
fn an_agent_outside_of_its_cgroup_is_ready_without_a_test() -> Result<()> {
    let _alone = alone();
    let cgroup = Cgroup::new("wstap-live-outside")?;
    let mut agent = Agent::start(&scratch("outside")?, &["--cgroup", cgroup.path()])?;
    let log = agent.process().log();
    ensure!(log.contains("no self-test") && log.contains(cgroup.path()), "{log}");
    agent.stop()?;
    let (report, success) = doctor(Command::new(binary()?), &["--cgroup", cgroup.path()])?;
    ensure!(success, "{report:#}");
    ensure_status(&report, "cgroup v2", "degraded")?;
    ensure_status(&report, "cgroup hooks", "fine")?;
    ensure_status(&report, "self-test", "unknown")
}

#[test]
fn its_own_handshake_is_in_no_metric_and_an_ordinary_one_for_others() -> Result<()> {
    let _alone = alone();
    let cgroup = Cgroup::new("wstap-live-inside")?;
    let other = Agent::start(&scratch("inside-other")?, &["--roles", "server,client"])?;
    let tail = other.tail(&["--all", "--closures"])?;
    let folder = scratch("inside")?;
    // In this cgroup there is nobody else.
    let arguments = ["--cgroup", cgroup.path(), "--roles", "server,client"];
    let agent = Agent::start_program(cgroup.program()?, &folder, &arguments)?;
    let own = |event: &Value| {
        event["path"].as_str().is_some_and(|path| path.starts_with("/wstap-self-test/"))
    };
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = tail.next(own)?;
        if event["type"] == "handshake" {
            ensure!(event["outcome"] == "accepted" && event["cause"].is_null(), "{event:#}");
        } else {
            ensure!(event["code"] == 1000 && event["clean"] == true, "{event:#}");
        }
        seen.push((event["type"].to_string(), event["role"].to_string()));
    }
    seen.sort_unstable();
    seen.dedup();
    ensure!(seen.len() == 4, "{seen:?}");
    let metrics = agent.metrics()?;
    ensure!(metrics.count("wstap_records_delivered_total", &[]) > 0);
    for name in ["ws_handshakes_total", "ws_closures_total", "ws_connections_active"] {
        ensure!(metrics.count(name, &[]) == 0, "{:#?}", metrics.of(name).collect::<Vec<_>>());
    }
    agent.stop()?;
    other.stop()
}

#[test]
fn an_agent_that_sees_nothing_says_so_and_is_ready_once_it_sees() -> Result<()> {
    let _alone = alone();
    if !is_since((6, 9))? {
        left_out(
            "net.core.optmem_max is the host's before Linux 6.9, and not for a test to change",
        );
        return Ok(());
    }
    let space = Namespace::new("wstap-blind")?;
    // With so little of it no state is stored.
    let limit = |bytes: u32| -> Result<()> {
        let setting = format!("echo {bytes} > \"$0\"");
        let file = "/proc/sys/net/core/optmem_max";
        let output = inside(&space).args(["sh", "-c", &setting, file]).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    };
    limit(64)?;
    let folder = scratch("blind")?;
    let metrics = SocketAddr::from((namespace::THERE, free_port()?));
    let mut command = inside(&space);
    command.arg(binary()?).args(["run", "--metrics-addr", &metrics.to_string()]);
    command.arg("--socket").arg(folder.join("tail.sock"));
    command.env("WSTAP_LOG", "info,wstap_ebpf=debug");
    let mut agent = Process::start("wstap", &mut command, &folder)?;
    let wait_for_ready = |process: &mut Process, status: u16, words: &str| {
        wait_for("/readyz", || {
            process.check_alive()?;
            let answer = http::get(metrics, "/readyz").ok();
            Ok(answer.filter(|(found, text)| *found == status && text.contains(words)))
        })
        .with_context(|| process.log())
    };
    wait_for_ready(&mut agent, 503, "net.core.optmem_max")?;
    ensure!(agent.log().contains("attached, but blind"), "{}", agent.log());
    // The programs themselves say so too, as it was asked for.
    ensure!(agent.log().contains("the kernel refused to store"), "{}", agent.log());
    limit(131_072)?;
    wait_for_ready(&mut agent, 200, "ready")?;
    ensure!(agent.stop()?.success());
    Ok(())
}

/// A program in the network namespace, with the host's view of everything else.
fn inside(space: &Namespace) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", space.0));
    command
}
