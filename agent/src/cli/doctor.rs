//! `wstap doctor`: what this host offers, what is missing, and what that costs.
//!
//! In: the host, and a capture of our own for a moment. Out: a line for each check on standard output;
//! whether wstap can capture here.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{DoctorArgs, Pipeline, print};
use crate::{
    config::Settings,
    doctor::{self, Check, Facts, Status},
    kernel::tls,
    sink::render::Format,
};

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    can_capture: bool,
    checks: &'a [Check],
}

pub(super) fn run(args: DoctorArgs, pipeline: Pipeline) -> anyhow::Result<bool> {
    let mut settings = Settings::resolve(args.options.into(), args.file.config.as_deref())?;
    // Before our own programs are among the others.
    let facts = Facts::read(settings.cgroup.as_deref(), settings.ring_bytes);
    let mut checks = doctor::host(&facts);
    let processes = tls::look();
    if !settings.tls.wanted.is_on() {
        // To see whether the family could be had, and what it would cost; nobody is looked into.
        settings.tls.wanted = tls::Wanted::Named(Vec::new());
    }
    let (capture, can_capture) = doctor::capture(&(pipeline.self_test)(&settings));
    checks.extend(capture);
    checks.push(doctor::tls_processes(&processes));
    let text = match Format::of_stdout(args.output.json) {
        Format::Json => serde_json::to_string(&Report { can_capture, checks: &checks })? + "\n",
        Format::Text { colour, .. } => text(&checks, can_capture, colour),
    };
    print(text.as_bytes())?;
    Ok(can_capture)
}

fn text(checks: &[Check], can_capture: bool, colour: bool) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Check { name, status, found, advice } in checks {
        let style = if colour { style(*status) } else { Style::new() };
        let _ = writeln!(text, "{style}{:8}{style:#}  {name:width$}  {found}", status.name());
        if let Some(advice) = advice {
            let _ = writeln!(text, "{:8}  {:width$}  -> {advice}", "", "");
        }
    }
    text.push_str(if can_capture {
        "\nwstap can capture here.\n"
    } else {
        "\nwstap cannot capture here: see what is missing.\n"
    });
    text
}

fn style(status: Status) -> Style {
    match status {
        Status::Fine => AnsiColor::Green.on_default(),
        Status::Degraded | Status::Unknown => AnsiColor::Yellow.on_default(),
        Status::Missing => AnsiColor::Red.on_default().bold(),
    }
}
