//! `cargo xtask bench replay`: how fast a large capture is read, beside `tshark -Y http` on the same file.

mod capture;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::capture::Written;
use super::{cpu_seconds, median, print};
use crate::command::{cargo, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How large and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// The capture's size
    #[arg(long, default_value_t = 200)]
    megabytes: u64,
    /// Runs of each program
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    setup::run(&[Group::Bpf, Group::BenchReplay])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let folder = wstap_tests::scratch("bench-replay")?;
    let file = folder.join("capture.pcap");
    say(format!("bench: writing {} MB of traffic", options.megabytes));
    let written = capture::write(&file, options.megabytes * 1_000_000)?;

    let told = folder.join("wstap.json");
    let mut wstap = || -> Result<Run> {
        let mut command = Command::new(workspace().join("target/release/wstap"));
        command.args(["replay", "--all", "--json"]).arg(&file);
        measure(command.stdout(File::create(&told)?))
    };
    let wstap = summary(options.runs, &mut wstap)?;
    ensure_complete(&told, &written)?;
    let tshark = summary(options.runs, &mut || {
        let mut command = Command::new("tshark");
        measure(command.args(["-n", "-Y", "http", "-r"]).arg(&file).stdout(Stdio::null()))
    })?;
    std::fs::remove_file(&file)?;

    print(&format!(
        "{} MB, {} packets, {} handshakes written and as many told, the {} recorded cases among them.\n",
        written.bytes / 1_000_000,
        written.packets,
        written.handshakes,
        written.cases
    ));
    print("| | `wstap replay` | `tshark -Y http` | ratio |\n|---|---|---|---|");
    print(&format!(
        "| seconds | {:.2} | {:.2} | {:.0} |",
        wstap.seconds,
        tshark.seconds,
        tshark.seconds / wstap.seconds
    ));
    print(&format!(
        "| of them on a CPU | {:.2} | {:.2} | {:.0} |",
        wstap.cpu,
        tshark.cpu,
        tshark.cpu / wstap.cpu
    ));
    print(&format!(
        "| peak resident memory, MiB | {} | {} | {} |",
        wstap.peak / 1024,
        tshark.peak / 1024,
        tshark.peak / wstap.peak.max(1)
    ));
    Ok(())
}

/// What a run took.
struct Run {
    seconds: f64,
    /// Seconds on a CPU, which other programs' work does not lengthen.
    cpu: f64,
    /// Peak resident memory in KiB.
    peak: u64,
}

/// The medians of the times, and the largest memory.
fn summary(runs: usize, run: &mut dyn FnMut() -> Result<Run>) -> Result<Run> {
    let runs = (0..runs.max(1)).map(|_| run()).collect::<Result<Vec<_>>>()?;
    let peak = runs.iter().map(|run| run.peak).max().unwrap_or_default();
    let median_of = |field: fn(&Run) -> f64| median(runs.iter().map(field).collect());
    Ok(Run { seconds: median_of(|run| run.seconds), cpu: median_of(|run| run.cpu), peak })
}

/// Runs a command to its end.
fn measure(command: &mut Command) -> Result<Run> {
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start")?;
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut cpu) = (0, 0.0);
    let ended = loop {
        // The kernel keeps the peak; it is gone with the process.
        peak = std::fs::read_to_string(&status).map_or(peak, |text| high_water(&text).max(peak));
        cpu = cpu_seconds(child.id()).unwrap_or(cpu);
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    ensure!(ended.success(), "{} failed ({ended})", command.get_program().display());
    Ok(Run { seconds, cpu, peak })
}

fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// A fast answer that is wrong is worth nothing.
fn ensure_complete(told: &Path, written: &Written) -> Result<()> {
    let text = std::fs::read_to_string(told)?;
    let own = format!("\"local\":\"{}\"", capture::WEB_SOCKET);
    let count = text.lines().filter(|line| line.contains(&own)).count();
    ensure!(
        count == written.handshakes,
        "{} handshakes were written and {count} told",
        written.handshakes
    );
    Ok(())
}
