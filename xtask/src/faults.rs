//! `cargo xtask faults`: what goes wrong around the agent, one thing after another. After each it is alive, ready, tells
//! the next handshakes, and its account of records holds; or it did not start and said why.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::Signal;
use wstap_tests::agent::{Agent, binary};
use wstap_tests::random::Random;
use wstap_tests::{cgroup2, http, wait_for};

use crate::command::{cargo, need_root, run as run_command, say};
use crate::setup::{self, Group};

/// Which, and how much of each.
#[derive(Args)]
pub(crate) struct Options {
    /// Only those whose name has this in it
    only: Option<String>,
    /// A tenth of each: a few seconds
    #[arg(long)]
    short: bool,
}

/// Handshakes that must be told behind each fault.
const PROBES: u64 = 20;
/// Threads that make handshakes, where many are wanted.
const THREADS: usize = 4;

/// The agent started by a shell, which sets the fault up.
const STARTS: &[(&str, &str)] = &[
    ("memlock of 64 KiB", "ulimit -l 64; exec \"$@\""),
    ("64 open files", "ulimit -n 64; exec \"$@\""),
    ("a log on a full disk", "exec \"$@\" 2>/dev/full"),
    (
        "hidepid=2, without CAP_SYS_PTRACE",
        "exec unshare -m sh -c 'mount -t proc -o hidepid=2 proc /proc && exec setpriv \
         --bounding-set=-all,+bpf,+perfmon,+net_admin --inh-caps=-all -- \"$@\"' sh \"$@\"",
    ),
    (
        "no /proc",
        "exec unshare -m sh -c 'mount --make-rprivate / && mount -t tmpfs none /proc && exec \"$@\" --cgroup \"$CGROUP\"' sh \"$@\"",
    ),
    (
        "a read-only root",
        "exec unshare -m sh -c 'mount --make-rprivate / && mount -o remount,bind,ro / && exec \"$@\"' sh \"$@\"",
    ),
];

/// A server that refuses everybody, and a place for logs.
struct Place {
    folder: PathBuf,
    server: SocketAddr,
    /// By how much less is done.
    less: u64,
}

type Case = (&'static str, fn(&Place) -> Result<String>);

/// The faults that come while it runs.
const CASES: &[Case] = &[
    ("stopped for 15 s under load", stopped),
    ("as many handshakes as come, for a minute", pressed),
    ("50 deaths at random", deaths),
    ("two agents", two),
    ("500 namespaces with cgroups", namespaces),
    ("100,000 short connections beside forks", forks),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    need_root("Capturing on this kernel", "faults")?;
    setup::run(&[Group::Bpf])?;
    run_command(&mut cargo(["build", "--quiet", "--package", "wstap"]))?;
    let less = if options.short { 10 } else { 1 };
    let place = Place { folder: wstap_tests::scratch("faults")?, server: refusing()?, less };
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only));
    say("| fault | what came of it |\n|---|---|");
    let mut failed = Vec::new();
    let mut tell = |name: &str, result: Result<String>| match result {
        Ok(what) => say(format!("| {name} | {what} |")),
        Err(error) => {
            say(format!("| {name} | FAILED: {error:#} |"));
            failed.push(name.to_owned());
        }
    };
    for (name, script) in STARTS.iter().filter(|(name, _)| is_wanted(name)) {
        tell(name, started(&place, script));
    }
    for (name, case) in CASES.iter().filter(|(name, _)| is_wanted(name)) {
        tell(name, case(&place));
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// A server that reads a head and answers 403.
fn refusing() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    for _ in 0..THREADS {
        let listener = listener.try_clone()?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // What goes wrong here shows at the client.
                let _served = http::head(&mut stream).and_then(|_| {
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                });
            }
        });
    }
    Ok(address)
}

fn ask(server: SocketAddr, path: &str) -> Result<()> {
    let request = http::upgrade(path, "here.example", "https://faults.example");
    ensure!(http::ask(server, request.as_bytes())? == http::Answer::Status(403));
    Ok(())
}

