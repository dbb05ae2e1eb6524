//! `wstap lint` and `wstap audit` agree: what lint predicts of a configuration is what the audit sees through the running
//! proxy.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::workspace;

use super::faults::Fault;
use super::proxies::{Proxy, configure};
use super::stage::{Stage, fronts};

/// The causes that lint gives as failures or exposures of a configuration with this one fault.
fn predicted(proxy: Proxy, stage: &Stage, fault: Fault) -> Result<Vec<String>> {
    let front = fronts(1)?[0];
    let file = configure(proxy, stage, &[(fault, front)])?;
    // What routes lie in is the dynamic file.
    let file =
        if proxy == Proxy::Traefik { file.with_file_name("traefik-dynamic.yaml") } else { file };
    let mut lint = Command::new(workspace().join("target/debug/wstap"));
    let output = lint.args(["lint", "--format", "json"]).arg(&file).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text)
        .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
    let suites = report["suites"].as_array().into_iter().flatten();
    let findings = suites.flat_map(|suite| suite["findings"].as_array().into_iter().flatten());
    let mut causes: Vec<String> = findings
        .filter(|finding| finding["verdict"] == "fail" || finding["verdict"] == "exposed")
        .map(|finding| finding["cause"].as_str().unwrap_or("-").to_owned())
        .collect();
    causes.sort_unstable();
    causes.dedup();
    Ok(causes)
}

#[test]
fn what_lint_predicts_is_what_the_audit_sees() -> Result<()> {
    let stage = Stage::new("agreement")?;
    let mut wrong = Vec::new();
    for proxy in Proxy::ALL {
        for &fault in proxy.faults() {
            let found = predicted(proxy, &stage, fault)?;
            let wanted = fault.cause(proxy);
            let said = fault.lint_says_instead(proxy).map(str::to_owned).or_else(|| wanted.clone());
            let agrees =
                found == said.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>();
            if !agrees {
                wrong.push(format!("{} {fault:?}: audit {wanted:?}, lint {found:?}", proxy.name()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
