//! How `wstap audit` and `wstap lint` hand over their report: format, file and exit code.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;

use crate::{
    check::{Exit, Format, Look, Report, write},
    sink::render,
};

/// What follows the options of a command that reports findings.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 everything passes, 1 something fails, 2 the command line or a file cannot \
be used, 3 unreachable, 4 something is exposed, 5 something is inconclusive (with --strict).";

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// How the findings are written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,
    /// Write the findings to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Exit with 5 when something cannot be told
    #[arg(long)]
    pub(super) strict: bool,
}

impl ReportArgs {
    /// Writes the report; answers what the process exits with.
    pub(super) fn deliver(&self, report: &Report) -> anyhow::Result<Exit> {
        if let Some(file) = &self.output {
            let failed = || format!("cannot write {}: check --output", file.display());
            let mut out = File::create(file).with_context(failed)?;
            write(report, self.format, Look::default(), &mut out).with_context(failed)?;
        } else {
            let look = match render::Format::of_stdout(false) {
                render::Format::Text { colour, width } => Look { colour, width },
                render::Format::Json => Look::default(),
            };
            let mut out = io::stdout().lock();
            write(report, self.format, look, &mut out)?;
            out.flush()?;
        }
        Ok(report.exit(self.strict))
    }
}
