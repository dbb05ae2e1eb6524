//! `cargo xtask bench idle`: what open connections that say nothing cost, in the kernel and in the agent.
//!
//! Both ends are in this process, so every connection has two: one in each role. The agent watches a cgroup in
//! which only this process is, and its memory is charged to a cgroup of its own.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};
use wstap_tests::agent::Agent;
use wstap_tests::http;

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
}

/// Connections to one address of loopback: fewer than it has ports for clients.
const TO_ONE: usize = 20_000;
/// The answer to [`http::KEY`].
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
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
    need_root("Capturing on this kernel", "bench idle")?;
    setup::run(&[Group::Bpf])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let binary = workspace().join("target/release/wstap");
    let folder = wstap_tests::scratch("bench-idle")?;
    let files = Some(options.connections as u64 * 2 + 1000);
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files })
        .with_context(|| format!("raising the limit of open files to {files:?}"))?;
    let watched = Watched::enter("wstap-idle")?;
    let charged = Charged::new("wstap-idle")?;
    let ends = options.connections as f64 * 2.0;

    say(format!("bench: {} connections without the agent", options.connections));
    let before = slab()?;
    let open = open(options.connections)?;
    let without = slab()? - before;
    drop(open);

    let cgroup = watched.folder().display().to_string();
    let mut agent =
        Agent::start_program(charged.command(&binary), &folder, &["--cgroup", &cgroup])?;
    let before = memory(&mut agent, &charged)?;
    say(format!("bench: {} connections with the agent", options.connections));
    let began = Instant::now();
    let open = self::open(options.connections)?;
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
    let forgotten = metrics.count("wstap_bounds_reached_total", &[]);
    let told = metrics.count("ws_closures_total", &[]);
    print(&format!("| ends told, of the server role | {told} |"));
    print(&format!("| records lost, bounds reached | {lost}, {forgotten} |"));
    ensure!(told == options.connections as u64, "not every end was told");
    Ok(())
}

/// Both ends of accepted connections that say nothing.
fn open(count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listeners = (0..count.div_ceil(TO_ONE))
        .map(|number| {
            let address = Ipv4Addr::new(127, 0, 0, u8::try_from(number + 1)?);
            Ok(TcpListener::bind((address, 0))?)
        })
        .collect::<Result<Vec<_>>>()?;
    let addresses =
        listeners.iter().map(|listener| Ok(listener.local_addr()?)).collect::<Result<Vec<_>>>()?;
    let pair = |number: usize| {
        let at = number / TO_ONE;
        let (listener, address) = (listeners.get(at), addresses.get(at));
        accepted(listener.context("a listener")?, *address.context("a listener")?)
    };
    (0..count).map(pair).collect()
}

fn accepted(listener: &TcpListener, address: SocketAddr) -> Result<(TcpStream, TcpStream)> {
    let request = http::upgrade("/idle", "bench.example", "https://bench.example");
    let mut client = TcpStream::connect(address)?;
    client.write_all(request.as_bytes())?;
    let (mut server, _) = listener.accept()?;
    server.read_exact(&mut vec![0; request.len()])?;
    server.write_all(ACCEPTED)?;
    client.read_exact(&mut vec![0; ACCEPTED.len()])?;
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
