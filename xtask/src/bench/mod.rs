//! `cargo xtask bench`: what the agent costs, on this machine, as a table for docs/performance.md.
//!
//! One nginx and wrk, with and without the agent in turns, so that what else the machine does falls
//! on both; medians.

mod empty;
mod groups;
mod idle;
mod load;
mod replay;
mod scrape;
pub(crate) mod soak;
mod tunnels;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use wstap_tests::agent::Agent;
use wstap_tests::metrics::Metrics;

use self::groups::Watched;
use self::load::{Front, Load};
use crate::command::{cargo, need_root, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How long and how often.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Runs with the agent, and as many without; of the storm a third of them
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// Seconds of a run; of the storm five times as many
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

/// Another benchmark than the agent's cost.
#[derive(Subcommand)]
enum Other {
    /// How fast `wstap replay` reads a large capture, beside `tshark -Y http` (needs no root)
    Replay(replay::Options),
    /// What a scrape and memory come to when a client makes up origins, hosts and paths (needs root)
    Scrape(scrape::Options),
    /// What the frame walk costs open connections: echoes/s, and nanoseconds a packet (needs root)
    Tunnels(tunnels::Options),
    /// What many idle connections cost: kernel memory and the agent's (needs root)
    Idle(idle::Options),
    /// The agent's memory and files under a long churn of connections, none of which may grow (needs root)
    Soak(soak::Options),
}

/// The kernel's switch for the programs' run time.
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.other {
        Some(Other::Replay(options)) => return replay::run(options),
        Some(Other::Scrape(options)) => return scrape::run(options),
        Some(Other::Tunnels(options)) => return tunnels::run(options),
        Some(Other::Idle(options)) => return idle::run(options),
        Some(Other::Soak(options)) => return soak::run(options),
        None => {}
    }
    need_root("Capturing on this kernel", "bench")?;
    setup::run(&[Group::Bpf, Group::Servers, Group::Bench])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let binary = workspace().join("target/release/wstap");
    let folder = wstap_tests::scratch("bench")?;
    let front = Front::start(&folder)?;

    print_turns_head("requests/s");
    let (runs, seconds) = (options.runs, options.seconds);
    // What the agent does in the first second of a storm it does every ten seconds of one.
    for (load, runs, seconds) in
        [(Load::Get, runs, seconds), (Load::Handshake, runs.div_ceil(3), seconds * 5)]
    {
        in_turns(runs, load.name(), &binary, &folder, &[], || front.press(load, seconds))?;
    }
    of_the_server(runs, seconds, &binary, &folder)?;
    print("\n| of the agent | |\n|---|---|");
    for load in [Load::PacedHandshake, Load::Handshake] {
        let (name, used) = (load.name(), Used::measure(options, load, &front, &binary, &folder)?);
        print(&format!("| {name}: resident memory before | {} KiB |", used.idle));
        print(&format!("| {name}: resident memory after | {} KiB |", used.after));
        print(&format!("| {name}: handshakes/s | {:.0} |", used.per_second));
        print(&format!("| {name}: records seen | {} |", used.seen));
        print(&format!("| {name}: records lost | {} |", used.lost));
        print(&format!("| {name}: CPU a judged handshake | {:.1} us |", used.cpu_us));
    }
    for load in [Load::Get, Load::Handshake] {
        for (program, runs, nanoseconds) in run_times(options, load, &front, &binary, &folder)? {
            let name = load.name();
            print(&format!("| `{program}`, {name}, a run of {runs} | {nanoseconds:.0} ns |"));
        }
    }
    Ok(())
}

/// Measures plain GETs with the agent at nginx's cgroup alone: on the usual host the client is another machine's.
fn of_the_server(runs: usize, seconds: u64, binary: &Path, folder: &Path) -> Result<()> {
    let watched = Watched::enter("wstap-bench-server")?;
    let front = Front::start(&wstap_tests::scratch("bench-server")?)?;
    watched.leave()?;
    let cgroup = watched.folder().display().to_string();
    let load = format!("{}, the client elsewhere", Load::Get.name());
    in_turns(runs, &load, binary, folder, &["--cgroup", &cgroup], || {
        front.press(Load::Get, seconds)
    })
}

/// Prints the head of the table whose rows [`in_turns`] prints.
fn print_turns_head(unit: &str) {
    print(&format!(
        "| load, {unit} | without | with | ratio | half of all pairs |\n|---|---|---|---|---|"
    ));
}

