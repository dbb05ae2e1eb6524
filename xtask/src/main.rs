//! Every chore of the project, as `cargo xtask <chore>`.

mod bench;
mod command;
mod demo;
mod setup;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
    /// What the agent costs on this machine, as a table (needs root)
    Bench(bench::Options),
    /// A chat behind nginx, right and in five broken ways, and what wstap says of it (needs root)
    Demo,
    /// Format, lints, unit and property tests, and the live tests on this kernel (needs root)
    Test(test::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().chore {
        Chore::Setup { groups } if groups.is_empty() => setup::run(Group::DEFAULT),
        Chore::Setup { groups } => setup::run(&groups),
        Chore::Bench(options) => bench::run(&options),
        Chore::Demo => demo::run(),
        Chore::Test(options) => test::run_parts(&options),
    }
}
