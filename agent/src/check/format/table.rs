//! A report as text for people: what is wrong first and in full, then a line for each check that passed.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Look;
use crate::{
    check::{Finding, Report, Suite, Value, Verdict},
    sink::render::safe,
};

/// The longest value or sentence, in characters.
const LONG: usize = 400;
/// What stands before the lines under a finding, and before their continuation.
const INDENT: &str = "              ";
const HANGING: &str = "                        ";

const LABEL: Style = AnsiColor::Cyan.on_default();
const CAUSE: Style = AnsiColor::Magenta.on_default().bold();
const NAME: Style = Style::new().bold();

pub(super) fn text(report: &Report, look: Look) -> String {
    let mut text = String::new();
    for suite in &report.suites {
        let _ = writeln!(text, "{}", look.paint(NAME, &safe(&suite.name, LONG)));
        text += &look.suite(suite);
        text.push('\n');
    }
    let counts = Verdict::ALL.iter().map(|&verdict| (report.count(verdict), verdict));
    let counts: Vec<_> = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {}", verdict.name()))
        .collect();
    let counts = if counts.is_empty() { "nothing to check".to_owned() } else { counts.join(", ") };
    text + &counts + "\n"
}

impl Look {
    fn suite(self, suite: &Suite) -> String {
        let width = suite.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        suite.findings.iter().map(|finding| self.finding(finding, width)).collect()
    }

    fn finding(self, finding: &Finding, width: usize) -> String {
        let style = match finding.verdict {
            Verdict::Pass => AnsiColor::Green.on_default(),
            Verdict::Inconclusive | Verdict::Warning => AnsiColor::Yellow.on_default(),
            Verdict::Fail | Verdict::Exposed => AnsiColor::Red.on_default().bold(),
        };
        let verdict = self.paint(style, &format!("{:12}", finding.verdict.name()));
        let check = safe(&finding.check, LONG);
        let mut line = format!("{verdict}  {check:width$}  ");
        if let Some(place) = &finding.place {
            let _ = write!(line, "{}:{} ", safe(&place.file, LONG), place.line);
        }
        line += &safe(&finding.summary, LONG);
        if let Some(cause) = finding.cause {
            let _ = write!(line, " ({})", self.paint(CAUSE, cause.code()));
        }
        let mut text = self.wrapped(&line, INDENT);
        if finding.verdict == Verdict::Pass {
            return text;
        }
        for value in &finding.values {
            text += &self.value(value);
        }
        for (index, line) in finding.fix.iter().flat_map(|fix| fix.lines()).enumerate() {
            text += &self.below(if index == 0 { "fix" } else { "" }, &safe(line, LONG));
        }
        text
    }

    /// `sent`, `arrived` and `answered` under each other, so that a changed letter is seen.
    fn value(self, value: &Value) -> String {
        let places =
            [("sent", &value.sent), ("arrived", &value.arrived), ("answered", &value.answered)];
        let seen = places.into_iter().filter_map(|(label, seen)| Some((label, seen.as_ref()?)));
        let name = safe(&value.name, LONG);
        seen.map(|(label, seen)| self.below(label, &format!("{name}: {}", safe(seen, LONG))))
            .collect()
    }

    fn below(self, label: &str, text: &str) -> String {
        let label = self.paint(LABEL, &format!("{label:8}"));
        self.wrapped(&format!("{INDENT}{label}  {text}"), HANGING)
    }

    /// `text` and a line feed, wrapped at words.
    fn wrapped(self, text: &str, continuation: &str) -> String {
        let Some(width) = self.width else { return format!("{text}\n") };
        let options = textwrap::Options::new(width)
            .subsequent_indent(continuation)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::fill(text, options) + "\n"
    }

    fn paint(self, style: Style, text: &str) -> String {
        let style = if self.colour { style } else { Style::new() };
        format!("{style}{text}{style:#}")
    }
}
