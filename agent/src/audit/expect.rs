//! `--expect FILE`: what is expected of each path, in TOML.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;

use super::{behind::Arrived, probes::header_values};
use crate::{
    check::{Finding, Own, Verdict},
    config::duration,
};

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// By path, with a query if it needs one.
    #[serde(default)]
    path: BTreeMap<String, Expectation>,
}

/// What is expected of a path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectation {
    /// Origins that must be let in; the first is the good one unless `--origin` names it.
    pub origins: Vec<String>,
    /// Origins that must be kept out, beside those that every audit tries.
    pub foreign: Vec<String>,
    /// Subprotocols that are offered; one of them must be chosen.
    pub subprotocols: Vec<String>,
    /// How long a quiet connection must live.
    #[serde(deserialize_with = "idle")]
    pub idle: Option<Duration>,
    /// The head that must be taken, in bytes.
    pub head_bytes: Option<usize>,
    /// What must become of a handshake without `Origin`.
    pub no_origin: Option<NoOrigin>,
    /// Checks whose failure is meant: `Host`, `path`, or a check's whole name.
    pub may_differ: Vec<String>,
    /// Fields that must arrive so; the value `absent`: must not arrive.
    pub arrive: BTreeMap<String, String>,
}

/// What must become of a handshake without `Origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoOrigin {
    /// Native clients are let in.
    Accept,
    /// Browsers only.
    Refuse,
}

/// The largest head that can be asked for: larger ones no usual server takes.
const MAX_HEAD_BYTES: usize = 48 * 1024;

fn idle<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Reads the file: the paths with their expectations, in order.
pub fn read(file: &Path) -> anyhow::Result<Vec<(String, Expectation)>> {
    let failed = || format!("--expect {}", file.display());
    let text = fs::read_to_string(file).with_context(failed)?;
    parse(&text).with_context(failed)
}

fn parse(text: &str) -> anyhow::Result<Vec<(String, Expectation)>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        anyhow::anyhow!("line {line}: {}: correct the file", error.message())
    })?;
    for (path, expectation) in &file.path {
        anyhow::ensure!(path.starts_with('/'), "path {path:?} must begin with /: correct the file");
        let bytes = expectation.head_bytes.unwrap_or_default();
        anyhow::ensure!(
            bytes <= MAX_HEAD_BYTES,
            "head-bytes {bytes} is out of bounds: choose at most {MAX_HEAD_BYTES}"
        );
    }
    anyhow::ensure!(!file.path.is_empty(), "names no path: write a table [path.\"/ws\"]");
    Ok(file.path.into_iter().collect())
}

impl Expectation {
    /// What the fields that must arrive come to; `arrived`: the good handshake behind the chain.
    pub fn arrivals(&self, arrived: Option<&Arrived>) -> Vec<Finding> {
        let judged = self.arrive.iter().map(|(name, wanted)| {
            let check = format!("expect/{}", name.to_ascii_lowercase());
            let Some(arrived) = arrived else {
                let why = format!("what {name} arrives as is not seen: use --backend or --agent");
                return Finding::new(check, Verdict::Inconclusive, why);
            };
            let value = arrived.joined(name);
            let wanted = Some(wanted.as_str()).filter(|wanted| *wanted != "absent");
            if value.as_deref() == wanted {
                return Finding::new(check, Verdict::Pass, format!("{name} arrives as expected"));
            }
            Finding::new(
                check,
                Verdict::Fail,
                match wanted {
                    Some(wanted) => format!("{name} must arrive as {wanted}"),
                    None => format!("{name} must not arrive"),
                },
            )
            .because(Own::Unexpected)
            .with(header_values(name, None, Some(arrived)))
        });
        judged.collect()
    }

    /// Whether this check may fail.
    pub fn excuses(&self, check: &str) -> bool {
        self.may_differ.iter().any(|name| {
            name == check
                || check
                    .strip_prefix("arrived/")
                    .is_some_and(|part| part.eq_ignore_ascii_case(name))
        })
    }

    /// Failures that are meant are none.
    pub fn excuse(&self, finding: Finding) -> Finding {
        let fails = matches!(finding.verdict, Verdict::Fail | Verdict::Exposed);
        if !fails || !self.excuses(&finding.check) {
            return finding;
        }
        let summary = format!("may differ: {}", finding.summary);
        Finding { verdict: Verdict::Pass, cause: None, summary, fix: None, ..finding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Cause;

    #[test]
    fn a_file_is_read_and_slips_are_named() {
        let text = "[path.\"/ws\"]\norigins = [\"https://a.example\"]\nidle = \"75s\"\n\
                    no-origin = \"refuse\"\nmay-differ = [\"Host\"]\n\
                    [path.\"/ws\".arrive]\nX-Forwarded-Proto = \"https\"\n";
        let read = parse(text).unwrap();
        let (path, expectation) = &read[0];
        assert_eq!(path, "/ws");
        assert_eq!(expectation.idle, Some(Duration::from_secs(75)));
        assert_eq!(expectation.no_origin, Some(NoOrigin::Refuse));
        assert!(expectation.excuses("arrived/host") && !expectation.excuses("arrived/origin"));
        for (wrong, word) in [
            ("[path.\"/ws\"]\norigin = []\n", "line 2"),
            ("[path.ws]\n", "begin with /"),
            ("", "names no path"),
            ("[path.\"/\"]\nhead-bytes = 1000000\n", "out of bounds"),
        ] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_may_differ_passes_and_what_must_arrive_is_compared() {
        let expectation = Expectation {
            may_differ: vec!["host".into()],
            arrive: [("X-Forwarded-Proto".to_owned(), "https".to_owned())].into(),
            ..Expectation::default()
        };
        let finding =
            Finding::new("arrived/host", Verdict::Fail, "x").because(Cause::HostRewritten);
        assert_eq!(expectation.excuse(finding).verdict, Verdict::Pass);
        let arrived = Arrived {
            fields: vec![("x-forwarded-proto".to_owned(), "http".to_owned())],
            ..Arrived::default()
        };
        assert_eq!(expectation.arrivals(Some(&arrived))[0].verdict, Verdict::Fail);
        assert_eq!(expectation.arrivals(None)[0].verdict, Verdict::Inconclusive);
    }
}
