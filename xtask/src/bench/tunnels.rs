//! `cargo xtask bench tunnels`: what the frame walk costs the connections that it follows.
//!
//! A real server (Node, `ws`) sends every message back. Throughput with and without the agent in turns, and
//! the run time of the programs for each packet beside that of an empty program on the same packets.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wstap_tests::agent::Agent;
use wstap_tests::frames::{close, frame, read_into};
use wstap_tests::http::{self, Answer};
use wstap_tests::node::Node;

use super::groups::Watched;
use super::{Stats, empty::Empty, in_turns, print, print_turns_head, programs};
use crate::command::{cargo, need_root, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How long and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs with the agent, and as many without, of each load
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// Milliseconds of a run
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
}

/// What is sent and comes back, again and again.
struct Load {
    name: &'static str,
    connections: usize,
    len: usize,
}

const LOADS: [Load; 2] = [
    Load { name: "messages of 32 bytes", connections: 8, len: 32 },
    Load { name: "messages of 1 MiB", connections: 2, len: 1 << 20 },
];

pub(super) fn run(options: &Options) -> Result<()> {
    need_root("Capturing on this kernel", "bench tunnels")?;
    setup::run(&[Group::Bpf, Group::Servers])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let binary = workspace().join("target/release/wstap");
    let folder = wstap_tests::scratch("bench-tunnels")?;
    let node = Node::start(&folder, "tests/live/servers/ws.js", &[])?;
    let time = Duration::from_millis(options.milliseconds);

    print_turns_head("echoes/s");
    for load in &LOADS {
        in_turns(options.runs, load.name, &binary, &folder, &[], || {
            press(&mut open(node.address(), load.connections)?, load.len, time)
        })?;
    }
    of_the_server(options, &binary, &folder)?;
    print("\n| program, load | runs | of an echo | a run | an empty program | more |");
    print("|---|---|---|---|---|---|");
    for load in &LOADS {
        say(format!("bench: run times, {}", load.name));
        run_times(load, node.address(), &binary, &folder, time * 3)?;
    }
    Ok(())
}

/// With the agent at the server's cgroup alone: on the usual host the client is another machine's.
fn of_the_server(options: &Options, binary: &Path, folder: &Path) -> Result<()> {
    let watched = Watched::enter("wstap-tunnels-server")?;
    let node = Node::start(
        &wstap_tests::scratch("bench-tunnels-server")?,
        "tests/live/servers/ws.js",
        &[],
    )?;
    watched.leave()?;
    let cgroup = watched.folder().display().to_string();
    for load in &LOADS {
        let name = format!("{}, the client elsewhere", load.name);
        in_turns(options.runs, &name, binary, folder, &["--cgroup", &cgroup], || {
            let time = Duration::from_millis(options.milliseconds);
            press(&mut open(node.address(), load.connections)?, load.len, time)
        })?;
    }
    Ok(())
}

/// Accepted connections.
fn open(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let open = |number| {
        let path = format!("/accept/{number}");
        let mut stream = http::connect(server)?;
        let request = http::upgrade(&path, "bench.example", "https://bench.example");
        stream.write_all(request.as_bytes())?;
        ensure!(http::answer(&mut stream)? == Answer::Status(101), "{path}");
        Ok(stream)
    };
    (0..count).map(open).collect()
}

/// Each connection sends a message and waits for the echo, again and again; the echoes/s of all.
fn press(connections: &mut [TcpStream], len: usize, time: Duration) -> Result<f64> {
    let message = frame(2, &vec![b'x'; len]);
    let began = Instant::now();
    let echoes: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .map(|stream| scope.spawn(|| echo(stream, &message, len, began + time)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a client panicked")?)
            .sum::<Result<u32>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();
    for stream in connections {
        close(stream, 1000)?;
    }
    Ok(f64::from(echoes) / seconds)
}

fn echo(stream: &mut TcpStream, message: &[u8], len: usize, end: Instant) -> Result<u32> {
    let mut back = Vec::new();
    let mut echoes = 0;
    while Instant::now() < end {
        stream.write_all(message)?;
        read_into(stream, &mut back)?;
        ensure!(back.len() == len, "another message came back");
        echoes += 1;
    }
    Ok(echoes)
}

/// Prints the run time of the programs on the packets of open connections.
fn run_times(
    load: &Load,
    server: SocketAddr,
    binary: &Path,
    folder: &Path,
    time: Duration,
) -> Result<()> {
    let _stats = Stats::enable()?;
    let agent = Agent::start_program(Command::new(binary), folder, &[])?;
    let empty = [("ws_skb_in", Empty::attach(true)?), ("ws_skb_out", Empty::attach(false)?)];
    let mut connections = open(server, load.connections)?;
    // The handshakes are over.
    let before = programs(&agent.metrics()?);
    let empty_before = empty.each_ref().map(|(_, empty)| empty.runs());
    let echoes = press(&mut connections, load.len, time)? * time.as_secs_f64();
    let after = programs(&agent.metrics()?);
    for ((name, empty), empty_before) in empty.iter().zip(empty_before) {
        let (count, ns) = since(empty_before?, empty.runs()?);
        let nothing = ns / count;
        let of = |all: &[(String, u64, f64)]| {
            let program = all.iter().find(|(program, ..)| program == name);
            program.map(|(_, runs, ns)| (*runs as f64, ns * *runs as f64)).context(*name)
        };
        let (count, ns) = since(of(&before)?, of(&after)?);
        print(&format!(
            "| `{name}`, {} | {count:.0} | {:.2} | {:.0} ns | {nothing:.0} ns | {:.0} ns |",
            load.name,
            count / echoes,
            ns / count,
            ns / count - nothing
        ));
    }
    agent.stop()
}

fn since(before: (f64, f64), after: (f64, f64)) -> (f64, f64) {
    (after.0 - before.0, after.1 - before.1)
}
