//! A report as SARIF 2.1.0 (OASIS): a rule for each cause, a result for each finding that is no pass.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{json::document, junit::details};
use crate::check::{Code, Finding, Report, Suite, Verdict};

/// The rule of findings that have no cause.
const NO_CAUSE: &str = "inconclusive";

pub(super) fn text(report: &Report) -> String {
    let mut rules: Vec<Code> = Vec::new();
    let mut others = false;
    for finding in report.findings().filter(|finding| finding.verdict != Verdict::Pass) {
        match finding.cause {
            Some(cause) if !rules.contains(&cause) => rules.push(cause),
            Some(_) => {}
            None => others = true,
        }
    }
    rules.sort_by_key(|rule| rule.code());
    let mut described: Vec<Value> = rules.iter().map(|&code| rule(code)).collect();
    if others {
        described.push(json!({
            "id": NO_CAUSE,
            "shortDescription": { "text": "it cannot be told from here" },
        }));
    }
    let results: Vec<Value> = report
        .suites
        .iter()
        .flat_map(|suite| suite.findings.iter().map(move |finding| (suite, finding)))
        .filter(|(_, finding)| finding.verdict != Verdict::Pass)
        .map(|(suite, finding)| result(suite, finding))
        .collect();
    document(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": format!("wstap {}", report.tool.name()),
                "version": report.version,
                "rules": described,
            } },
            "results": results,
        }],
    }))
}

fn rule(code: Code) -> Value {
    let help = code.help();
    json!({
        "id": code.code(),
        "shortDescription": { "text": code.meaning() },
        "help": { "text": help, "markdown": help },
        "properties": { "tags": ["websocket"] },
    })
}

fn result(suite: &Suite, finding: &Finding) -> Value {
    let level = match finding.verdict {
        Verdict::Exposed | Verdict::Fail => "error",
        Verdict::Warning => "warning",
        Verdict::Inconclusive => "note",
        Verdict::Pass => "none",
    };
    let file = finding.place.as_ref().map_or(suite.name.as_str(), |place| place.file.as_str());
    let artifact = json!({ "uri": uri(file) });
    let physical = match &finding.place {
        Some(place) => json!({
            "artifactLocation": artifact,
            "region": { "startLine": place.line.max(1) },
        }),
        None => json!({ "artifactLocation": artifact }),
    };
    json!({
        "ruleId": finding.cause.map_or(NO_CAUSE, Code::code),
        "level": level,
        "message": { "text": details(finding).trim_end() },
        "locations": [{ "physicalLocation": physical }],
        "partialFingerprints": { "check/v1": format!("{}|{}", suite.name, finding.check) },
        "properties": { "check": finding.check, "verdict": finding.verdict.name() },
    })
}

/// A path or URL as a URI reference (RFC 3986): what may not stand in one is percent-encoded.
fn uri(name: &str) -> String {
    let mut uri = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@!$&'()*+,;=[]%?#".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
