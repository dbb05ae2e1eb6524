//! `cargo xtask test`: everything that must hold before a change lands. `parts.rs` has the list.

mod parts;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{need_root, say};
use crate::setup::{self, Group};
use parts::{Needs, PARTS, Part};

/// What to leave out, and which tests to run.
#[derive(Args)]
pub(crate) struct Options {
    /// What a contributor runs at each change: format, lints, unit and replay tests, and ten live tests
    #[arg(long, conflicts_with_all = ["no_vm", "live", "closures", "image", "part"])]
    quick: bool,
    /// Leave out what needs root: the live tests, what the programs cost the verifier, and the other kernels
    #[arg(long)]
    no_live: bool,
    /// Run only the live tests whose names contain this
    #[arg(long, value_name = "NAME", conflicts_with = "no_live")]
    live: Option<String>,
    /// Run only the test of how connections end, with so many connections (10000 take a minute or two)
    #[arg(long, value_name = "N", conflicts_with_all = ["no_live", "live"])]
    closures: Option<u32>,
    /// Only build the container image, run it and test what runs
    #[arg(long, conflicts_with_all = ["no_live", "live", "closures"])]
    image: bool,
    /// Only this part, by its name in the list that is printed first (may be given again)
    #[arg(long, value_name = "NAME", value_parser = part, conflicts_with_all = ["live", "closures", "image"])]
    part: Vec<&'static str>,
    /// Leave out the other kernels, which take some 12 minutes
    #[arg(long)]
    no_vm: bool,
}

fn part(text: &str) -> Result<&'static str, String> {
    let all: Vec<_> = PARTS.iter().map(|part| part.name).collect();
    let found = all.iter().find(|name| **name == text);
    found.copied().ok_or_else(|| format!("there are: {}", all.join(", ")))
}

impl Options {
    /// Whether these options ask for a part.
    fn wants(&self, part: &Part) -> bool {
        let only: Vec<_> = if self.live.is_some() || self.closures.is_some() {
            vec!["live"]
        } else if self.image {
            vec!["image"]
        } else {
            self.part.clone()
        };
        let is_left_out = match part.needs {
            Needs::Nothing => false,
            Needs::Root => self.no_live,
            Needs::Machines => self.no_live || self.no_vm,
        };
        if only.is_empty() {
            !is_left_out && (!self.quick || part.quick.is_some())
        } else {
            only.contains(&part.name)
        }
    }

    /// How long a part usually takes, when it is asked for so.
    fn usual(&self, part: &Part) -> Duration {
        Duration::from_secs(part.quick.filter(|_| self.quick).unwrap_or(part.seconds))
    }
}

/// Says what it will do, runs the parts in the order of their cost, and ends at the first that fails.
pub(crate) fn run_parts(options: &Options) -> Result<()> {
    let parts: Vec<_> = PARTS.iter().filter(|part| options.wants(part)).collect();
    if parts.iter().any(|part| !matches!(part.needs, Needs::Nothing)) {
        let chore = if options.image { "test --image" } else { "test" };
        need_root("Capturing on this kernel (the live tests)", chore)?;
    }
    let count = parts.len();
    let usual: Duration = parts.iter().map(|part| options.usual(part)).sum();
    say(format!("test: {count} parts, usually {} on two cores once all is built:", shown(usual)));
    for (number, part) in parts.iter().enumerate() {
        let usual = shown(options.usual(part));
        say(format!("  {:>2}. {:<12} {:>10}  {}", number + 1, part.name, usual, part.what));
    }
    let groups: Vec<Group> = parts.iter().flat_map(|part| part.groups).copied().collect();
    setup::run(&groups)?;

    let begin = Instant::now();
    for (number, part) in parts.iter().enumerate() {
        let (number, start) = (number + 1, Instant::now());
        let so_far = shown(begin.elapsed());
        say(format!("\n== [{number}/{count}] {}: {} (so far {so_far})", part.name, part.what));
        (part.work)(options).with_context(|| {
            format!("alone, this part is `cargo xtask test --part {}`", part.name)
        })?;
        say(format!("== [{number}/{count}] {}: passed in {}", part.name, shown(start.elapsed())));
    }
    say(format!("\ntest: all {count} parts passed in {}", shown(begin.elapsed())));
    Ok(())
}

/// A time as a person reads it.
fn shown(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}
