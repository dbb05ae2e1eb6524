//! The Python packages that validate the manifests, installed below `target/python`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Step;
use crate::command::{run, workspace};

/// What names the packages.
const REQUIREMENTS: &str = "tests/deploy/requirements.txt";

/// Debian's packages that are missing for it.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let mut python = Command::new("python3");
    let can = python.args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    if can.is_ok_and(|status| status.success()) { Vec::new() } else { vec!["python3-venv"] }
}

/// The step that installs the packages, when the installed ones are not the named ones.
pub(super) fn step() -> Result<Option<Step>> {
    let folder = workspace().join("target/python");
    let requirements = workspace().join(REQUIREMENTS);
    let named = fs::read(&requirements).context("the list of the Python packages")?;
    // Written last, so it says that all the rest is there.
    let installed = folder.join("installed.txt");
    if fs::read(&installed).is_ok_and(|installed| installed == named) {
        return Ok(None);
    }
    let work = move || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(requirements))?;
        fs::write(installed, named)?;
        Ok(())
    };
    Ok(Some(Step { what: "pip install into target/python".to_owned(), work: Box::new(work) }))
}
