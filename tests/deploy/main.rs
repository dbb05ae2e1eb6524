//! What `deploy/` ships: the rules do what they say, the copies agree with their source, every query
//! asks for metrics that exist, and the manifests are valid.

mod crates;
mod manifests;
mod metrics;
mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::workspace;

/// A file below `deploy/`.
fn shipped(path: &str) -> PathBuf {
    workspace().join("deploy").join(path)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Runs a command; what it printed when it succeeds.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        format!("{}: `cargo xtask setup` installs it", command.get_program().display())
    })?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}\n{text}");
    Ok(text.into_owned())
}

#[test]
fn rules_fire_when_they_should() -> Result<()> {
    let file = shipped("prometheus/wstap.test.yml");
    succeed(Command::new("promtool").args(["test", "rules"]).arg(file)).map(drop)
}

#[test]
fn the_scrape_configuration_is_valid() -> Result<()> {
    let file = shipped("prometheus/prometheus.yml");
    let said = succeed(Command::new("promtool").args(["check", "config"]).arg(file))?;
    assert!(!said.contains("FAILED"), "{said}");
    Ok(())
}

#[test]
fn copies_of_the_rules_are_equal() -> Result<()> {
    let rules = read(&shipped("prometheus/wstap.rules.yml"))?;
    let custom = read(&shipped("kustomize/components/rules/prometheusrule.yaml"))?;
    let (_, copy) = custom.split_once("\nspec:\n").context("a spec")?;
    let copy = copy.strip_prefix("  ").unwrap_or(copy).replace("\n  ", "\n");
    assert_eq!(copy, rules, "indent the rules into the PrometheusRule again");
    for (link, source) in [
        ("helm/wstap/files/wstap.rules.yml", "prometheus/wstap.rules.yml"),
        ("helm/wstap/files/wstap.json", "grafana/wstap.json"),
    ] {
        let target = shipped(link).canonicalize()?;
        assert_eq!(target, shipped(source).canonicalize()?, "{link} is a link to {source}");
    }
    Ok(())
}
