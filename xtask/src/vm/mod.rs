//! `cargo xtask vm`: the project on other kernels, in virtual machines.
//!
//! A machine has a stock Debian kernel and the host's own files, read-only below a tmpfs: servers, tests and
//! the agent run in it unchanged, and what they write is gone with it.

mod initramfs;
mod kernels;
mod machine;
mod matrix;
mod root;
mod suites;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::arch::Arch;
use crate::command::{need_root, say};
use crate::setup::{self, Group};
use kernels::SERIES;
use machine::{End, Order};
use suites::SUITES;

/// Which kernels, and what runs on them; all that there is unless it is named.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// The machines' architecture; for another one than this host's the tests are built for it, and a root of Debian's packages is unpacked
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Only this series of kernels: 5.10, 6.1, 6.12, 6.18 or 7 (may be given again)
    #[arg(long, value_name = "SERIES", value_parser = series)]
    kernel: Vec<&'static str>,
    /// Only this suite of tests, on each of the kernels (may be given again)
    #[arg(long, value_name = "SUITE", value_parser = suite)]
    suite: Vec<&'static str>,
    /// A command to run on each, in the workspace's folder, in place of the suites
    #[arg(last = true, conflicts_with = "suite")]
    command: Vec<String>,
}

/// How long one command of the user's may take.
const LIMIT: Duration = Duration::from_secs(1_800);

fn series(text: &str) -> Result<&'static str, String> {
    let all: Vec<_> = SERIES.iter().map(|(series, _)| *series).collect();
    let found = all.iter().find(|series| **series == text);
    found.copied().ok_or_else(|| format!("there are {}", all.join(", ")))
}

fn suite(text: &str) -> Result<&'static str, String> {
    let all: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
    let found = all.iter().find(|suite| **suite == text);
    found.copied().ok_or_else(|| format!("there are {}", all.join(", ")))
}

/// Runs the suites, or the command, on each kernel.
pub(crate) fn run(options: &Options) -> Result<()> {
    need_root("Giving a machine the host's files", "vm")?;
    let host = Arch::host().context("machines run on x86_64 and aarch64")?;
    let arch = options.arch.unwrap_or(host);
    let mut groups = vec![Group::Bpf, Group::Servers, Group::Test, Group::Vm];
    if arch == Arch::Aarch64 {
        groups.push(Group::VmArm);
    }
    if arch != host {
        groups.push(Group::Cross);
    }
    setup::run(&groups)?;
    let series = if options.kernel.is_empty() {
        let all = SERIES.iter().map(|(series, _)| *series);
        all.filter(|series| arch == host || suites::OTHER_KERNELS.contains(series)).collect()
    } else {
        options.kernel.clone()
    };
    let kernels = kernels::get(&series, arch)?;
    if options.command.is_empty() {
        let named = &options.suite;
        let suites =
            if named.is_empty() && arch != host { suites::OTHER_ARCHITECTURE } else { named };
        return matrix::run_on(&kernels, suites, arch);
    }
    for kernel in kernels {
        let order =
            Order { command: &options.command, environment: &[], limit: LIMIT, shown: true };
        let outcome = machine::run(&kernel, &order)?;
        match outcome.end {
            End::Code(0) => say(format!("vm: {} s", outcome.time.as_secs())),
            End::Code(code) => bail!("on {} it ended with {code}", kernel.release),
            end => bail!("{end:?} on {}: {}{}", kernel.release, outcome.console, outcome.output),
        }
    }
    Ok(())
}
