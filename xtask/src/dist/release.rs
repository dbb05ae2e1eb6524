//! What is released: its version, from Cargo.toml alone, and the commit, which gives all times.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::workspace;

/// A release.
pub(super) struct Release {
    pub(super) version: &'static str,
    /// The commit's hash, and whether the tree has more than it.
    pub(super) commit: String,
    pub(super) is_dirty: bool,
    /// The commit's time, in seconds since 1970: SOURCE_DATE_EPOCH.
    pub(super) epoch: String,
}

impl Release {
    pub(super) fn of_workspace() -> Result<Self> {
        let hash = git(&["rev-parse", "HEAD"])?;
        let is_dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        let commit = if is_dirty { format!("{hash} with changes") } else { hash };
        let epoch = git(&["log", "-1", "--format=%ct"])?;
        // All crates have the workspace's version.
        Ok(Self { version: env!("CARGO_PKG_VERSION"), commit, is_dirty, epoch })
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    // Root may build a tree that is another user's.
    git.args(["-c", "safe.directory=*"]).args(arguments).current_dir(workspace());
    let output = git.output().context("cannot start git")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "a release is made from a git clone: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
