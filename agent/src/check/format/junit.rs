//! A report as JUnit XML, as CI servers read it: a suite for each URL or file, a case for each check.
//!
//! What fails or is exposed is a failure whose type is the cause; what cannot be told is skipped.

use std::{
    fmt::Write as _,
    io::{self, Cursor},
};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

use crate::check::{Finding, Report, Suite, Verdict};

pub(super) fn text(report: &Report) -> io::Result<String> {
    let mut out = Writer::new_with_indent(Cursor::new(Vec::new()), b' ', 2);
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let name = format!("wstap {}", report.tool.name());
    let mut root = BytesStart::new("testsuites");
    root.push_attribute(("name", name.as_str()));
    counts(&mut root, &report.findings().collect::<Vec<_>>());
    out.write_event(Event::Start(root))?;
    let class = format!("wstap.{}", report.tool.name());
    for suite in &report.suites {
        write_suite(&mut out, suite, &class)?;
    }
    out.write_event(Event::End(BytesEnd::new("testsuites")))?;
    let text = String::from_utf8_lossy(out.into_inner().get_ref()).into_owned();
    Ok(text + "\n")
}

type Out = Writer<Cursor<Vec<u8>>>;

fn write_suite(out: &mut Out, suite: &Suite, class: &str) -> io::Result<()> {
    let mut start = BytesStart::new("testsuite");
    start.push_attribute(("name", valid(&suite.name).as_str()));
    counts(&mut start, &suite.findings.iter().collect::<Vec<_>>());
    out.write_event(Event::Start(start))?;
    for finding in &suite.findings {
        write_case(out, finding, class)?;
    }
    out.write_event(Event::End(BytesEnd::new("testsuite")))
}

fn write_case(out: &mut Out, finding: &Finding, class: &str) -> io::Result<()> {
    let mut start = BytesStart::new("testcase");
    // Cases of one suite are told apart by their names.
    let mut name = valid(&finding.check);
    if let Some(place) = &finding.place {
        let _ = write!(name, " ({}:{})", valid(&place.file), place.line);
    }
    start.push_attribute(("name", name.as_str()));
    start.push_attribute(("classname", class));
    let summary = valid(&finding.summary);
    match finding.verdict {
        Verdict::Pass => out.write_event(Event::Empty(start)),
        // JUnit has no warnings: what was told is told, and the case passes.
        Verdict::Warning => {
            out.write_event(Event::Start(start))?;
            out.write_event(Event::Start(BytesStart::new("system-out")))?;
            out.write_event(Event::Text(BytesText::new(&valid(&details(finding)))))?;
            out.write_event(Event::End(BytesEnd::new("system-out")))?;
            out.write_event(Event::End(BytesEnd::new("testcase")))
        }
        Verdict::Inconclusive => {
            out.write_event(Event::Start(start))?;
            out.write_event(Event::Start(BytesStart::new("skipped")))?;
            out.write_event(Event::Text(BytesText::new(&summary)))?;
            out.write_event(Event::End(BytesEnd::new("skipped")))?;
            out.write_event(Event::End(BytesEnd::new("testcase")))
        }
        Verdict::Fail | Verdict::Exposed => {
            out.write_event(Event::Start(start))?;
            let mut failure = BytesStart::new("failure");
            let kind = finding.cause.map_or(finding.verdict.name(), super::super::Code::code);
            failure.push_attribute(("type", kind));
            failure.push_attribute(("message", summary.as_str()));
            out.write_event(Event::Start(failure))?;
            out.write_event(Event::Text(BytesText::new(&valid(&details(finding)))))?;
            out.write_event(Event::End(BytesEnd::new("failure")))?;
            out.write_event(Event::End(BytesEnd::new("testcase")))
        }
    }
}

fn counts(element: &mut BytesStart<'_>, findings: &[&Finding]) {
    let of = |wanted: &[Verdict]| {
        findings.iter().filter(|finding| wanted.contains(&finding.verdict)).count().to_string()
    };
    element.push_attribute(("tests", of(Verdict::ALL).as_str()));
    element.push_attribute(("failures", of(&[Verdict::Fail, Verdict::Exposed]).as_str()));
    element.push_attribute(("errors", "0"));
    if element.name().as_ref() == b"testsuite" {
        element.push_attribute(("skipped", of(&[Verdict::Inconclusive]).as_str()));
    }
}

/// What a person needs to put it right, in lines.
pub(super) fn details(finding: &Finding) -> String {
    let mut text = format!("{}: {}\n", finding.verdict.name(), finding.summary);
    for value in &finding.values {
        let places =
            [("sent", &value.sent), ("arrived", &value.arrived), ("answered", &value.answered)];
        for (label, seen) in places {
            if let Some(seen) = seen {
                let _ = writeln!(text, "{label:9} {}: {seen}", value.name);
            }
        }
    }
    for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
        let _ = writeln!(text, "fix:      {line}");
    }
    text
}

/// Without what XML 1.0 has no way to write (section 2.2): control characters, U+FFFE and U+FFFF.
fn valid(text: &str) -> String {
    let allowed = |c: char| {
        !(c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}
