//! What a diagnosis says: outcome, cause, evidence, and what to do next.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::diagnose::{Cause, Confidence};

/// The longest value that evidence quotes, in characters; a longer one is cut and ends in `…`.
pub const EVIDENCE_VALUE: usize = 200;

/// What was found out about one opening handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What became of the handshake.
    pub outcome: Outcome,
    /// Why it failed; `None` when it did not, or when the answer was not observed.
    pub cause: Option<Cause>,
    /// How sure the cause is; `None` without one.
    pub confidence: Option<Confidence>,
    /// The two or three values that decided it.
    pub evidence: Vec<Evidence>,
    /// Other causes that fit the answer as well or nearly so, the likeliest first.
    pub alternatives: Vec<Alternative>,
    /// One sentence: what was found. Empty for an accepted handshake.
    pub summary: Cow<'static, str>,
    /// What would show that the cause is another one.
    pub disproof: Option<&'static str>,
    /// A fix that knows more than the cause's own, which is chosen when it is told ([`crate::diagnose::Scene`]).
    pub fix: Option<&'static str>,
    /// The server that answered, as far as its answer shows.
    pub server: Option<String>,
}

impl Verdict {
    /// How many bytes it takes.
    pub(in crate::diagnose) fn held(&self) -> usize {
        let evidence = self.evidence.iter().map(|one| size_of::<Evidence>() + one.value.len());
        size_of::<Self>() + self.summary.len() + evidence.sum::<usize>()
    }
}

/// Another cause that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// The cause.
    pub cause: Cause,
    /// How sure it is: never more than the first.
    pub confidence: Confidence,
}

/// What became of an opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A 101 that a browser keeps.
    Accepted,
    /// A 101 that a browser must fail.
    Failed,
    /// Any other answer.
    Rejected,
    /// Closed without a byte.
    Unanswered,
    /// No answer in time.
    TimedOut,
    /// The answer was there, but the agent missed it.
    Unobserved,
}

/// The scheme that the client used, as far as the headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Plain.
    Ws,
    /// Over TLS.
    Wss,
    /// The headers do not tell.
    Unknown,
}

/// What the configured origin policy says of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// A configured pattern matches it.
    Allowed,
    /// A policy is set and no pattern matches.
    Foreign,
    /// No policy is set, or the request has no `Origin` to judge.
    None,
}

/// A named value that decided a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// A header's name, or what was observed (`status`, `answer`, `closed by`).
    pub name: Cow<'static, str>,
    /// Its value; `(absent)` when its absence is the evidence.
    pub value: String,
}

impl Evidence {
    /// A named value, as [`Self::quoted`].
    pub(in crate::diagnose) fn new(name: impl Into<Cow<'static, str>>, value: &str) -> Self {
        Self { name: name.into(), value: Self::quoted(value) }
    }

    /// A value cut to [`EVIDENCE_VALUE`] characters; control characters become spaces.
    pub(in crate::diagnose) fn quoted(value: &str) -> String {
        let plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if plain && value.len() <= EVIDENCE_VALUE {
            return value.to_owned();
        }
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let mut value: String = value.chars().map(printable).take(EVIDENCE_VALUE + 1).collect();
        if let Some((end, _)) = value.char_indices().nth(EVIDENCE_VALUE) {
            value.truncate(end);
            value.push('…');
        }
        value
    }

    /// A header whose absence is the evidence.
    pub(in crate::diagnose) fn absent(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), value: "(absent)".to_owned() }
    }
}

/// One header that a proxy changed between its two legs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyChange {
    /// The header's name.
    pub header: String,
    /// What the proxy did to it.
    pub change: Change,
    /// The value that the proxy received.
    pub before: Option<String>,
    /// The value that the proxy sent.
    pub after: Option<String>,
}

/// What a proxy did to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Not received, but sent.
    Added,
    /// Received, but not sent.
    Removed,
    /// Sent with another value.
    Rewrote,
}
