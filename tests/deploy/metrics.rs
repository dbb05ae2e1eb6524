//! Names of metrics: those that the agent has, those that the documentation names, and those that the
//! dashboard and the rules ask for.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wstap_tests::{scratch, workspace};

use super::{read, shipped, succeed};

/// What the shipped rules record.
const RECORDED: [&str; 3] =
    ["ws_abnormal_closure_rate", "ws_forbidden_rate", "ws_handshake_success_rate"];
/// What a histogram's family is asked for by.
const HISTOGRAM: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Words of the text that are names of metrics of ours.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|byte: char| !(byte.is_ascii_alphanumeric() || byte == '_'))
        .filter(|word| ["ws_", "wstap_", "process_"].iter().any(|start| word.starts_with(start)))
        .map(|word| {
            let base = HISTOGRAM.iter().find_map(|suffix| word.strip_suffix(suffix));
            base.filter(|base| base.ends_with("_seconds")).unwrap_or(word).to_owned()
        })
        .collect()
}

/// The families that the agent has and the rules record: string literals of the code that makes them.
fn known() -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::from(RECORDED.map(str::to_owned));
    for entry in std::fs::read_dir(workspace().join("agent/src/sink/metrics"))? {
        let file = entry?.path();
        if !file.ends_with("tests.rs") {
            known.extend(read(&file)?.split('"').skip(1).step_by(2).flat_map(names));
        }
    }
    Ok(known)
}

#[test]
fn documentation_names_every_family_and_no_other() -> Result<()> {
    assert_eq!(names(&read(&workspace().join("docs/metrics.md"))?), known()?);
    Ok(())
}

#[test]
fn rules_and_dashboard_ask_for_what_exists() -> Result<()> {
    let known = known()?;
    for file in ["prometheus/wstap.rules.yml", "prometheus/wstap.test.yml", "grafana/wstap.json"] {
        let asked = names(&read(&shipped(file))?);
        assert!(asked.len() > 5, "{file} names metrics");
        let missing: Vec<_> = asked.difference(&known).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    Ok(())
}

#[test]
fn the_dashboard_is_whole_and_its_queries_are_valid() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read(&shipped("grafana/wstap.json"))?)?;
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id taken");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24, "{title}: outside of the grid");
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{title}: targets");
        for target in targets {
            // What Grafana fills in.
            let query = target["expr"]
                .as_str()
                .unwrap()
                .replace("$__rate_interval", "5m")
                .replace("$__range", "6h")
                .replace("$origin", ".*")
                .replace("$instance", ".*")
                .replace("$job", ".*");
            assert!(!query.contains('$'), "{title}: {query}");
            rules.push(json!({"record": format!("query:{}", rules.len()), "expr": query}));
        }
    }
    assert!(rules.len() > 20);
    let count = rules.len();
    // JSON is YAML.
    let file = scratch("deploy-dashboard")?.join("queries.yml");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string())?;
    let said = succeed(Command::new("promtool").args(["check", "rules"]).arg(file))?;
    assert!(said.contains(&format!("{count} rules found")), "{said}");
    Ok(())
}

#[test]
fn documentation_names_every_bound_and_loss() -> Result<()> {
    let page = read(&workspace().join("docs/metrics.md"))?;
    let code = read(&workspace().join("agent/src/pipeline/numbers.rs"))?;
    for (list, label) in [("lost: vec![", "reason"), ("bounds: vec![", "bound")] {
        let (_, rest) = code.split_once(list).context(list)?;
        let values = rest.split_once(']').context("its end")?.0.split('"').skip(1).step_by(2);
        for value in values {
            let row = format!("| `{value}` | `{label}` |");
            assert!(page.contains(&row), "docs/metrics.md lacks: {row}");
        }
    }
    Ok(())
}
