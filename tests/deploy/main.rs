//! What `deploy/` ships: the rules do what they say, the copies agree with their source, every query
//! asks for metrics that exist, and the manifests are valid.

mod manifests;
mod metrics;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wstap_tests::workspace;

/// A file below `deploy/`.
fn shipped(path: &str) -> PathBuf {
    workspace().join("deploy").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a command; its output when it succeeds.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}: `cargo xtask setup` installs it", command.get_program().display())
    });
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
    text.into_owned()
}

#[test]
fn rules_fire_when_they_should() {
    succeed(
        Command::new("promtool").args(["test", "rules"]).arg(shipped("prometheus/wstap.test.yml")),
    );
}

#[test]
fn the_scrape_configuration_is_valid() {
    let file = shipped("prometheus/prometheus.yml");
    let said = succeed(Command::new("promtool").args(["check", "config"]).arg(file));
    assert!(!said.contains("FAILED"), "{said}");
}

#[test]
fn copies_of_the_rules_are_equal() {
    let rules = read(&shipped("prometheus/wstap.rules.yml"));
    let custom = read(&shipped("kustomize/components/rules/prometheusrule.yaml"));
    let (_, copy) = custom.split_once("\nspec:\n").expect("a spec");
    let copy: String =
        copy.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    assert_eq!(copy, rules, "indent the rules into the PrometheusRule again");
    for (link, source) in [
        ("helm/wstap/files/wstap.rules.yml", "prometheus/wstap.rules.yml"),
        ("helm/wstap/files/wstap.json", "grafana/wstap.json"),
    ] {
        assert_eq!(
            shipped(link).canonicalize().unwrap(),
            shipped(source).canonicalize().unwrap(),
            "{link} is a link to {source}"
        );
    }
}
