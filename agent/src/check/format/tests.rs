use super::*;
use crate::{
    check::{Finding, Own, Suite, Tool, Value, Verdict},
    diagnose::Cause,
};

/// A report with every verdict, and with all that a hostile server can put into one.
pub(crate) fn sample() -> Report {
    let hostile = "\u{1b}[2J<&\"'>\u{0}\u{202e}]]>";
    let findings = vec![
        Finding::new("handshake", Verdict::Pass, "101, and a browser keeps it"),
        Finding::new("origin/null", Verdict::Inconclusive, format!("the answer was {hostile}")),
        Finding::new("arrived/upgrade", Verdict::Fail, "Upgrade does not arrive")
            .because(Cause::UpgradeStripped)
            .with(Value::of("Upgrade").sent("websocket").arrived(None))
            .with(Value::of("status").answered(format!("426 {hostile}")))
            .fixed_by("proxy_set_header Upgrade $http_upgrade;\nproxy_http_version 1.1;"),
        Finding::new("origin/foreign", Verdict::Exposed, "another site is let in")
            .because(Own::OriginUnchecked),
    ];
    let lint = Finding::new("nginx/upgrade", Verdict::Fail, "Upgrade is not passed")
        .because(Cause::UpgradeStripped)
        .at("conf.d/my site.conf", 12);
    Report::new(
        Tool::Audit,
        vec![Suite::new("wss://app.example/ws", findings), Suite::new("nginx.conf", vec![lint])],
    )
}

fn written(format: Format) -> String {
    let mut out = Vec::new();
    write(&sample(), format, Look::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_tells_the_worst_first_and_does_no_harm() {
    let text = written(Format::Table);
    let verdicts: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let at = |name| verdicts.iter().position(|verdict| *verdict == name).unwrap();
    assert!(at("exposed") < at("fail") && at("fail") < at("inconclusive"));
    assert!(text.contains("sent      Upgrade: websocket\n"), "{text}");
    assert!(text.contains("arrived   Upgrade: (absent)\n"), "{text}");
    assert!(text.contains("fix       proxy_set_header Upgrade"), "{text}");
    assert!(text.contains("conf.d/my site.conf:12"), "{text}");
    assert!(text.ends_with("1 exposed, 2 fail, 1 inconclusive, 1 pass\n"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{0}', '\u{202e}']), "{text}");
}

#[test]
fn json_is_read_again_as_the_same_report() {
    let text = written(Format::Json);
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), sample());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["summary"]["fail"], 2);
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

#[test]
fn junit_counts_and_is_well_formed() {
    let text = written(Format::Junit);
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut cases, mut failures, mut skipped) = (0, 0, 0);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(start) | quick_xml::events::Event::Empty(start) => {
                match start.name().as_ref() {
                    b"testcase" => cases += 1,
                    b"failure" => failures += 1,
                    b"skipped" => skipped += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    assert_eq!((cases, failures, skipped), (5, 3, 1));
    assert!(text.contains("type=\"upgrade-stripped\""), "{text}");
    assert!(text.contains("tests=\"4\" failures=\"2\" errors=\"0\" skipped=\"1\""), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{0}']), "{text}");
}

#[test]
fn sarif_has_a_rule_for_every_cause_and_no_pass() {
    let value: serde_json::Value = serde_json::from_str(&written(Format::Sarif)).unwrap();
    let run = &value["runs"][0];
    let rules: Vec<_> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["origin-unchecked", "upgrade-stripped", "inconclusive"]);
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()));
    }
    let place = &results[3]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "conf.d/my%20site.conf");
    assert_eq!(place["region"]["startLine"], 12);
    assert!(run["tool"]["driver"]["rules"][1]["help"]["markdown"].as_str().unwrap().len() > 500);
}
