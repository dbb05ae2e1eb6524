//! The formats of a report. Each is the same for the same findings: no times, no random order.

mod json;
mod junit;
mod sarif;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use super::Report;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people, worst first
    #[default]
    Table,
    /// One JSON document (docs/report.schema.json)
    Json,
    /// JUnit XML: a suite for each URL or file, a case for each check
    Junit,
    /// SARIF 2.1.0: a rule for each cause
    Sarif,
}

/// How text for people looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// With ANSI colours.
    pub colour: bool,
    /// Wrapped at this many columns; `None`: not wrapped.
    pub width: Option<usize>,
}

/// Writes the report; the look concerns the table only.
pub fn write(report: &Report, format: Format, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let text = match format {
        Format::Table => table::text(report, look),
        Format::Json => json::text(report),
        Format::Junit => junit::text(report)?,
        Format::Sarif => sarif::text(report),
    };
    out.write_all(text.as_bytes())
}
