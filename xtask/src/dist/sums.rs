//! SHA256SUMS over all files, and its signature when there is a key.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{run, say};
use crate::setup::{self, Group};

const SUMS: &str = "SHA256SUMS";

pub(super) fn write(folder: &Path, key: Option<&Path>) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    let output = Command::new("sha256sum").args(&names).current_dir(folder).output();
    let output = output.context("cannot start sha256sum")?;
    ensure!(output.status.success(), "sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(folder.join(SUMS), &output.stdout)?;
    say(String::from_utf8_lossy(&output.stdout).trim_end());
    let Some(key) = key else {
        say("dist: unsigned: --sign-with FILE signs SHA256SUMS with a key of minisign");
        return Ok(());
    };
    setup::run(&[Group::Sign])?;
    let key = key.canonicalize().with_context(|| key.display().to_string())?;
    run(Command::new("minisign")
        .arg("-S")
        .arg("-s")
        .arg(key)
        .args(["-m", SUMS])
        .current_dir(folder))?;
    say(format!("dist: signed: {SUMS}.minisig"));
    Ok(())
}
