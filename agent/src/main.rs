//! The `wstap` binary: parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use wstap::{
    cli::{Cli, Pipeline},
    pipeline,
};

fn main() -> ExitCode {
    end_by_signals();
    Cli::parse().run(Pipeline {
        attach: pipeline::attach,
        capture: pipeline::capture,
        self_test: pipeline::self_test,
    })
}

/// SIGSEGV and SIGBUS end the process, whoever sent them. The standard library takes them to name a stack overflow,
/// and returns from all others, so that one from outside does nothing the first time.
fn end_by_signals() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action is no code of this program.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
