//! `wstap replay`: the same verdicts offline, from captures and pasted texts.
//!
//! In: files. Out: events on standard output; what could not be read, and what the capture itself
//! lacks, on standard error. A damaged file fails after what could be read was told.

use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{OutputArgs, complain};
use crate::{
    config::{ConfigFile, JudgeOptions, Settings},
    event::Event,
    handshake::Limits,
    judge::{Judge, Judged},
    replay::{self, Report},
    sink::{filter::Filter, render::Format},
};

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// A capture (pcap, pcapng), or a text with a request and a response; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    options: JudgeOptions,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let settings = Settings::resolve(args.options.into(), args.file.config.as_deref())?;
    let format = Format::of_stdout(args.output.json);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failure: Option<replay::Error> = None;
    for file in &args.files {
        let mut written = Ok(());
        let mut handshakes = 0_u64;
        let mut shown = 0_u64;
        // Files are worlds of their own: what one shows is no evidence about another.
        let mut judge = Judge::new(settings.policy.clone()).with_answer_text(settings.answer_text);
        let limits = Limits { handshake_timeout: settings.handshake_timeout };
        let mut tell = |judged: Judged| {
            let event = judged.event;
            handshakes += u64::from(matches!(event, Event::Handshake(_)));
            if written.is_ok() && args.filter.passes(&event) {
                shown += 1;
                written = format.write(&event, &mut out);
            }
        };
        let report = replay::run(file, limits, &mut |observation| {
            judge.observe(observation, &mut tell);
        });
        judge.finish(&mut tell);
        written.and_then(|()| out.flush())?;
        for note in notes(file, &report, handshakes, shown) {
            complain(&note);
        }
        if let Some(damage) = report.damage
            && let Some(earlier) = failure.replace(damage)
        {
            complain(&earlier.to_string());
        }
    }
    failure.map_or(Ok(()), |damage| Err(damage.into()))
}

/// What a reader must know to trust what was shown, and to understand that nothing was.
fn notes(file: &Path, report: &Report, handshakes: u64, shown: u64) -> Vec<String> {
    let name = file.display();
    let mut notes = Vec::new();
    if report.damage.is_none() && handshakes == 0 {
        notes.push(format!(
            "{name}: no WebSocket handshake in {} TCP segments: is it captured where HTTP is in \
             plain text?",
            report.segments
        ));
    } else if shown == 0 && handshakes > 0 {
        notes.push(format!(
            "{name}: handshakes found: {handshakes}, none passes the filters: --all shows those that \
             succeeded"
        ));
    }
    for (count, what) in [
        (
            report.cut,
            "packets were cut when they were captured: capture with a larger snapshot length",
        ),
        (report.fragments, "IP fragments were left out: what they carry is missing"),
        (report.undecodable, "packets could not be decoded"),
        (report.other_links, "packets of link types that are not supported were left out"),
        (
            report.evicted_connections,
            "connections were forgotten because there were too many at once",
        ),
    ] {
        if count > 0 {
            notes.push(format!("{name}: {count} {what}"));
        }
    }
    notes
}
