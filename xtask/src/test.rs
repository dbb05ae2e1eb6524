//! `cargo xtask test`: everything that must hold before a change lands.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, need_root, run, say, workspace};
use crate::fuzz;
use crate::setup::{self, Group};
use crate::vm;

/// What to leave out, and which tests to run.
#[derive(Args)]
pub(crate) struct Options {
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
    /// Leave out the other kernels, which take some 12 minutes
    #[arg(long)]
    no_vm: bool,
}

/// Runs the parts in the order of their cost and ends at the first that fails.
pub(crate) fn run_parts(options: &Options) -> Result<()> {
    if options.image {
        return image();
    }
    if !options.no_live {
        need_root("Capturing on this kernel (the live tests)", "test")?;
    }
    setup::run(&[Group::Bpf, Group::Servers, Group::Test, Group::Manifests])?;

    if options.live.is_none() && options.closures.is_none() {
        part("format", || run(&mut cargo(["fmt", "--all", "--check"])))?;
        part("lints", || {
            let all = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            run(&mut cargo(all))?;
            let mut rest = cargo(["clippy", "--package", "wstap-tests"]);
            rest.args(["--test", "live", "--test", "image", "--test", "verifier"]);
            run(rest.args(["--", "-D", "warnings"]))
        })?;
        part("unit, property, replay and deployment tests", || run(&mut cargo(["test"])))?;
        part("fuzzing", || fuzz::run(&fuzz::Options::short()))?;
    }
    if !options.no_live {
        if options.live.is_none() && options.closures.is_none() {
            part("the programs' cost to the verifier", || {
                run(cargo(["test", "--test", "verifier"]).env("RUST_BACKTRACE", "0"))
            })?;
        }
        part("live tests", || {
            // Without naming packages, so that nothing is compiled anew with other features.
            run(&mut cargo(["build", "--bin", "wstap"]))?;
            let mut live = cargo(["test", "--test", "live"]);
            // A failing test says what it found; where it did is one line of its file.
            live.env("RUST_BACKTRACE", "0");
            if let Some(count) = options.closures {
                live.env("WSTAP_CLOSURES", count.to_string());
                return run(live.args(["closures::scale", "--", "--nocapture"]));
            }
            run(live.args(options.live.as_deref()))
        })?;
        if options.live.is_none() && options.closures.is_none() {
            image()?;
            if !options.no_vm {
                part("other kernels", || vm::run(&vm::Options::default()))?;
            }
        }
    }
    Ok(())
}

/// The image, with a static binary of the development profile in it.
fn image() -> Result<()> {
    need_root("Running the container image", "test --image")?;
    setup::run(&[Group::Bpf, Group::Servers, Group::Image])?;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    part("container image", || {
        let build = ["build", "--package", "wstap", "--bin", "wstap", "--target", &target];
        run(cargo(build).env(flags, "-Ctarget-feature=+crt-static"))?;
        let binary = workspace().join("target").join(&target).join("debug/wstap");
        let test = ["test", "--package", "wstap-tests", "--test", "image"];
        run(cargo(test).env("WSTAP_BINARY", binary))
    })
}

fn part(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say(format!("\n== {name}"));
    let start = Instant::now();
    work()?;
    say(format!("== {name}: passed in {} s", start.elapsed().as_secs()));
    Ok(())
}
