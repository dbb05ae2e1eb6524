//! A report for the terminal.

use std::fmt::Write as _;

use super::{Report, brief, long};
use crate::sink::render::safe;

/// The longest value, in characters.
const LONG: usize = 160;
/// Heights of a column, from nothing to full.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "WebSocket report, {} to {} ({})",
        brief(&report.from),
        brief(&report.to),
        long(report.seconds)
    );
    let _ = writeln!(out, "  {}", report.summary());
    let line = |of: &dyn Fn(&super::Slot) -> u64| {
        columns(&report.time_line.iter().map(of).collect::<Vec<_>>())
    };
    let _ = writeln!(out, "  accepted  |{}|", line(&|slot| slot.accepted));
    let _ = writeln!(out, "  failed    |{}|", line(&|slot| slot.failed));
    if report.abnormal > 0 {
        let _ = writeln!(out, "  abnormal  |{}|", line(&|slot| slot.abnormal));
    }
    for note in report.notes() {
        let _ = writeln!(out, "  {}", safe(&note, LONG));
    }
    for (number, group) in report.groups.iter().enumerate() {
        let _ =
            writeln!(out, "\n{}. {}: {}", number + 1, safe(&group.title(), LONG), group.often());
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "   {name:9} {}", safe(value, LONG * 2));
        };
        for (name, value) in group.facts() {
            row(name, &value);
        }
        row("first", &brief(&group.first));
        row("last", &brief(&group.last));
        row("time", &format!("|{}|", columns(&group.time_line)));
        for change in &group.changes {
            row("changed", &format!("{}  {}", brief(&change.time), change.what));
        }
        for (name, value) in group.evidence() {
            row("evidence", &format!("{name}: {value}"));
        }
        if let Some(fix) = &group.fix {
            row("fix", fix);
        }
        if !group.ids().is_empty() {
            row("events", &group.ids().join(", "));
        }
    }
    for storm in &report.storms {
        let _ = writeln!(
            out,
            "\nReconnect storm at {}: {} connections of {} ended together ({} by {}{}), {} handshakes \
             followed within {}, {} failed",
            brief(&storm.time),
            storm.ended,
            safe(storm.origin.as_deref().unwrap_or("no origin"), LONG),
            storm.code,
            storm.initiator.name(),
            storm
                .reason
                .as_deref()
                .map(|reason| format!(", {}", safe(reason, LONG)))
                .unwrap_or_default(),
            storm.reconnects,
            long(storm.seconds),
            storm.failed,
        );
    }
    out
}

/// A column for each number, the highest one full.
fn columns(numbers: &[u64]) -> String {
    let most = numbers.iter().max().copied().unwrap_or(0).max(1);
    let column = |number: &u64| {
        // What is there shows.
        let height = (u128::from(*number) * 8).div_ceil(u128::from(most));
        BLOCKS.get(usize::try_from(height).unwrap_or(8)).copied().unwrap_or(' ')
    };
    numbers.iter().map(column).collect()
}
