//! All findings of a run, and the exit code that they come to.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::{Finding, Verdict};

/// Which command reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// `wstap audit`.
    Audit,
    /// `wstap lint`.
    Lint,
}

impl Tool {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Lint => "lint",
        }
    }
}

/// All findings of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which command reports.
    pub tool: Tool,
    /// The version of wstap.
    pub version: String,
    /// One for each URL or file, in the order of the command line.
    pub suites: Vec<Suite>,
}

/// The findings about one URL or one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suite {
    /// The URL without its query, or the file as it was given.
    pub name: String,
    /// Worst first, then in the order in which they were checked.
    pub findings: Vec<Finding>,
}

impl Suite {
    /// A suite; sorts the findings.
    pub fn new(name: impl Into<String>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.verdict);
        Self { name: name.into(), findings }
    }
}

/// What a run came to, as the process tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it should be.
    Pass,
    /// Something fails.
    Fail,
    /// The command line, or a file that it names, cannot be used.
    Usage,
    /// What is to be checked could not be reached.
    Unreachable,
    /// Something is exposed, whatever else fails.
    Exposed,
    /// Nothing fails, and something could not be told (only with `--strict`).
    Inconclusive,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Exposed => 4,
            Self::Inconclusive => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Report {
    /// A report of this version of wstap.
    pub fn new(tool: Tool, suites: Vec<Suite>) -> Self {
        Self { tool, version: env!("CARGO_PKG_VERSION").to_owned(), suites }
    }

    /// Every finding.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.suites.iter().flat_map(|suite| &suite.findings)
    }

    /// How many findings have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings().filter(|finding| finding.verdict == verdict).count()
    }

    /// What the findings come to; `strict`: what cannot be told is no pass.
    pub fn exit(&self, strict: bool) -> Exit {
        match self.findings().map(|finding| finding.verdict).min() {
            Some(Verdict::Exposed) => Exit::Exposed,
            Some(Verdict::Fail) => Exit::Fail,
            Some(Verdict::Inconclusive) if strict => Exit::Inconclusive,
            _ => Exit::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Verdict]) -> Report {
        let finding = |&verdict| Finding::new("check", verdict, "found");
        Report::new(Tool::Audit, vec![Suite::new("a", verdicts.iter().map(finding).collect())])
    }

    #[test]
    fn the_worst_verdict_decides_the_exit_code() {
        use Verdict::{Exposed, Fail, Inconclusive, Pass, Warning};
        assert_eq!(report(&[]).exit(true), Exit::Pass);
        assert_eq!(report(&[Pass, Warning]).exit(true), Exit::Pass);
        assert_eq!(report(&[Pass, Inconclusive]).exit(false), Exit::Pass);
        assert_eq!(report(&[Pass, Inconclusive]).exit(true), Exit::Inconclusive);
        assert_eq!(report(&[Inconclusive, Fail]).exit(true), Exit::Fail);
        assert_eq!(report(&[Fail, Exposed, Pass]).exit(false), Exit::Exposed);
        let order: Vec<_> = report(&[Pass, Fail, Exposed]).findings().map(|f| f.verdict).collect();
        assert_eq!(order, [Exposed, Fail, Pass]);
    }
}
