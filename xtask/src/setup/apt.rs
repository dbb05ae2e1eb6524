//! Debian's packages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

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
    let mut install = apt_get();
    install.args(["install", "-qq", "--yes", "--no-install-recommends"]);
    // Machine-readable progress instead of a line for each of hundreds of packages.
    install.args(["-o", "APT::Status-Fd=1"]).args(packages).stdout(Stdio::piped());
    let mut child = install.spawn().context("cannot start apt-get")?;
    if let Some(output) = child.stdout.take() {
        show_progress(BufReader::new(output));
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "apt-get install failed ({status})\n{}",
        super::bpf::OTHER_DISTRIBUTIONS
    );
    Ok(())
}

/// Says how far apt-get is, in steps of a quarter. Its lines are `dlstatus:...:PERCENT:...` while
/// it downloads and `pmstatus:PACKAGE:PERCENT:...` while it installs.
fn show_progress(output: impl BufRead) {
    let mut said = (String::new(), 0);
    for line in output.lines().map_while(Result::ok) {
        let mut fields = line.split(':');
        let phase = match fields.next() {
            Some("dlstatus") => "downloaded",
            Some("pmstatus") => "installed",
            _ => continue,
        };
        let percent =
            fields.find_map(|field| field.parse::<f32>().ok().filter(|_| field.contains('.')));
        #[expect(clippy::cast_sign_loss, reason = "a percentage")]
        let quarter = percent.map_or(0, |percent| percent as u32 / 25);
        if quarter > 0 && said != (phase.to_owned(), quarter) {
            said = (phase.to_owned(), quarter);
            say(format!("setup:     {phase} {} %", quarter * 25));
        }
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // A new machine is often still installing updates by itself; a held lock would be an error at once.
    command.args(["-o", "DPkg::Lock::Timeout=600"]);
    command.stdout(Stdio::null());
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
