//! A report as one JSON document, which `--baseline` reads again.

use serde::Serialize;

use crate::{
    check::{Report, Verdict},
    sink::json::escaped,
};

/// What stands before the report itself.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    summary: Summary,
}

/// How many findings have each verdict.
#[derive(Serialize)]
struct Summary {
    exposed: usize,
    fail: usize,
    inconclusive: usize,
    warning: usize,
    pass: usize,
}

pub(super) fn text(report: &Report) -> String {
    let summary = Summary {
        exposed: report.count(Verdict::Exposed),
        fail: report.count(Verdict::Fail),
        inconclusive: report.count(Verdict::Inconclusive),
        warning: report.count(Verdict::Warning),
        pass: report.count(Verdict::Pass),
    };
    // Strings, numbers and enums only: there is nothing in it that JSON has not.
    document(&Document { report, summary })
}

/// A value in several lines, harmless where it is shown as it is.
pub(super) fn document(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let lines = text.lines().map(|line| escaped(line) + "\n");
    lines.collect()
}
