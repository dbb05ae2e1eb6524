//! The `wstap` binary: parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use wstap::cli::{Cli, Pipeline};

fn main() -> ExitCode {
    Cli::parse().run(Pipeline {
        run: |_, _, _| anyhow::bail!("this build has no kernel half"),
        capture: |_, _| anyhow::bail!("this build has no kernel half"),
    })
}
