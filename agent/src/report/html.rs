//! A report as one HTML file: no script, no font, no picture from elsewhere. Every value is escaped.

use std::fmt::Write as _;

use super::{Group, Report, Slot, brief, long};
use crate::sink::render::safe;

/// The longest value, in characters.
const LONG: usize = 400;
/// A plot's size, in its own units.
const WIDTH: usize = 960;
const HEIGHT: usize = 120;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2330; --faint: #667085; --line: #d9dee7; --bad: #c6362c; --good: #5b8def;
  --odd: #c98a1b; --paper: #ffffff; --box: #f6f8fb }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf2; --faint: #98a2b3; --line: #364152; --bad: #ff6f61;
  --good: #6d9bff; --odd: #e3b04b; --paper: #11161f; --box: #1a212d } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 0 } p { margin: .4rem 0 }
.faint { color: var(--faint) } .big { font-size: 1.15rem; margin: .8rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .9rem } td, th { text-align: left; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top } td.n, th.n { text-align: right }
code { font: .88em/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
section { background: var(--box); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; margin: 1.2rem 0 }
dl { display: grid; grid-template-columns: 7rem 1fr; gap: .15rem .8rem; margin: .6rem 0 } dt { color: var(--faint) }
dd { margin: 0; min-width: 0 } .changed { border-left: 3px solid var(--bad); padding-left: .7rem; margin: .6rem 0 }
svg { display: block; width: 100%; height: auto; margin: .6rem 0 } .a { fill: var(--good) } .f { fill: var(--bad) }
.e { fill: var(--odd) } .axis { stroke: var(--line) } text { fill: var(--faint); font: 11px system-ui, sans-serif }
";

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    out.push_str(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>WebSocket report</title>\n<style>",
    );
    out.push_str(STYLE);
    let _ = write!(
        out,
        "</style></head>\n<body>\n<h1>WebSocket report</h1>\n<p class=\"faint\">{} to {} ({})</p>\n\
         <p class=\"big\">{}.</p>\n",
        brief(&report.from),
        brief(&report.to),
        long(report.seconds),
        escaped(&report.summary())
    );
    out.push_str(&stacked(report));
    for note in report.notes() {
        let _ = writeln!(out, "<p class=\"faint\">{}</p>", escaped(&note));
    }
    if !report.groups.is_empty() {
        out.push_str(
            "<table><tr><th class=\"n\">#</th><th>cause</th><th class=\"n\">count</th><th class=\"n\">share</th>\
             <th>origin</th><th>path</th><th>first</th></tr>\n",
        );
    }
    for (number, group) in report.groups.iter().enumerate() {
        let share =
            group.attempts.map_or_else(|| "-".to_owned(), |all| super::percent(group.count, all));
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{0}</td><td><a href=\"#g{0}\">{1}</a></td><td class=\"n\">{2}</td>\
             <td class=\"n\">{share}</td><td><code>{3}</code></td><td><code>{4}</code></td><td>{5}</td></tr>",
            number + 1,
            escaped(&group.key.cause),
            group.count,
            escaped(group.key.origin.as_deref().unwrap_or("none")),
            escaped(group.key.path.as_deref().unwrap_or("-")),
            brief(&group.first),
        );
    }
    if !report.groups.is_empty() {
        out.push_str("</table>\n");
    }
    for (number, group) in report.groups.iter().enumerate() {
        section(&mut out, number + 1, group, report);
    }
    for storm in &report.storms {
        let _ = writeln!(
            out,
            "<section><h2>Reconnect storm</h2><p>{}: {} connections of <code>{}</code> ended together ({} by {}), {} \
             handshakes followed within {}, {} failed.</p></section>",
            brief(&storm.time),
            storm.ended,
            escaped(storm.origin.as_deref().unwrap_or("no origin")),
            storm.code,
            storm.initiator.name(),
            storm.reconnects,
            long(storm.seconds),
            storm.failed,
        );
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, number: usize, group: &Group, report: &Report) {
    let _ = writeln!(
        out,
        "<section id=\"g{number}\"><h2>{number}. {}</h2><p>{}, first {}, last {}</p>",
        escaped(&group.title()),
        escaped(&group.often()),
        brief(&group.first),
        brief(&group.last)
    );
    let class = if group.key.is_end { "e" } else { "f" };
    out.push_str(&plot(&[(&group.time_line, class)], report));
    for change in &group.changes {
        let _ = writeln!(
            out,
            "<p class=\"changed\"><strong>Changed</strong> {}: {}</p>",
            brief(&change.time),
            escaped(&change.what)
        );
    }
    out.push_str("<dl>");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "<dt>{}</dt><dd><code>{}</code></dd>", escaped(name), escaped(value));
    };
    for (name, value) in group.facts() {
        row(name, &value);
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
    out.push_str("</dl></section>\n");
}