/// Measures a load's rate without and with the agent in turns, and prints the medians. The ratio is the median of those of
/// neighbours, which what else the machine does falls on alike.
fn in_turns(
    runs: usize,
    load: &str,
    binary: &Path,
    folder: &Path,
    arguments: &[&str],
    press: impl Fn() -> Result<f64>,
) -> Result<()> {
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        say(format!("bench: {load}, run {run} of {runs}"));
        let alone = if run % 2 == 0 { None } else { Some(press()?) };
        let agent = Agent::start_program(Command::new(binary), folder, arguments)?;
        let beside = press()?;
        agent.stop()?;
        let alone = alone.map_or_else(&press, Ok)?;
        without.push(alone);
        with.push(beside);
        ratios.push(beside / alone);
    }
    let [from, ratio, to] = quartiles(ratios);
    let (without, with) = (median(without), median(with));
    print(&format!("| {load} | {without:.0} | {with:.0} | {ratio:.3} | {from:.3} to {to:.3} |"));
    Ok(())
}

/// What the agent itself needs while every request is a handshake.
struct Used {
    idle: u64,
    after: u64,
    per_second: f64,
    seen: u64,
    lost: u64,
    cpu_us: f64,
}

impl Used {
    fn measure(
        options: &Options,
        load: Load,
        front: &Front,
        binary: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let mut agent = Agent::start_program(Command::new(binary), folder, &[])?;
        let process = agent.process().id();
        let idle = resident(process)?;
        let before = cpu_seconds(process)?;
        let per_second = front.press(load, options.seconds * 5)?;
        let metrics = agent.wait_for_metrics("a drained ring", |metrics| {
            let count = |name| metrics.count(name, &[]);
            count("wstap_records_seen_total")
                == count("wstap_records_delivered_total") + count("wstap_records_lost_total")
        })?;
        // Lost records cost it nothing: the handshakes that it judged share the cost.
        let judged =
            metrics.count("wstap_events_total", &[("role", "server"), ("type", "handshake")]);
        let cpu_us = (cpu_seconds(process)? - before) * 1e6 / f64::from(u32::try_from(judged)?);
        let after = resident(process)?;
        agent.stop()?;
        let count = |name| metrics.count(name, &[]);
        let (seen, lost) = (count("wstap_records_seen_total"), count("wstap_records_lost_total"));
        Ok(Self { idle, after, per_second, seen, lost, cpu_us })
    }
}

/// The mean run time of each program under the load: name, runs, nanoseconds a run.
fn run_times(
    options: &Options,
    load: Load,
    front: &Front,
    binary: &Path,
    folder: &Path,
) -> Result<Vec<(String, u64, f64)>> {
    let _stats = Stats::enable()?;
    let agent = Agent::start_program(Command::new(binary), folder, &[])?;
    front.press(load, options.seconds)?;
    let metrics = agent.metrics()?;
    agent.stop()?;
    Ok(programs(&metrics))
}

fn programs(metrics: &Metrics) -> Vec<(String, u64, f64)> {
    let runs = metrics.of("wstap_program_runs_total").filter(|sample| sample.count() > 0);
    runs.map(|runs| {
        let program = runs.label("program").to_owned();
        let times = metrics.of("wstap_program_run_seconds_total");
        let of_program = times.filter(|time| time.label("program") == program);
        let seconds: f64 = of_program.map(|time| time.value).sum();
        (program, runs.count(), seconds * 1e9 / runs.value)
    })
    .collect()
}

/// The kernel measures the programs while this lives.
struct Stats(String);

impl Stats {
    fn enable() -> Result<Self> {
        let before = std::fs::read_to_string(STATS)?;
        std::fs::write(STATS, "1")?;
        Ok(Self(before))
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(STATS, &self.0) {
            say(format!("bench: {STATS} keeps measuring: {error}"));
        }
    }
}

/// The quartiles, of which the second is the median.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|part| values.get(values.len() * part / 4).copied().unwrap_or(f64::NAN))
}

fn median(values: Vec<f64>) -> f64 {
    let [_, median, _] = quartiles(values);
    median
}

/// Resident memory in KiB.
fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// User and system time of a process; the clock of /proc has a hundred ticks a second.
fn cpu_seconds(process: u32) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("the end of the name")?;
    // utime and stime are the fields 14 and 15; the state, behind the name, is 3.
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(times.sum::<Result<f64, _>>()? / TICKS)
}

#[expect(clippy::print_stdout, reason = "the table is the chore's output")]
fn print(text: &str) {
    println!("{text}");
}
