//! `.deb`, `.rpm` and the list of what is inside (SBOM), by cargo's own tools for them; agent/Cargo.toml has the packages'
//! content.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::binary::Built;
use super::release::Release;
use crate::command::{run, workspace};
use crate::setup::dist::tool;

/// A subcommand of cargo's that `cargo xtask setup` installed.
fn cargo(name: &str, release: &Release) -> Command {
    let mut cargo = Command::new(tool(&format!("cargo-{name}")));
    cargo.arg(name).current_dir(workspace()).env("SOURCE_DATE_EPOCH", &release.epoch);
    cargo
}

pub(super) fn deb(built: &Built, release: &Release) -> Result<()> {
    let file = format!("wstap_{}_{}.deb", release.version, built.arch.debian());
    run(cargo("deb", release)
        .args(["--quiet", "--package", "wstap", "--no-build", "--no-strip"])
        .args(["--target", &built.arch.triple()])
        .args(["--deb-version", release.version, "--output"])
        .arg(super::folder().join(file)))
}

pub(super) fn rpm(built: &Built, release: &Release) -> Result<()> {
    let file = format!("wstap-{}-1.{}.rpm", release.version, built.arch.name());
    run(cargo("generate-rpm", release)
        .args(["--package", "agent", "--target", &built.arch.triple()])
        .args(["--source-date", &release.epoch, "--output"])
        .arg(super::folder().join(file)))
}

/// CycloneDX, of what is linked in for the architecture.
pub(super) fn sbom(built: &Built, release: &Release) -> Result<()> {
    let name = format!("wstap-{}-{}.cdx", release.version, built.arch.name());
    run(cargo("cyclonedx", release)
        .args(["--format", "json", "--spec-version", "1.5", "--quiet"])
        .args(["--target", &built.arch.triple(), "--override-filename", &name])
        .args(["--manifest-path", "agent/Cargo.toml"]))?;
    // It writes one for every crate of the workspace, beside its Cargo.toml.
    let file = format!("{name}.json");
    fs::rename(workspace().join("agent").join(&file), super::folder().join(&file))
        .context("cargo-cyclonedx wrote no list for the agent")?;
    for member in ["agent-common", "agent-ebpf", "fuzz", "tests", "xtask"] {
        let _there = fs::remove_file(workspace().join(member).join(&file));
    }
    Ok(())
}