fn told(agent: &Agent) -> Result<u64> {
    let metrics = agent.metrics()?;
    Ok(metrics.count("ws_handshakes_total", &[("origin", "https://faults.example")]))
}

/// It is alive and ready, tells what comes now, and its account holds.
fn is_well(agent: &Agent, server: SocketAddr) -> Result<()> {
    ensure!(http::get(agent.address(), "/readyz")?.0 == 200, "/readyz");
    let before = settled(agent)?;
    for _ in 0..PROBES {
        ask(server, "/well")?;
    }
    wait_for(
        "what comes behind the fault",
        || Ok((told(agent)? >= before + PROBES).then_some(())),
    )?;
    wait_for("the account of records", || {
        let metrics = agent.metrics()?;
        let count = |name| metrics.count(name, &[]);
        let accounted = count("wstap_records_delivered_total") + count("wstap_records_lost_total");
        Ok((count("wstap_records_seen_total") == accounted).then_some(()))
    })
}

/// How many are told, once nothing more comes.
fn settled(agent: &Agent) -> Result<u64> {
    let mut last = told(agent)?;
    wait_for("quiet", || {
        std::thread::sleep(Duration::from_secs(2));
        let now = told(agent)?;
        Ok((std::mem::replace(&mut last, now) == now).then_some(now))
    })
}

fn started(place: &Place, script: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command.env("CGROUP", cgroup2()?).args(["-c", script, "sh"]).arg(binary()?);
    let agent = match Agent::start_program(command, &place.folder, &[]) {
        Ok(agent) => agent,
        Err(error) => {
            let said = fs::read_to_string(place.folder.join("wstap.log")).unwrap_or_default();
            let said = said.lines().find_map(|line| line.strip_prefix("wstap: "));
            return said.map(|said| format!("did not start: {said}")).ok_or(error);
        }
    };
    is_well(&agent, place.server)?;
    agent.stop()?;
    Ok("ran as ever".to_owned())
}

/// Makes handshakes while `during` runs; gives how many.
fn under_load(server: SocketAddr, during: impl FnOnce() -> Result<()>) -> Result<u64> {
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (over, made) = (Arc::clone(&over), Arc::clone(&made));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if ask(server, "/load").is_ok() {
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let done = during();
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        // A thread that panicked has made fewer.
        let _ended = thread.join();
    }
    done.map(|()| made.load(Ordering::Relaxed))
}

fn summary(agent: &Agent, made: u64) -> Result<String> {
    let (told, metrics) = (told(agent)?, agent.metrics()?);
    let lost = metrics.count("wstap_records_lost_total", &[]);
    Ok(format!(
        "{made} handshakes, {told} told with what came behind, {lost} records counted as lost"
    ))
}

fn stopped(place: &Place) -> Result<String> {
    let mut agent = Agent::start(&place.folder, &[])?;
    let made = under_load(place.server, || {
        agent.process().signal(Signal::STOP)?;
        std::thread::sleep(Duration::from_secs(15) / u32::try_from(place.less)?);
        agent.process().signal(Signal::CONT)
    })?;
    is_well(&agent, place.server)?;
    let summary = summary(&agent, made)?;
    agent.stop()?;
    Ok(summary)
}

