//! What a hypothesis finds: what it rests on, and what stands against it.

use std::borrow::Cow;

use crate::diagnose::{Confidence, Evidence};

/// What a finding rests on, weakest first. The stronger one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::diagnose) enum Grounds {
    /// Nothing better was found.
    Left,
    /// The request has the fault, and the answer is not one that is usual for it.
    Guess,
    /// The request has the fault, and the answer is usual for it; or the status alone means it.
    Fits,
    /// The answer's status or shape means this and little else.
    Means,
    /// The server's words speak of it, and the request bears it out.
    Spoken,
    /// The exact words of a known server for this check.
    Said,
}

impl Grounds {
    /// The next weaker ones, down to a guess.
    pub(in crate::diagnose) fn lower(self) -> Self {
        match self {
            Self::Said => Self::Spoken,
            Self::Spoken => Self::Means,
            Self::Means => Self::Fits,
            _ => Self::Guess.min(self),
        }
    }
}

/// What supports a cause.
#[derive(Clone, Debug)]
pub(in crate::diagnose) struct Finding {
    pub(in crate::diagnose) grounds: Grounds,
    /// How sure it is when nothing stands against it.
    pub(in crate::diagnose) sure: Confidence,
    pub(in crate::diagnose) evidence: Vec<Evidence>,
    pub(in crate::diagnose) summary: Cow<'static, str>,
    /// A fix that knows more than the cause's own.
    pub(in crate::diagnose) fix: Option<&'static str>,
}

impl Finding {
    pub(in crate::diagnose) fn new(
        grounds: Grounds,
        sure: Confidence,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { grounds, sure, evidence: Vec::new(), summary: summary.into(), fix: None }
    }

    pub(in crate::diagnose) fn with(
        mut self,
        evidence: impl IntoIterator<Item = Evidence>,
    ) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// What a contradiction takes from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::diagnose) enum Effect {
    /// Certainty.
    Uncertain,
    /// It rests on less, and is possible only.
    Doubted,
    /// It is a guess, whatever spoke for it but a known server's exact words.
    Weak,
    /// It is out, unless a known server's exact words say it.
    Refuted,
}

/// Something seen that contradicts a finding.
#[derive(Clone, Debug)]
pub(in crate::diagnose) struct Contradiction {
    pub(in crate::diagnose) effect: Effect,
    /// What was seen, for the evidence.
    pub(in crate::diagnose) seen: &'static str,
}

impl Contradiction {
    pub(in crate::diagnose) const fn new(effect: Effect, seen: &'static str) -> Self {
        Self { effect, seen }
    }
}
