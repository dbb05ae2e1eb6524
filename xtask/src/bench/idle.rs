//! `cargo xtask bench idle`: what open connections that say nothing cost, in the kernel and in the agent.
//!
//! Both ends are on this host, so every connection has two: one in each role. Programs of the benchmark's own hold
//! them, as many as their limits of open files ask for. The agent watches a cgroup in which only these are, and its
//! memory is charged to a cgroup of its own.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use wstap_tests::agent::Agent;
use wstap_tests::http;
use wstap_tests::process::Process;

use super::groups::{Charged, Watched};
use super::{print, resident};
use crate::command::{cargo, need_root, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How many.
#[derive(Args)]
pub(crate) struct Options {
    /// Open connections
    #[arg(long, default_value_t = 100_000)]
    connections: usize,
    /// Holds the connections to this address of loopback: 127.0.0.N (what the benchmark starts)
    #[arg(long, hide = true, value_name = "N")]
    holder: Option<u8>,
}

/// The most connections to one address of loopback: fewer than it has ports for clients.
const TO_ONE: usize = 20_000;
/// Files that a holder has open besides.
const FILES: u64 = 100;
/// How long the agent may take to see all that was done; it does so in a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory at one moment, in KiB.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// All of the kernel's slab caches.
    slab: f64,
    resident: f64,
    charged: f64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    if let Some(address) = options.holder {
        return hold(options.connections, address);
    }
    need_root("Capturing on this kernel", "bench idle")?;
    setup::run(&[Group::Bpf])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let binary = workspace().join("target/release/wstap");
    let folder = wstap_tests::scratch("bench-idle")?;
    let watched = Watched::enter("wstap-idle")?;
    let charged = Charged::new("wstap-idle")?;
    let ends = options.connections as f64 * 2.0;

    say(format!("bench: {} connections without the agent", options.connections));
    let before = slab()?;
    let open = open(options.connections, &folder)?;
    let without = slab()? - before;
    drop(open);

    let cgroup = watched.folder().display().to_string();
    let mut agent =
        Agent::start_program(charged.command(&binary), &folder, &["--cgroup", &cgroup])?;
    let before = memory(&mut agent, &charged)?;
    say(format!("bench: {} connections with the agent", options.connections));
    let began = Instant::now();
    let open = self::open(options.connections, &folder)?;
    let seconds = began.elapsed().as_secs_f64();
    wait(&agent, "the connections to be counted", options.connections as f64)?;
    let with = memory(&mut agent, &charged)?;
    drop(open);
    wait(&agent, "the connections to be gone", 0.0)?;
    // What the kernel frees after a grace period, and the agent at its leisure.
    std::thread::sleep(Duration::from_secs(3));
    let after = memory(&mut agent, &charged)?;
    let metrics = agent.metrics()?;
    agent.stop()?;

    print(&format!("| {} idle connections, both ends on this host | |", options.connections));
    print("|---|---|");
    print(&format!(
        "| opened a second, with the agent | {:.0} |",
        options.connections as f64 / seconds
    ));
    let per_end = |kib: f64| kib * 1024.0 / ends;
    print(&format!("| slab an end, without the agent | {:.0} bytes |", per_end(without)));
    print(&format!(
        "| slab an end, with the agent | {:.0} bytes |",
        per_end(with.slab - before.slab)
    ));
    print(&format!(
        "| charged to the agent for an end | {:.0} bytes |",
        per_end(with.charged - before.charged)
    ));
    print(&format!(
        "| resident memory of the agent for an end | {:.0} bytes |",
        per_end(with.resident - before.resident)
    ));
    for (when, memory) in [("before", before), ("with them", with), ("after them", after)] {
        print(&format!("| resident memory, {when} | {:.0} KiB |", memory.resident));
        print(&format!("| kernel memory charged, {when} | {:.0} KiB |", memory.charged));
    }
    let lost = metrics.count("wstap_records_lost_total", &[]);
    let told = metrics.count("ws_closures_total", &[]);
    print(&format!("| ends told, of the server role | {told} |"));
    print(&format!("| records lost | {lost} |"));
    for bound in metrics.of("wstap_bounds_reached_total").filter(|bound| bound.count() > 0) {
        print(&format!("| bound reached: {} | {} |", bound.label("bound"), bound.count()));
    }
    ensure!(told == options.connections as u64, "not every end was told");
    Ok(())
}

/// Programs that hold so many connections together, all of them open.
fn open(count: usize, folder: &Path) -> Result<Vec<Process>> {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(FILES);
    let each = TO_ONE.min(usize::try_from(files / 2).unwrap_or(TO_ONE));
    ensure!(each > 0, "the limit of open files is too low: raise it (ulimit -n)");
    let mut holders = Vec::new();
    let mut left = count;
    while left > 0 {
        let part = left.min(each);
        left -= part;
        let number = (holders.len() + 1).to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "idle", "--holder", &number, "--connections", &part.to_string()]);
        let (process, lines) =
            Process::start_with_lines(&format!("holder-{number}"), &mut command, folder)?;
        let line = lines.next().with_context(|| process.log())?;
        ensure!(line == "open", "{line}");
        holders.push(process);
    }
    Ok(holders)
}

/// Opens connections, says so, and holds them until it is ended.
fn hold(count: usize, address: u8) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, address), 0))?;
    let address = listener.local_addr()?;
    let mut open = Vec::with_capacity(count);
    for number in 1..=count {
        open.push(accepted(&listener, address)?);
        // At most 10,000 a second: of accepted handshakes the first second is looked at, and those under way are bounded.
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    print("open");
    loop {
        std::thread::park();
        ensure!(open.len() == count);
    }
}

fn accepted(listener: &TcpListener, address: SocketAddr) -> Result<(TcpStream, TcpStream)> {
    let request = http::upgrade("/idle", "bench.example", "https://bench.example");
    let mut client = TcpStream::connect(address)?;
    client.write_all(request.as_bytes())?;
    let (mut server, _) = listener.accept()?;
    server.read_exact(&mut vec![0; request.len()])?;
    server.write_all(http::ACCEPTED)?;
    client.read_exact(&mut vec![0; http::ACCEPTED.len()])?;
    Ok((client, server))
}

/// Waits until so many connections are open for the agent.
fn wait(agent: &Agent, what: &str, wanted: f64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let metrics = agent.metrics()?;
        let active: f64 = metrics.of("ws_connections_active").map(|sample| sample.value).sum();
        if (active - wanted).abs() < 0.5 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "waited in vain for {what}: {active} are open");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn memory(agent: &mut Agent, charged: &Charged) -> Result<Memory> {
    Ok(Memory {
        slab: slab()?,
        resident: resident(agent.process().id())? as f64,
        charged: charged.kernel_bytes()? as f64 / 1024.0,
    })
}

/// All of the kernel's slab caches, in KiB.
fn slab() -> Result<f64> {
    let info = std::fs::read_to_string("/proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("Slab:"));
    Ok(line.context("Slab")?.trim().trim_end_matches(" kB").parse()?)
}
