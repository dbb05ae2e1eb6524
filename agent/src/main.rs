//! The `wstap` binary: parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use wstap::{
    cli::{Cli, Pipeline},
    pipeline,
};

/// Events are made on one thread and dropped on another, which glibc's allocator is slow at: it took a
/// quarter of the agent's time in a storm of handshakes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run(Pipeline {
        run: pipeline::run,
        capture: pipeline::capture,
        self_test: pipeline::self_test,
    })
}
