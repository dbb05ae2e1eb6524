//! `cargo xtask bench scrape`: what a scrape and the agent's memory come to when a hostile client makes up everything
//! that it can: the tables for docs/sizing.md.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use wstap_tests::agent::Agent;
use wstap_tests::{hostile, http};

use super::print;
use crate::command::{cargo, need_root, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How much is made up.
#[derive(Args)]
pub(crate) struct Options {
    /// Handshakes, each of another origin, host and path
    #[arg(long, default_value_t = 100_000)]
    handshakes: usize,
}

/// Scrapes of which the median and the longest are told.
const SCRAPES: usize = 20;

pub(super) fn run(options: &Options) -> Result<()> {
    need_root("Capturing on this kernel", "bench scrape")?;
    setup::run(&[Group::Bpf])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let folder = wstap_tests::scratch("bench-scrape")?;
    let binary = Command::new(workspace().join("target/release/wstap"));
    let arguments = ["--max-paths", "100", "--workload-labels"];
    let agent = Agent::start_program(binary, &folder, &arguments)?;
    let resident = |agent: &Agent| -> Result<u64> {
        Ok(agent.metrics()?.count("process_resident_memory_bytes", &[]) >> 10)
    };
    let idle = resident(&agent)?;
    say(format!("bench: {} handshakes of as many origins, hosts and paths", options.handshakes));
    hostile::storm(&agent, options.handshakes)?;

    let mut times = Vec::new();
    let mut page = String::new();
    for _ in 0..SCRAPES {
        let began = Instant::now();
        page = http::get(agent.address(), "/metrics")?.1;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64) * 1000.0;
    let (largest, series) = hostile::largest_family(&agent.metrics()?);
    print("| after the storm | |\n|---|---|");
    print(&format!("| series of `{largest}`, the largest family | {series} |"));
    let all = page.lines().filter(|line| !line.starts_with('#')).count();
    print(&format!("| series in all | {all} |"));
    print(&format!("| size of a scrape | {} KiB |", page.len() >> 10));
    print(&format!(
        "| a scrape, median of {SCRAPES} | {:.1} ms |",
        milliseconds(times.get(SCRAPES / 2))
    ));
    print(&format!("| a scrape, the longest | {:.1} ms |", milliseconds(times.last())));
    print(&format!("| resident memory before | {idle} KiB |"));
    print(&format!("| resident memory after | {} KiB |", resident(&agent)?));
    let lost = agent.metrics()?.count("wstap_records_lost_total", &[]);
    print(&format!("| records lost | {lost} |"));
    agent.stop()
}