fn pressed(place: &Place) -> Result<String> {
    let agent = Agent::start(&place.folder, &[])?;
    let made = under_load(place.server, || {
        let end = Instant::now() + Duration::from_secs(60 / place.less);
        while Instant::now() < end {
            ensure!(http::get(agent.address(), "/healthz")?.0 == 200);
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    })?;
    is_well(&agent, place.server)?;
    let summary = summary(&agent, made)?;
    agent.stop()?;
    Ok(summary)
}

/// The ids of the programs that a process holds.
fn programs(process: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts
        .filter_map(|text| {
            Some(text.lines().find_map(|l| l.strip_prefix("prog_id:"))?.trim().to_owned())
        })
        .collect()
}

fn deaths(place: &Place) -> Result<String> {
    let mut random = Random(1);
    let (mut seen, deaths) = (Vec::new(), 50 / place.less);
    for _ in 0..deaths {
        let mut agent = Command::new(binary()?)
            .args(["run", "--metrics-addr", "127.0.0.1:0", "--socket"])
            .arg(place.folder.join("dies.sock"))
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(random.below(3000) as u64));
        seen.extend(programs(agent.id()));
        agent.kill()?;
        agent.wait()?;
    }
    ensure!(!seen.is_empty(), "none lived long enough");
    wait_for("the end of every program", || {
        let left = Command::new("bpftool").args(["-j", "prog", "list"]).output()?;
        let left: serde_json::Value = serde_json::from_slice(&left.stdout)?;
        let is_left = |id: &String| {
            let all = left.as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().any(|program| program["id"].as_u64() == id.parse().ok())
        };
        Ok((!seen.iter().any(is_left)).then_some(()))
    })?;
    let agent = Agent::start(&place.folder, &[])?;
    is_well(&agent, place.server)?;
    agent.stop()?;
    Ok(format!("{deaths} deaths, {} programs seen, none left", seen.len()))
}

fn two(place: &Place) -> Result<String> {
    let (one, other) = (place.folder.join("one"), place.folder.join("other"));
    [&one, &other].iter().try_for_each(fs::create_dir_all)?;
    let agents = [Agent::start(&one, &[])?, Agent::start(&other, &[])?];
    for agent in &agents {
        is_well(agent, place.server)?;
    }
    let counts = [told(&agents[0])?, told(&agents[1])?];
    ensure!(counts[0] == counts[1], "{counts:?}");
    agents.into_iter().try_for_each(Agent::stop)?;
    Ok(format!("each told {}", counts[0]))
}

/// A handshake within a network namespace and a cgroup of its own.
const WITHIN: &str = "ip link set lo up; exec python3 -c '
import socket
l = socket.create_server((\"127.0.0.1\", 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept()
c.sendall(b\"GET /within HTTP/1.1\\r\\nHost: here\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nOrigin: https://faults.example\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n\")
s.recv(4096); s.sendall(b\"HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\n\\r\\n\"); c.recv(4096)'";

fn namespaces(place: &Place) -> Result<String> {
    let agent = Agent::start(&place.folder, &[])?;
    let (root, count) = (cgroup2()?.join("wstap-faults"), 500 / place.less);
    fs::create_dir_all(&root)?;
    let folders: Vec<_> = (0..count).map(|n| root.join(n.to_string())).collect();
    let made = folders.iter().try_for_each(|folder| within(folder));
    for folder in folders.iter().chain([&root]) {
        // A process that ended a moment ago may still be there.
        wait_for("the end of a cgroup", || {
            Ok((fs::remove_dir(folder).is_ok() || !folder.exists()).then_some(()))
        })?;
    }
    made?;
    wait_for("all of them", || Ok((told(&agent)? >= count).then_some(())))?;
    is_well(&agent, place.server)?;
    agent.stop()?;
    Ok(format!("{count} handshakes, all told"))
}

fn within(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let script = "echo 0 > \"$1/cgroup.procs\"; exec unshare -n sh -c \"$2\"";
    let done = Command::new("sh").args(["-c", script, "sh"]).arg(folder).arg(WITHIN).output()?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

fn forks(place: &Place) -> Result<String> {
    let agent = Agent::start(&place.folder, &[])?;
    // With a reader, so that names are looked for.
    let tail = agent.tail(&["--all"])?;
    let mut forking = Command::new("sh")
        .args(["-c", "while :; do /bin/true; done"])
        .spawn()
        .context("cannot start sh")?;
    let wanted = 100_000 / place.less;
    let made = (0..wanted).try_for_each(|_| ask(place.server, "/short"));
    forking.kill()?;
    forking.wait()?;
    made?;
    is_well(&agent, place.server)?;
    drop(tail);
    let summary = summary(&agent, wanted)?;
    agent.stop()?;
    Ok(summary)
}
