//! `wstap report`: the incident on one page.
//!
//! In: the agent's memory, or JSON lines of any log system. Out: text, Markdown, JSON or HTML.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{
    complain, lines, print,
    source::{PastArgs, Source, ago, joined},
};
use crate::{
    config::{CaptureOptions, ConfigFile, Settings, duration},
    event::{Event, RoleName},
    report::Collect,
    sink::{Ask, filter::Filter},
};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For the terminal
    #[default]
    Text,
    /// For a ticket
    Markdown,
    /// For a program
    Json,
    /// One file with plots, for a browser
    Html,
}

#[derive(Args, Debug)]
pub(super) struct IncidentArgs {
    /// JSON lines of `wstap run --events` or `wstap tail --json`, as any log system gives them; `-` is standard input
    /// [default: the running agent's memory]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only the last so long; of a file, before its last event [default: all]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Write it to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this origin: `https://app.example`, `https://*.example`, `none` or `null`; repeatable
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    origin: Vec<String>,
    /// Only this path; `*` stands for any text: `/chat/*`; repeatable
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// What the host saw as server or as client [default: server]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<RoleName>,
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(args: IncidentArgs) -> anyhow::Result<()> {
    let filter = Filter {
        all: true,
        closures: true,
        origin: args.origin,
        path: args.path,
        role: if args.role.is_empty() { vec![RoleName::Server] } else { args.role },
        ..Filter::default()
    };
    let mut report = Collect::default();
    let mut take = |mut event: Event| {
        if let Event::Accepted(sum) = &mut event {
            sum.rows.retain(|row| filter.passes_row(row));
            report.add(event);
        } else if filter.passes(&event) {
            report.add(event);
        }
    };
    let since = if let Some(file) = &args.file {
        let read = if file.as_os_str() == "-" {
            lines::each(io::stdin().lock(), &mut |event| {
                take(event);
                true
            })?
        } else {
            let opened = File::open(file)
                .with_context(|| format!("cannot read {}: check the path", file.display()))?;
            lines::each(BufReader::new(opened), &mut |event| {
                take(event);
                true
            })?
        };
        if let Some(note) = read.note(&file.display().to_string()) {
            complain(&note);
        }
        args.since
    } else {
        let settings = Settings::resolve(args.options.into(), args.config.config.as_deref())?;
        let past = PastArgs { no_follow: true, ..PastArgs::default() };
        if let Source::Agent(socket, agent) = Source::find(&settings, None, &past)? {
            let all = Filter { all: true, closures: true, ..Filter::default() };
            let ask = Ask { filter: all, since: args.since.map(ago), accepted: true };
            joined("report", &socket, &agent, &ask.filter, Some(&ask), &mut |event, _| {
                let ends = matches!(event, Some(Event::History(_)));
                event.into_iter().for_each(&mut take);
                !ends
            })?;
        }
        None
    };
    let report = report.report(since);
    let text = match args.format {
        Format::Text => report.text(),
        Format::Markdown => report.markdown(),
        Format::Json => report.json(),
        Format::Html => report.html(),
    };
    match args.output {
        None => print(text.as_bytes()),
        Some(file) => {
            let written = File::create(&file).and_then(|mut out| out.write_all(text.as_bytes()));
            written.with_context(|| format!("cannot write {}: choose another file", file.display()))
        }
    }
}
