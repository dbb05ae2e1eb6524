//! `--baseline FILE`: only what changed since then fails.

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context as _;

use crate::check::{Code, Finding, Report, Suite, Verdict};

/// An earlier report.
#[derive(Debug)]
pub struct Baseline(HashMap<(String, String), (Verdict, Option<Code>)>);

/// Reads a report that `--save` or `--format json` wrote.
pub fn read(file: &Path) -> anyhow::Result<Baseline> {
    let failed = || format!("--baseline {}: give a file that --save wrote", file.display());
    let text = fs::read_to_string(file).with_context(failed)?;
    let report: Report = serde_json::from_str(&text).with_context(failed)?;
    Ok(Baseline::new(report))
}

impl Baseline {
    fn new(report: Report) -> Self {
        let mut known = HashMap::new();
        for suite in report.suites {
            for finding in suite.findings {
                let key = (suite.name.clone(), finding.check.into_owned());
                known.insert(key, (finding.verdict, finding.cause));
            }
        }
        Self(known)
    }

    /// The suite with what was so already passing, and with what is not checked any more.
    pub fn compare(&self, suite: Suite) -> Suite {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in suite.findings {
            let key = (suite.name.clone(), finding.check.to_string());
            let fails = matches!(finding.verdict, Verdict::Fail | Verdict::Exposed);
            let known =
                self.0.get(&key).is_some_and(|known| *known == (finding.verdict, finding.cause));
            findings.push(if fails && known {
                let summary =
                    format!("as in the baseline, {}: {}", finding.verdict.name(), finding.summary);
                Finding { verdict: Verdict::Pass, summary, fix: None, ..finding }
            } else {
                finding
            });
        }
        let mut gone: Vec<_> = self
            .0
            .keys()
            .filter(|(name, check)| {
                *name == suite.name && !findings.iter().any(|finding| finding.check == *check)
            })
            .map(|(_, check)| check.clone())
            .collect();
        gone.sort_unstable();
        findings.extend(gone.into_iter().map(|check| {
            let why =
                "the baseline has this check, this audit does not: run both with the same options";
            Finding::new(check, Verdict::Inconclusive, why)
        }));
        Suite::new(suite.name, findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::Tool, diagnose::Cause};

    fn suite(findings: &[(&'static str, Verdict, Option<Cause>)]) -> Suite {
        let finding = |&(check, verdict, cause): &(&'static str, _, Option<Cause>)| Finding {
            cause: cause.map(Code::from),
            ..Finding::new(check, verdict, "found")
        };
        Suite::new("ws://a/", findings.iter().map(finding).collect())
    }

    #[test]
    fn only_what_changed_fails() {
        use Verdict::{Exposed, Fail, Inconclusive, Pass};
        let before = suite(&[
            ("a", Fail, Some(Cause::HostRewritten)),
            ("b", Fail, Some(Cause::HostRewritten)),
            ("c", Pass, None),
            ("d", Fail, Some(Cause::Unknown)),
            ("e", Pass, None),
        ]);
        let baseline = Baseline::new(Report::new(Tool::Audit, vec![before]));
        let now = baseline.compare(suite(&[
            ("a", Fail, Some(Cause::HostRewritten)),
            ("b", Fail, Some(Cause::PortMismatch)),
            ("c", Exposed, None),
            ("d", Pass, None),
        ]));
        let mut found: Vec<_> = now.findings.iter().map(|f| (&*f.check, f.verdict)).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [("a", Pass), ("b", Fail), ("c", Exposed), ("d", Pass), ("e", Inconclusive)]
        );
    }
}
