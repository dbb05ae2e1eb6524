//! The tools that make and check releases, installed below `target/tools`. Of a development build: they work for seconds,
//! and building them optimised takes minutes.

use std::path::PathBuf;
use std::process::Command;

use super::Step;
use crate::command::{run, workspace};

/// Each with its version.
pub(super) const RELEASE: &[(&str, &str)] =
    &[("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1"), ("cargo-cyclonedx", "0.5.9")];

fn folder() -> PathBuf {
    workspace().join("target/tools")
}

/// Where a tool is.
pub(crate) fn tool(name: &str) -> PathBuf {
    folder().join("bin").join(name)
}

/// The steps that install what is missing.
pub(super) fn steps(tools: &'static [(&str, &str)]) -> Vec<Step> {
    let missing = tools.iter().filter(|(name, _)| !tool(name).is_file());
    missing
        .map(|(name, version)| {
            let what = format!("cargo install {name} {version} into target/tools (1 to 2 minutes)");
            let work = move || {
                run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                    .args(["install", name, "--version", version, "--locked", "--debug", "--root"])
                    .arg(folder())
                    // One folder for all: they have many crates in common.
                    .env("CARGO_TARGET_DIR", folder().join("build"))
                    // Half of the time, and nobody debugs them.
                    .env("CARGO_PROFILE_DEV_DEBUG", "false"))
            };
            Step { what, work: Box::new(work) }
        })
        .collect()
}
