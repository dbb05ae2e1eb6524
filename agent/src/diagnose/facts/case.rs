//! One handshake as the rules see it, and what a rule finds.

use std::borrow::Cow;

use crate::diagnose::{
    Cause, Confidence, Evidence,
    fingerprint::{self, Fingerprint},
    origin::{Authority, OriginField},
};
use crate::{
    handshake::{Answer, Exchange},
    http::{RequestHead, ResponseHead},
};

/// An exchange, read once for all rules.
pub(in crate::diagnose) struct Case<'a> {
    pub(in crate::diagnose) exchange: &'a Exchange,
    pub(in crate::diagnose) request: &'a RequestHead,
    /// The answer, when there was one.
    pub(in crate::diagnose) response: Option<&'a ResponseHead>,
    pub(in crate::diagnose) origin: OriginField,
    pub(in crate::diagnose) host: Option<Authority>,
    /// What the server says about itself and its refusal: reason phrase, reject reason, first bytes of
    /// the body, in lower case. Never quoted: it may hold anything.
    pub(in crate::diagnose) words: String,
    /// The known answer that this one is.
    pub(in crate::diagnose) fingerprint: Option<&'static Fingerprint>,
}

impl<'a> Case<'a> {
    pub(in crate::diagnose) fn new(exchange: &'a Exchange) -> Self {
        let request = &exchange.request;
        let response = match &exchange.answer {
            Answer::Response(response) => Some(response),
            _ => None,
        };
        let words = response.map(fingerprint::words).unwrap_or_default();
        let fingerprint = response.and_then(|r| fingerprint::recognise(request, r, &words));
        Self {
            exchange,
            request,
            response,
            origin: OriginField::of(request),
            host: request.headers.first("host").and_then(Authority::parse),
            words,
            fingerprint,
        }
    }

    pub(in crate::diagnose) fn status(&self) -> Option<u16> {
        self.response.map(|response| response.status)
    }

    /// The request header `shown` (any case) as evidence, `(absent)` when it is not there.
    pub(in crate::diagnose) fn header(&self, shown: &'static str) -> Evidence {
        let name = shown.to_ascii_lowercase();
        let values: Vec<&str> = self.request.headers.all(&name).collect();
        match values.as_slice() {
            [] => Evidence::absent(shown),
            [value] => Evidence::new(shown, value),
            several => Evidence::new(shown, &several.join(", ")),
        }
    }

    /// The status line's code, and the known words of the answer when it is a known one.
    pub(in crate::diagnose) fn answer(&self) -> Evidence {
        let Some(response) = self.response else { return Evidence::absent("answer") };
        match self.fingerprint.map(|known| known.quote) {
            Some(quote) if !quote.is_empty() => {
                Evidence::new("answer", &format!("{} {quote}", response.status))
            }
            _ => Evidence::new("status", &response.status.to_string()),
        }
    }
}

/// What a rule found.
#[derive(Clone, Debug)]
pub(in crate::diagnose) struct Finding {
    pub(in crate::diagnose) cause: Cause,
    pub(in crate::diagnose) confidence: Confidence,
    pub(in crate::diagnose) evidence: Vec<Evidence>,
    pub(in crate::diagnose) summary: Cow<'static, str>,
    /// A fix that knows more than the cause's own.
    pub(in crate::diagnose) fix: Option<&'static str>,
    /// Concluded from headers alone: the server did not say which check failed, so that population
    /// evidence may know better.
    pub(in crate::diagnose) presumed: bool,
}

impl Finding {
    pub(in crate::diagnose) fn new(
        cause: Cause,
        confidence: Confidence,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        let summary = summary.into();
        Self { cause, confidence, evidence: Vec::new(), summary, fix: None, presumed: false }
    }

    pub(in crate::diagnose) fn certain(
        cause: Cause,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(cause, Confidence::Certain, summary)
    }

    pub(in crate::diagnose) fn likely(cause: Cause, summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(cause, Confidence::Likely, summary)
    }

    pub(in crate::diagnose) fn possible(
        cause: Cause,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(cause, Confidence::Possible, summary)
    }

    pub(in crate::diagnose) fn with(
        mut self,
        evidence: impl IntoIterator<Item = Evidence>,
    ) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// At most this sure.
    pub(in crate::diagnose) fn at_most(mut self, confidence: Confidence) -> Self {
        self.confidence = self.confidence.min(confidence);
        self
    }
}

/// A small pure function: what one rule finds in a case, if it applies.
pub(in crate::diagnose) type Rule = fn(&Case<'_>) -> Option<Finding>;

/// What the first rule that applies finds.
pub(in crate::diagnose) fn first(rules: &[Rule], case: &Case<'_>) -> Option<Finding> {
    rules.iter().find_map(|rule| rule(case))
}