/// The whole time: accepted, failed and abnormal in one column each.
fn stacked(report: &Report) -> String {
    let of = |count: fn(&Slot) -> u64| report.time_line.iter().map(count).collect::<Vec<_>>();
    let (accepted, failed) = (of(|slot| slot.accepted), of(|slot| slot.failed));
    let abnormal = of(|slot| slot.abnormal);
    let legend = "<p class=\"faint\"><svg style=\"display:inline;width:.8em;margin:0 .3em\" viewBox=\"0 0 8 8\"><rect class=\"f\" \
         width=\"8\" height=\"8\"/></svg>failed <svg style=\"display:inline;width:.8em;margin:0 .3em\" viewBox=\"0 0 8 8\"><rect \
         class=\"e\" width=\"8\" height=\"8\"/></svg>ended abnormally <svg style=\"display:inline;width:.8em;margin:0 .3em\" \
         viewBox=\"0 0 8 8\"><rect class=\"a\" width=\"8\" height=\"8\"/></svg>accepted</p>\n";
    plot(&[(&failed, "f"), (&abnormal, "e"), (&accepted, "a")], report) + legend
}

/// Columns of a number each; several series stand on each other, the first at the bottom.
fn plot(series: &[(&Vec<u64>, &str)], report: &Report) -> String {
    let count = report.time_line.len().max(1);
    let sum =
        |index: usize| -> u64 { series.iter().filter_map(|(numbers, _)| numbers.get(index)).sum() };
    let most = (0..count).map(sum).max().unwrap_or(0).max(1);
    let (base, step) = (HEIGHT - 18, WIDTH / count);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>over time, at most {most}</title>\n"
    );
    for index in 0..count {
        let mut top = base;
        for (numbers, class) in series {
            let number = numbers.get(index).copied().unwrap_or(0);
            // What is there shows.
            let room = u64::try_from(base - 14).unwrap_or(0);
            let height = usize::try_from((number * room).div_ceil(most)).unwrap_or(0);
            top = top.saturating_sub(height);
            if height > 0 {
                let (x, width) = (index * step, step.saturating_sub(2).max(1));
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
                );
            }
        }
    }
    let time = |slot: Option<&Slot>| slot.map(|slot| clock(&slot.from)).unwrap_or_default();
    let _ = writeln!(
        out,
        "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>\
         <text x=\"0\" y=\"{y}\">{}</text><text x=\"{}\" y=\"{y}\" text-anchor=\"middle\">{}</text>\
         <text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{}</text><text x=\"0\" y=\"10\">{most}</text></svg>",
        time(report.time_line.first()),
        WIDTH / 2,
        time(report.time_line.get(count / 2)),
        clock(&report.to),
        y = HEIGHT - 4,
    );
    out
}

/// The time of day of an RFC 3339 time.
fn clock(time: &str) -> String {
    time.get(11..19).unwrap_or_default().to_owned()
}

/// A value in which nothing is markup.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for character in safe(value, LONG).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character => out.push(character),
        }
    }
    out
}
