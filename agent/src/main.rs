//! The `wstap` binary: parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use wstap::{
    cli::{Cli, Pipeline},
    pipeline,
};

fn main() -> ExitCode {
    Cli::parse().run(Pipeline {
        attach: pipeline::attach,
        capture: pipeline::capture,
        self_test: pipeline::self_test,
    })
}
