//! The container image: built as shipped, run as the DaemonSet would run it, and it tells what an agent of root tells.
//!
//! `WSTAP_BINARY` names the static binary that goes into it; `cargo xtask test --image` builds one.

#![expect(clippy::indexing_slicing, reason = "a test that ends there has found something")]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::http::{self, Answer};
use wstap_tests::node::Node;
use wstap_tests::process::{Lines, Process};
use wstap_tests::{free_port, results, scratch, wait_for, workspace};

const IMAGE: &str = "localhost/wstap:under-test";
const CONTAINER: &str = "wstap-under-test";
const ORIGIN: &str = "https://image.example";
const SERVER: &str = "wstap-served";

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
struct Container(&'static str);

impl Drop for Container {
    fn drop(&mut self) {
        let _output = podman(&["rm", "--force", "--time=1", self.0]).output();
    }
}

#[test]
fn the_image_captures_without_root_and_without_new_privileges() -> Result<()> {
    let folder = scratch("image")?;
    let deploy = workspace().join("deploy");
    let mut build = Command::new(deploy.join("image/build.sh"));
    succeed(build.arg(IMAGE).current_dir(workspace()))?;

    drop(Container(CONTAINER));
    let _container = Container(CONTAINER);
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
    // It could come by CAP_NET_ADMIN (12), CAP_PERFMON (38) and CAP_BPF (39) only, and has given them up.
    for line in ["Uid:\t65532\t", "CapBnd:\t000000c000001000"] {
        ensure!(status.contains(line), "{line}\n{status}");
    }
    let kept = |set: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(set));
        u64::from_str_radix(line.unwrap_or_default().trim(), 16)
    };
    // Before Linux 5.19 CAP_BPF is needed to read maps.
    ensure!((kept("CapEff:")? | kept("CapPrm:")?) & !(1 << 39) == 0, "{status}");
    ensure!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");

    let mut tail = podman(&["exec", CONTAINER, "/wstap", "tail", "--json", "--all", "--closures"]);
    tail.args(["--origin", ORIGIN, "--origin", JOINED]);
    let (_tail, lines) = Process::start_with_lines("tail", &mut tail, &folder)?;
    let node = Node::start(&folder, "tests/live/servers/ws.js", &["::"])?;
    joined(&lines, node.address())?;

    // Beside it an agent that root started, with nothing taken from it.
    let root = Agent::start_program(root_binary()?, &folder, &[])?;
    let tail_of_root = root.tail(&["--all", "--closures", "--origin", ORIGIN])?;
    let visits = results::visit(node.address(), ORIGIN)?;
    let as_root = results::events(&tail_of_root)?;
    let in_container = results::comparable(lines.until_quiet(results::QUIET), JOINED)?;
    results::same_events(&as_root, &in_container)?;
    ensure!(as_root.len() >= visits * 2, "{as_root:#?}");
    a_container_of_podman_has_its_id(&folder, &root)?;
    root.stop()?;

    agent.signal(rustix::process::Signal::TERM)?;
    ensure!(agent.wait()?.success(), "{}", agent.log());
    Ok(())
}

/// What shows that a tail has joined.
const JOINED: &str = "https://joined.example";

/// Waits until the container's tail is told of events.
fn joined(lines: &Lines, server: SocketAddr) -> Result<()> {
    wait_for("an event from the container", || {
        let request = http::upgrade("/reject/403", "here.example", JOINED);
        ensure!(http::ask(server, request.as_bytes())? == Answer::Status(403));
        Ok(lines.next_within(std::time::Duration::from_millis(500)))
    })
    .map(drop)
}

/// The same static binary, as root runs it: a copy, because the file capabilities of another one would be its own.
fn root_binary() -> Result<Command> {
    Ok(Command::new(std::env::var("WSTAP_BINARY").context("WSTAP_BINARY")?))
}

/// A server in a container of podman, on the host's network: its events carry the id that podman shows.
fn a_container_of_podman_has_its_id(folder: &Path, agent: &Agent) -> Result<()> {
    let context = folder.join("busybox");
    std::fs::create_dir_all(&context)?;
    std::fs::copy("/bin/busybox", context.join("busybox"))?;
    std::fs::write(context.join("Containerfile"), "FROM scratch\nCOPY busybox /busybox\n")?;
    let image = "localhost/wstap-served:under-test";
    succeed(podman(&["build", "--tag", image]).arg(&context))?;
    drop(Container(SERVER));
    let _container = Container(SERVER);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut run = podman(&["run", "--detach", "--name", SERVER, "--network=host"]);
    run.args(["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096", image, "/busybox"]);
    succeed(run.args(["httpd", "-f", "-p", &server.to_string()]))?;
    wait_for("busybox in its container", || Ok(TcpStream::connect(server).ok()))?;
    let id = succeed(&mut podman(&["inspect", "--format={{.Id}}", SERVER]))?;

    let tail = agent.tail(&["--role", "server", "--origin", JOINED])?;
    http::ask(server, http::upgrade("/nothing", "here.example", JOINED).as_bytes())?;
    let event: Value = tail.next(|event| event["local"] == server.to_string())?;
    ensure!(event["status"] == 404 && event["container"]["id"] == id.trim(), "{id}\n{event:#}");
    ensure!(event["process"]["name"] == "busybox", "{event:#}");
    Ok(())
}
