//! A report for a ticket: Markdown. What a client chose stands in code spans, where nothing of it means anything.

use std::fmt::Write as _;

use super::{Report, brief, long};
use crate::sink::render::safe;

/// The longest value, in characters.
const LONG: usize = 320;

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# WebSocket report\n\n{} to {} ({})\n\n**{}.**\n",
        brief(&report.from),
        brief(&report.to),
        long(report.seconds),
        report.summary()
    );
    for note in report.notes() {
        let _ = writeln!(out, "- {}", plain(&note));
    }
    if !report.groups.is_empty() {
        out.push_str("\n| | cause | count | share | origin | path | first | last |\n");
        out.push_str("|---|---|---|---|---|---|---|---|\n");
    }
    for (number, group) in report.groups.iter().enumerate() {
        let share =
            group.attempts.map_or_else(|| "-".to_owned(), |all| super::percent(group.count, all));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {share} | {} | {} | {} | {} |",
            number + 1,
            code(&group.key.cause),
            group.count,
            code(group.key.origin.as_deref().unwrap_or("none")),
            code(group.key.path.as_deref().unwrap_or("-")),
            brief(&group.first),
            brief(&group.last),
        );
    }
    for (number, group) in report.groups.iter().enumerate() {
        let _ =
            writeln!(out, "\n## {}. {}\n\n{}.\n", number + 1, plain(&group.title()), group.often());
        for (name, value) in group.facts() {
            let _ = writeln!(out, "- {name}: {}", code(&value));
        }
        for change in &group.changes {
            let _ = writeln!(out, "- **changed** {}: {}", brief(&change.time), code(&change.what));
        }
        for (name, value) in group.evidence() {
            let _ = writeln!(out, "- evidence: {}", code(&format!("{name}: {value}")));
        }
        if let Some(fix) = &group.fix {
            let _ = writeln!(out, "- **fix**: {}", code(fix));
        }
        if !group.ids().is_empty() {
            let _ = writeln!(out, "- events: {}", code(&group.ids().join(", ")));
        }
    }
    if !report.storms.is_empty() {
        out.push_str("\n## Reconnect storms\n\n");
    }
    for storm in &report.storms {
        let _ = writeln!(
            out,
            "- {}: {} connections of {} ended together ({} by {}), {} handshakes followed within {}, {} failed",
            brief(&storm.time),
            storm.ended,
            code(storm.origin.as_deref().unwrap_or("no origin")),
            storm.code,
            storm.initiator.name(),
            storm.reconnects,
            long(storm.seconds),
            storm.failed,
        );
    }
    out
}

/// A value as a code span, which ends at no backtick and at no column of a table.
fn code(value: &str) -> String {
    format!("`{}`", safe(value, LONG).replace('`', "'").replace('|', "\\|"))
}

/// Text of ours that may hold a value: nothing in it is markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for character in safe(text, LONG).chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '#' | '!') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
