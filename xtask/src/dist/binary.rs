//! The agent's binary: static, without debug information, which lies beside it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::release::Release;
use crate::arch::Arch;
use crate::command::run;
use crate::cross;

/// What was built.
pub(super) struct Built {
    pub(super) arch: Arch,
    /// What is shipped.
    pub(super) binary: PathBuf,
    /// What a debugger wants, named in the binary.
    pub(super) debug: PathBuf,
}

pub(super) fn build(arch: Arch, release: &Release, profile: &str) -> Result<Built> {
    let mut cargo =
        cross::cargo(arch, &["build", "--locked", "--package", "wstap", "--bin", "wstap"])?;
    run(cargo.args(["--profile", profile]).env("WSTAP_COMMIT", &release.commit))?;
    let folder = super::folder().join("work").join(arch.name());
    std::fs::create_dir_all(&folder)?;
    let built = Built { arch, binary: folder.join("wstap"), debug: folder.join("wstap.debug") };
    let whole = cross::folder(arch, profile).join("wstap");
    let objcopy = cross::tool(arch, "objcopy");
    run(Command::new(&objcopy).arg("--only-keep-debug").arg(&whole).arg(&built.debug))?;
    run(Command::new(&objcopy).arg("--strip-all").arg(&whole).arg(&built.binary))?;
    run(Command::new(&objcopy)
        .arg("--add-gnu-debuglink=wstap.debug")
        .arg("wstap")
        .current_dir(&folder))?;
    is_static(&built)?;
    Ok(built)
}

/// A program that names an interpreter or a library needs what the host may not have.
fn is_static(built: &Built) -> Result<()> {
    let mut readelf = Command::new("readelf");
    let output =
        readelf.args(["--wide", "--program-headers", "--dynamic"]).arg(&built.binary).output();
    let output = output.context("cannot start readelf")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "readelf: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(!said.contains("NEEDED") && !said.contains("INTERP"), "not static:\n{said}");
    Ok(())
}
