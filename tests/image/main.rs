//! The container image: built as shipped, run as the DaemonSet would run it, and it captures.
//!
//! `WSTAP_BINARY` names the static binary that goes into it; `cargo xtask test --image` builds one.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::http::{self, Answer};
use wstap_tests::node::Node;
use wstap_tests::process::Process;
use wstap_tests::{scratch, wait_for, workspace};

const IMAGE: &str = "localhost/wstap:under-test";
const CONTAINER: &str = "wstap-under-test";
const ORIGIN: &str = "https://image.example";

/// podman, in the way that also works inside of a container with a hybrid cgroup tree.
fn podman(arguments: &[&str]) -> Command {
    let mut podman = Command::new("podman");
    podman.args(["--cgroup-manager=cgroupfs", "--runtime=runc"]).args(arguments);
    podman
}

/// Runs a command; what it printed when it succeeds.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().context("podman and deploy/image/build.sh can be started")?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}\n{text}");
    Ok(text.into_owned())
}

/// Removes the container, whatever became of the test.
struct Container;

impl Drop for Container {
    fn drop(&mut self) {
        let _output = podman(&["rm", "--force", "--time=1", CONTAINER]).output();
    }
}

#[test]
fn the_image_captures_without_root_and_without_new_privileges() -> Result<()> {
    let folder = scratch("image")?;
    let deploy = workspace().join("deploy");
    let mut build = Command::new(deploy.join("image/build.sh"));
    succeed(build.arg(IMAGE).current_dir(workspace()))?;

    let _container = Container;
    drop(Container);
    let cgroup = wstap::kernel::cgroup2_mount().context("a cgroup v2 mount")?;
    let mut run = podman(&["run", "--name", CONTAINER, "--network=none", "--read-only"]);
    run.args(["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096", "--cap-drop=all"])
        .args(["--cap-add=BPF", "--cap-add=PERFMON", "--cap-add=NET_ADMIN"])
        .arg("--security-opt=no-new-privileges")
        .arg(format!("--security-opt=seccomp={}", deploy.join("seccomp/wstap.json").display()))
        .arg(format!("--volume={}:/host/cgroup:ro", cgroup.display()))
        .arg(format!(
            "--volume={}:/etc/wstap/config.toml:ro",
            deploy.join("kustomize/base/config.toml").display()
        ))
        .args(["--mount=type=tmpfs,destination=/run/wstap,tmpfs-mode=0777", IMAGE, "run"]);
    let mut agent = Process::start("podman-run", &mut run, &folder)?;
    wait_for("the agent in the container", || {
        agent.check_alive()?;
        Ok(agent.log().contains("ready: ").then_some(()))
    })?;

    let pid = succeed(&mut podman(&["inspect", "--format={{.State.Pid}}", CONTAINER]))?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()))?;
    // CAP_NET_ADMIN (12), CAP_PERFMON (38) and CAP_BPF (39), and nothing else.
    for line in ["Uid:\t65532\t", "CapEff:\t000000c000001000", "CapBnd:\t000000c000001000"] {
        ensure!(status.contains(line), "{line}\n{status}");
    }
    ensure!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");

    let mut tail = podman(&["exec", CONTAINER, "/wstap", "tail", "--json", "--origin", ORIGIN]);
    let (_tail, lines) = Process::start_with_lines("tail", &mut tail, &folder)?;
    let node = Node::start(&folder, "tests/live/servers/ws.js", &["::"])?;
    let request = http::upgrade("/reject/403", "here.example", ORIGIN);
    let event: Value = wait_for("an event from the container", || {
        // The tail may have joined only after an earlier one.
        ensure!(http::ask(node.address(), request.as_bytes())? == Answer::Status(403));
        let line = lines.next_within(std::time::Duration::from_millis(500));
        line.map(|line| serde_json::from_str(&line).context(line)).transpose()
    })?;
    ensure!(event["outcome"] == "rejected" && event["status"] == 403, "{event}");

    agent.signal(rustix::process::Signal::TERM)?;
    ensure!(agent.wait()?.success(), "{}", agent.log());
    Ok(())
}
