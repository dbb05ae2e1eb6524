//! Names of metrics: those that the agent has, those that the documentation names, and those that the
//! dashboard and the rules ask for.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use wstap_tests::{scratch, workspace};

use super::{read, shipped, succeed};

/// What the shipped rules record.
const RECORDED: [&str; 2] = ["ws_abnormal_closure_rate", "ws_handshake_success_rate"];
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

/// The families that the agent has: string literals of the code that makes them.
fn exported() -> BTreeSet<String> {
    std::fs::read_dir(workspace().join("agent/src/sink/metrics"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| !file.ends_with("tests.rs"))
        .flat_map(|file| {
            read(&file).split('"').skip(1).step_by(2).flat_map(names).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn documentation_names_every_family_and_no_other() {
    let documented = names(&read(&workspace().join("docs/metrics.md")));
    let known: BTreeSet<_> = exported().into_iter().chain(RECORDED.map(str::to_owned)).collect();
    assert_eq!(documented, known);
}

#[test]
fn rules_and_dashboard_ask_for_what_exists() {
    let known: BTreeSet<_> = exported().into_iter().chain(RECORDED.map(str::to_owned)).collect();
    for file in ["prometheus/wstap.rules.yml", "prometheus/wstap.test.yml", "grafana/wstap.json"] {
        let asked = names(&read(&shipped(file)));
        assert!(asked.len() > 5, "{file} names metrics");
        let missing: Vec<_> = asked.difference(&known).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
}

#[test]
fn the_dashboard_is_whole_and_its_queries_are_valid() {
    let dashboard: Value = serde_json::from_str(&read(&shipped("grafana/wstap.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut queries = 0;
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id taken");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24, "{title}: outside of the grid");
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{title}: targets");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            // What Grafana fills in.
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$__range", "6h")
                .replace("$origin", ".*")
                .replace("$instance", ".*")
                .replace("$job", ".*");
            assert!(!query.contains('$'), "{title}: {query}");
            queries += 1;
            let query = serde_json::to_string(&query).unwrap();
            rules += &format!("  - record: query:{queries}\n    expr: {query}\n");
        }
    }
    assert!(queries > 20);
    let file = scratch("deploy-dashboard").unwrap().join("queries.yml");
    std::fs::write(&file, rules).unwrap();
    let said = succeed(Command::new("promtool").args(["check", "rules"]).arg(file));
    assert!(said.contains(&format!("{queries} rules found")), "{said}");
}
