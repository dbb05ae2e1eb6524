//! What goes away, breaks or stalls around the agent: it says so and goes on, or ends at once.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use wstap_tests::agent::{Agent, binary};
use wstap_tests::http::{self, Answer};
use wstap_tests::{cgroup2, free_port, scratch, wait_for};

use crate::stage::{Stage, alone};

const ORIGIN: &str = "https://robust.example";

/// Makes a handshake from within a cgroup.
fn visit_from(folder: &Path, stage: &Stage, path: &str) -> Result<()> {
    let script = "echo 0 > \"$1/cgroup.procs\" && exec 3<>\"/dev/tcp/127.0.0.1/$2\" && \
        printf '%s' \"$3\" >&3 && head -n 1 <&3";
    let request = http::upgrade(path, "here.example", ORIGIN);
    let visit = Command::new("bash")
        .args(["-c", script, "visit"])
        .arg(folder)
        .args([&stage.server().port().to_string(), &request])
        .output()?;
    ensure!(visit.status.success(), "{visit:?}");
    Ok(())
}

#[test]
fn a_watched_folder_that_is_removed_is_told_and_its_successor_is_watched() -> Result<()> {
    let folder = cgroup2()?.join("wstap-live-folder");
    if folder.exists() {
        fs::remove_dir(&folder)?;
    }
    fs::create_dir(&folder)?;
    let name = folder.display().to_string();
    let mut stage = Stage::new("folder", &["--cgroup", &name])?;
    visit_from(&folder, &stage, "/reject/403/before")?;
    stage.event(|event| event["path"] == "/reject/403/before")?;

    wait_for("the removal", || Ok(fs::remove_dir(&folder).ok()))?;
    let ready = |stage: &Stage| http::get(stage.agent.address(), "/readyz");
    let (_, why) = wait_for("/readyz to say so", || {
        Ok(Some(ready(&stage)?).filter(|(status, _)| *status == 503))
    })?;
    ensure!(why.contains(&name) && why.contains("gone"), "{why}");
    ensure!(stage.agent.process().log().contains("nothing is seen until it is there again"));

    fs::create_dir(&folder)?;
    wait_for("/readyz again", || Ok(Some(ready(&stage)?).filter(|(status, _)| *status == 200)))?;
    visit_from(&folder, &stage, "/reject/403/behind")?;
    stage.event(|event| event["path"] == "/reject/403/behind")?;
    drop(stage);
    wait_for("the end of the folder", || Ok(fs::remove_dir(&folder).ok()))
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing_and_holds_up_nothing() -> Result<()> {
    let _alone = alone();
    let folder = scratch("no-log")?;
    // Nobody reads, the disk is full, and what there is has a reader that has gone.
    for log in ["2>/dev/full", "2> >(sleep 600)", "2> >(exec true)"] {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec \"$@\" {log}"), "bash"]).arg(binary()?);
        // Enough to fill a pipe many times over.
        command.env("WSTAP_LOG", "trace");
        let agent = Agent::start_program(command, &folder, &[])?;
        for _ in 0..50 {
            ensure!(http::get(agent.address(), "/healthz")?.0 == 200, "{log}");
        }
        agent.stop().with_context(|| log.to_owned())?;
    }
    Ok(())
}

#[test]
fn segv_from_outside_ends_it_the_first_time() -> Result<()> {
    let _alone = alone();
    let mut agent = Agent::start(&scratch("segv")?, &[])?;
    agent.process().signal(Signal::SEGV)?;
    let status = agent.process().wait()?;
    ensure!(status.signal() == Some(Signal::SEGV.as_raw()), "{status}");
    Ok(())
}

#[test]
fn a_pause_within_a_head_hides_nothing() -> Result<()> {
    let stage = Stage::new("slow-head", &["--handshake-timeout", "1s"])?;
    for path in ["/accept/slow", "/reject/403/slow"] {
        let request = http::upgrade(path, "here.example", ORIGIN);
        let (first, rest) = request.split_at(90);
        let mut stream = http::connect(stage.server())?;
        stream.write_all(first.as_bytes())?;
        std::thread::sleep(Duration::from_millis(1600));
        stream.write_all(rest.as_bytes())?;
        ensure!(matches!(http::answer(&mut stream)?, Answer::Status(101 | 403)));
        drop(stream);
        let event = stage.event(|event| event["path"] == path && event["role"] == "server")?;
        let outcome = if path.starts_with("/accept") { "accepted" } else { "rejected" };
        ensure!(event["outcome"] == outcome, "{event:#}");
    }
    Ok(())
}

#[test]
fn what_is_missing_is_named() -> Result<()> {
    let _alone = alone();
    let run = |wrapper: &[&str]| -> Result<String> {
        let (program, arguments) = wrapper.split_first().context("a program")?;
        let output = Command::new(program)
            .args(arguments)
            .arg(binary()?)
            .args(["run", "--metrics-addr", &format!("127.0.0.1:{}", free_port()?), "--socket"])
            .arg(scratch("missing")?.join("s"))
            .stdin(Stdio::null())
            .output()?;
        ensure!(!output.status.success(), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let unmount =
        format!("mount --make-rprivate / && umount -l {} && exec \"$@\"", cgroup2()?.display());
    let said = run(&["unshare", "-m", "sh", "-c", &unmount, "sh"])?;
    ensure!(
        said.contains("no cgroup v2 is mounted") || said.contains("name it with --cgroup"),
        "{said}"
    );
    let said = run(&["prlimit", "--nofile=14", "--"])?;
    ensure!(said.contains("open files"), "{said}");
    Ok(())
}
