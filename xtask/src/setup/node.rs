//! The Node packages of the demo's and the tests' servers, installed below `target/node`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::Step;
use crate::command::{run, workspace};

/// What names the packages, beside the servers that use them.
const SOURCES: &str = "tests/live/servers";

/// The step that installs the packages, when the installed ones are not the named ones.
pub(super) fn step() -> Result<Option<Step>> {
    let folder = workspace().join("target/node");
    let named = fs::read(workspace().join(SOURCES).join("package-lock.json"))
        .context("the lock file of the Node packages")?;
    // Written last, so it says that all the rest is there.
    let installed = folder.join("installed.json");
    if fs::read(&installed).is_ok_and(|installed| installed == named) {
        return Ok(None);
    }
    let work = move || {
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(workspace().join(SOURCES).join(file), folder.join(file))?;
        }
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .current_dir(&folder))?;
        fs::write(installed, named)?;
        Ok(())
    };
    Ok(Some(Step { what: "npm ci into target/node".to_owned(), work: Box::new(work) }))
}
