//! Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Step;
use crate::command::{find, is_root, run, say};

/// Asked by Debian's installation scripts before they start a service.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// The step that installs what is missing; an error when this host or this user cannot.
pub(super) fn step(mut packages: Vec<&'static str>) -> Result<Option<Step>> {
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(None);
    }
    let list = packages.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "this host has no apt-get. Install what these Debian packages hold, with this \
             distribution's own means, and try again:\n    {list}\n{}",
            super::bpf::OTHER_DISTRIBUTIONS
        );
    }
    if !is_root() {
        bail!(
            "packages are missing. Install them as root, then run this again:\n    \
             sudo apt-get update && sudo apt-get install --no-install-recommends {list}"
        );
    }
    let what = format!("apt-get install {list}");
    Ok(Some(Step { what, work: Box::new(move || install(&packages)) }))
}

fn install(packages: &[&str]) -> Result<()> {
    run(apt_get().args(["update", "-qq"]))
        .unwrap_or_else(|error| say(format!("setup: {error}; going on with the old lists")));
    let _policy = ServicePolicy::forbid_starts()?;
    run(apt_get().args(["install", "-qq", "--yes", "--no-install-recommends"]).args(packages))
        .context(super::bpf::OTHER_DISTRIBUTIONS)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.stdout(std::process::Stdio::null());
    command
}

/// Keeps the packages from starting their services (nginx on port 80, Prometheus on 9090):
/// the chores start the programs by themselves.
struct ServicePolicy;

impl ServicePolicy {
    /// `None` when the host has a policy of its own.
    fn forbid_starts() -> Result<Option<Self>> {
        if Path::new(SERVICE_POLICY).exists() {
            return Ok(None);
        }
        fs::write(
            SERVICE_POLICY,
            "#!/bin/sh\n# Of `cargo xtask setup`, while it installs.\nexit 101\n",
        )
        .with_context(|| format!("cannot write {SERVICE_POLICY}"))?;
        fs::set_permissions(SERVICE_POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Some(Self))
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(SERVICE_POLICY) {
            say(format!("setup: remove {SERVICE_POLICY} by hand: {error}"));
        }
    }
}
