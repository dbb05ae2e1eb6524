//! Every chore of the project, as `cargo xtask <chore>`.

mod arch;
mod bench;
mod command;
mod cross;
mod debian;
mod demo;
mod dist;
mod faults;
mod fuzz;
mod run;
mod setup;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::command::say;
use crate::setup::Group;

/// Every chore of the project.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Find or install what building, the demo, the tests and the benchmark need
    Setup {
        /// Only these (each chore asks for its own by itself)
        #[arg(value_enum)]
        groups: Vec<Group>,
    },
    /// Build wstap and run it: `cargo xtask run tail --all`
    Run {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// What the agent costs on this machine, as a table (needs root)
    Bench(bench::Options),
    /// A chat behind nginx, right and in five broken ways, and what wstap says of it (needs root)
    Demo,
    /// Format, lints, unit and property tests, and the live tests on this kernel (needs root)
    Test(test::Options),
    /// What goes wrong around the agent, one thing after another, and what it makes of it (needs root)
    Faults(faults::Options),
    /// The agent's memory and files under hours of churn: `cargo xtask bench soak` by the hour (needs root)
    Soak(bench::soak::Long),
    /// Coverage-guided fuzzing of what reads bytes from the wire
    Fuzz(fuzz::Options),
    /// Build all that a release has into target/dist: binaries, packages, image, chart, lists
    Dist(dist::Options),
    /// Run the live tests, or a command, on other kernels in virtual machines (needs root)
    Vm(vm::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Setup { groups } if groups.is_empty() => setup::run(Group::DEFAULT),
        Chore::Setup { groups } => setup::run(&groups),
        Chore::Run { arguments } => run::run(&arguments),
        Chore::Bench(options) => bench::run(&options),
        Chore::Demo => demo::run(),
        Chore::Test(options) => test::run_parts(&options),
        Chore::Faults(options) => faults::run(&options),
        Chore::Soak(options) => options.run(),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Dist(options) => dist::run(&options),
        Chore::Vm(options) => vm::run(&options),
    }
}
