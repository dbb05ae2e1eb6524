//! `cargo xtask run`: builds wstap and becomes it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, run as run_command, workspace};
use crate::setup::{self, Group};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(&[Group::Bpf])?;
    run_command(&mut cargo(["build", "--quiet", "--package", "wstap", "--bin", "wstap"]))?;
    let binary = workspace().join("target/debug/wstap");
    let error = Command::new(&binary).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}
