//! Limits: of the head's size, of how many and how often.

use super::{
    Finding,
    Grounds::{Guess, Means, Spoken},
    Hypothesis,
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    case::Case,
    fingerprint, proxies,
    words::Topics,
};

pub(super) const HEADER: Hypothesis = Hypothesis {
    cause: Cause::HeaderTooLarge,
    usual: 52,
    named_by: Topics::SIZE,
    support: header,
    ..Hypothesis::PLAIN
};

pub(super) const RATE: Hypothesis = Hypothesis {
    cause: Cause::RateLimited,
    usual: 50,
    named_by: Topics::LIMIT,
    support: rate,
    ..Hypothesis::PLAIN
};

fn header(case: &Case<'_>) -> Option<Finding> {
    let (grounds, sure) = match case.status() {
        Some(431) => (Means, Certain),
        Some(400..=499) if case.topics.any(Topics::SIZE) => (Spoken, Likely),
        Some(413 | 414) => (Means, Likely),
        _ => return None,
    };
    Some(Finding::new(grounds, sure, "the request is too large").with([case.answer(), case.path()]))
}

fn rate(case: &Case<'_>) -> Option<Finding> {
    let evidence = [case.answer()];
    let summary = "the server, or a proxy before it, takes no more at the moment";
    let (grounds, sure) = match case.status() {
        Some(429) => (Means, Certain),
        Some(400..=599) | None
            if case.topics.any(Topics::LIMIT) && case.response.is_some() | case.is_headless() =>
        {
            (Spoken, Likely)
        }
        // A proxy that has no server left says the same at its own limit, while others are served.
        Some(503) if case.context.population.accepts_here && by_proxy(case) => (Guess, Possible),
        _ => return None,
    };
    Some(Finding::new(grounds, sure, summary).with(evidence))
}

/// Whether a known proxy gave the answer.
pub(super) fn by_proxy(case: &Case<'_>) -> bool {
    case.response
        .and_then(|response| fingerprint::server_name(case.fingerprint, response))
        .is_some_and(|server| proxies::is_proxy(&server))
}
