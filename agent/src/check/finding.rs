//! One thing that was checked, and what was found.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Code;

/// What a check came to; the order is that of reports: worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Who should be kept out is let in, or can pretend to be another.
    Exposed,
    /// What should work does not, or will not.
    Fail,
    /// It cannot be told from here; the summary says why.
    Inconclusive,
    /// It works, and will not in a case that the summary names (lint): nothing fails for it.
    Warning,
    /// As it should be.
    Pass,
}

impl Verdict {
    /// Every one, worst first.
    pub const ALL: &[Self] =
        &[Self::Exposed, Self::Fail, Self::Inconclusive, Self::Warning, Self::Pass];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exposed => "exposed",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Warning => "warning",
            Self::Pass => "pass",
        }
    }
}

/// One thing that was checked, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked: the stable name of a probe or a rule, `origin/null`.
    pub check: Cow<'static, str>,
    /// What it came to.
    pub verdict: Verdict,
    /// What is wrong; `None` when nothing is, or when it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Code>,
    /// One sentence: what was found.
    pub summary: String,
    /// Where in the suite's file it is (lint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What was sent, what arrived and what was answered (audit).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// How it is put right, for the proxy that is there: a few words, or lines of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// A finding without cause, place, values and fix.
    pub fn new(
        check: impl Into<Cow<'static, str>>,
        verdict: Verdict,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            verdict,
            cause: None,
            summary: summary.into(),
            place: None,
            values: Vec::new(),
            fix: None,
        }
    }

    /// With what is wrong.
    #[must_use]
    pub fn because(self, cause: impl Into<Code>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// With the line that is to blame.
    #[must_use]
    pub fn at(self, file: impl Into<String>, line: u32) -> Self {
        Self { place: Some(Place { file: file.into(), line }), ..self }
    }

    /// With how it is put right.
    #[must_use]
    pub fn fixed_by(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// With a value more.
    #[must_use]
    pub fn with(mut self, value: Value) -> Self {
        self.values.push(value);
        self
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its path, as it was given or as an include names it.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

/// One value at the places where it was seen. Secrets are masked before they come here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// A header field's name, or what was observed (`status`, `path`, `close code`).
    pub name: Cow<'static, str>,
    /// What was sent; `None` when nothing was, or when it is not a matter of sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// What arrived behind the chain; `(absent)` when it did not arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<String>,
    /// What came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
}

/// What stands for a value that did not arrive.
pub const ABSENT: &str = "(absent)";

impl Value {
    /// A value of which nothing is known yet.
    pub fn of(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// As it was sent.
    #[must_use]
    pub fn sent(self, value: impl Into<String>) -> Self {
        Self { sent: Some(value.into()), ..self }
    }

    /// As it arrived; `None`: it did not.
    #[must_use]
    pub fn arrived(self, value: Option<&str>) -> Self {
        Self { arrived: Some(value.unwrap_or(ABSENT).to_owned()), ..self }
    }

    /// As it came back.
    #[must_use]
    pub fn answered(self, value: impl Into<String>) -> Self {
        Self { answered: Some(value.into()), ..self }
    }
}
