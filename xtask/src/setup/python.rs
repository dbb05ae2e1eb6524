//! Python packages, each list in an environment of its own below `target/`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Step;
use crate::command::{run, workspace};

/// A list of packages, and where they are installed.
pub(super) struct Environment {
    pub(super) requirements: &'static str,
    pub(super) folder: &'static str,
}

/// What validates the manifests.
pub(super) const MANIFESTS: Environment =
    Environment { requirements: "tests/deploy/requirements.txt", folder: "target/python" };

/// The live tests' Python servers, and Caddy.
pub(super) const SERVERS: Environment =
    Environment { requirements: "tests/live/servers/requirements.txt", folder: "target/servers" };

/// The audit's proxies that Debian does not have.
pub(super) const PROXIES: Environment =
    Environment { requirements: "tests/audit/requirements.txt", folder: "target/proxies" };

/// Debian's packages that are missing for it.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let mut python = Command::new("python3");
    let can = python.args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    if can.is_ok_and(|status| status.success()) { Vec::new() } else { vec!["python3-venv"] }
}

/// The step that installs the packages, when the installed ones are not the named ones.
pub(super) fn step(environment: &Environment) -> Result<Option<Step>> {
    let folder = workspace().join(environment.folder);
    let requirements = workspace().join(environment.requirements);
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
    let what = format!("pip install into {}", environment.folder);
    Ok(Some(Step { what, work: Box::new(work) }))
}
