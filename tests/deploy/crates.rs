//! What is linked in: licences and sources as `deny.toml` allows them, and few crates in two versions. cargo-deny reads the
//! same file in the nightly workflow, and looks for advisories there: it takes longer to build than all the tests to run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use spdx::{Expression, ParseMode};
use wstap_tests::workspace;

use super::read;

/// Crates that are there in several versions. Each costs time and size: think before this grows.
const DUPLICATES: usize = 10;
/// Where crates may come from, if not from this workspace: Rust's registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/";

/// Every crate of Cargo.lock for the targets that are shipped.
fn crates() -> Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked"]).current_dir(workspace());
    for arch in ["x86_64", "aarch64"] {
        command.arg(format!("--filter-platform={arch}-unknown-linux-gnu"));
    }
    let output = command.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    metadata.get("packages").and_then(Value::as_array).cloned().context("no packages")
}

fn allowed() -> Result<BTreeSet<String>> {
    let deny: toml::Table = toml::from_str(&read(&workspace().join("deny.toml"))?)?;
    let list = deny.get("licenses").and_then(|part| part.get("allow")).context("licenses.allow")?;
    let list = list.as_array().context("an array")?;
    Ok(list.iter().filter_map(|licence| Some(licence.as_str()?.to_owned())).collect())
}

/// Whether a crate may be linked in by its licence, in the form of SPDX or the older one with slashes.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> Result<bool> {
    let expression = Expression::parse_mode(licence, ParseMode::LAX);
    let expression = expression.map_err(|error| anyhow::anyhow!("{licence}: {}", error.reason))?;
    Ok(expression.evaluate(|wanted| allowed.contains(&wanted.to_string())))
}

#[test]
fn licences_and_sources_are_allowed() -> Result<()> {
    let allowed = allowed()?;
    for (licence, is) in [
        ("MIT", true),
        ("MIT/GPL-3.0", true),
        ("GPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
    ] {
        ensure!(is_allowed(licence, &allowed)? == is, "{licence}");
    }
    let mut wrong = Vec::new();
    for package in crates()? {
        let name = &package["name"];
        let licence =
            package["license"].as_str().with_context(|| format!("{name} has no licence"))?;
        if !is_allowed(licence, &allowed)? {
            wrong.push(format!("{name}: {licence}"));
        }
        if package["source"].as_str().is_some_and(|source| !source.starts_with(REGISTRY)) {
            wrong.push(format!("{name} comes from {}", package["source"]));
        }
    }
    ensure!(wrong.is_empty(), "deny.toml does not allow:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn few_crates_are_there_twice() -> Result<()> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in crates()? {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    ensure!(
        versions.len() <= DUPLICATES,
        "{} crates, {DUPLICATES} are allowed: {versions:#?}",
        versions.len()
    );
    Ok(())
}
