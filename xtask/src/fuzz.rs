//! `cargo xtask fuzz`: coverage-guided fuzzing (libFuzzer) of what reads bytes from the wire and configurations.
//!
//! The compiler's own coverage passes are asked for by flags that stable Rust has, so nothing but crates is
//! needed. What is found interesting is kept in `target/fuzz/corpus`, what fails in `target/fuzz/findings`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::command::{cargo, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// What to fuzz, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this target
    #[arg(value_enum)]
    target: Option<Target>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Hours for all targets together, in place of seconds for each
    #[arg(long, conflicts_with = "seconds")]
    hours: Option<f64>,
}

impl Options {
    /// Every target, as `cargo xtask test` does it.
    pub(crate) const fn short() -> Self {
        Self { target: None, seconds: 20, hours: None }
    }
}

/// The targets, one file each in `fuzz/targets`.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// The frame walk, against a WebSocket library's frame codec
    Frames,
    /// The stream machine around the 101
    Heads,
    /// Parsing and pairing in user space: the same whatever the cuts
    Pairing,
    /// The parser of requests, against httparse
    Requests,
    /// `wstap replay` on any file
    Capture,
    /// `wstap lint` on any text
    Lint,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Heads => "heads",
            Self::Pairing => "pairing",
            Self::Requests => "requests",
            Self::Capture => "capture",
            Self::Lint => "lint",
        }
    }

    /// What to begin with.
    const fn seeds(self) -> &'static str {
        match self {
            Self::Frames => "fuzz/seeds/frames",
            Self::Heads => "fuzz/seeds/heads",
            // Requests, with answers behind them.
            Self::Pairing | Self::Requests => "fuzz/seeds/pairing",
            Self::Capture => "tests/replay/cases",
            Self::Lint => "tests/lint/wild",
        }
    }
}

/// As cargo-fuzz sets them, without a sanitizer: the code is safe Rust.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::run(&[Group::Bpf, Group::Fuzz])?;
    let folder = workspace().join("target/fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let build = ["build", "--package", "wstap-fuzz", "--profile", "fuzz", "--target", &triple];
    run_command(cargo(build).arg("--target-dir").arg(&folder).env(flags, COVERAGE))?;
    let one = options.target.map(|target| vec![target]);
    let targets = one.as_deref().unwrap_or(Target::value_variants());
    let seconds = options
        .hours
        .map_or(f64::from(options.seconds), |hours| hours * 3600.0 / targets.len() as f64);
    let mut done = Vec::new();
    for target in targets {
        let name = target.name();
        let place = |kind: &str| -> Result<PathBuf> {
            let place = folder.join(kind).join(name);
            std::fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
            Ok(place)
        };
        let (corpus, findings) = (place("corpus")?, place("findings")?);
        say(format!("fuzz: {name}, {seconds:.0} s"));
        let program = folder.join(&triple).join("fuzz").join(name);
        let mut fuzzer = std::process::Command::new(program);
        fuzzer.arg(format!("-max_total_time={seconds:.0}"));
        // An input must not take long, nor much memory.
        fuzzer.args(["-timeout=10", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"]);
        fuzzer.arg(format!("-artifact_prefix={}/", findings.display()));
        fuzzer.arg(format!("-dict={}", workspace().join("fuzz/wire.dict").display()));
        fuzzer.args([corpus, workspace().join(target.seeds())]);
        let log = folder.join(format!("{name}.log"));
        fuzzer.stderr(std::fs::File::create(&log)?);
        let began = Instant::now();
        run_command(&mut fuzzer).with_context(|| {
            format!(
                "{name} failed (its words are in {}); the input is in {}. Make it a test, then mend the code; \
                 `cargo xtask fuzz {name}` tries it again",
                log.display(),
                findings.display()
            )
        })?;
        let said = std::fs::read_to_string(&log)?;
        let executions = said
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .with_context(|| format!("{} has no count of executions", log.display()))?;
        done.push(format!(
            "| {name} | {} | {:.2} |",
            executions.trim(),
            began.elapsed().as_secs_f64() / 3600.0
        ));
    }
    say("| target | executions | hours |\n|---|---|---|");
    done.iter().for_each(say);
    Ok(())
}
