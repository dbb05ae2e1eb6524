//! Failures of the server, or of the one behind a gateway.

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Guess, Means, Spoken},
    Hypothesis,
    limits::by_proxy,
};
use crate::{
    diagnose::{
        Cause,
        Confidence::{Likely, Possible},
        case::Case,
        features::Features,
        words::Topics,
    },
    handshake::Answer,
};

pub(super) const UPSTREAM: Hypothesis = Hypothesis {
    cause: Cause::UpstreamUnavailable,
    usual: 55,
    named_by: Topics::UPSTREAM,
    support: upstream,
    against: served,
    ..Hypothesis::PLAIN
};

pub(super) const SERVER: Hypothesis = Hypothesis {
    cause: Cause::ServerError,
    usual: 50,
    named_by: Topics::MAINTENANCE,
    support: server,
    ..Hypothesis::PLAIN
};

fn upstream(case: &Case<'_>) -> Option<Finding> {
    let summary = "a gateway's status: the server behind did not answer";
    let status = case.status()?;
    let (grounds, sure) = match status {
        500..=599 if case.topics.any(Topics::UPSTREAM) => (Spoken, Likely),
        // Servers say 503 of themselves, too.
        503 if by_proxy(case) => (Means, Likely),
        502 | 504 | 520..=530 => (Means, Likely),
        _ => return None,
    };
    Some(Finding::new(grounds, sure, summary).with([case.answer(), case.path()]))
}

/// A gateway's word for a server that does not answer is no fact about that server: it may have dropped this very request, and
/// at a limit of its own the gateway says the same.
fn served(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    let seen = "what the server behind did was not seen";
    found.push(Contradiction::new(Effect::Uncertain, seen));
    if case.context.population.accepts_here {
        let seen = "other handshakes at this path are accepted";
        found.push(Contradiction::new(Effect::Uncertain, seen));
    }
}

fn server(case: &Case<'_>) -> Option<Finding> {
    let evidence = [case.answer(), case.path()];
    if let Answer::Malformed(bytes) = &case.exchange.answer
        && bytes.starts_with(b"HTTP/")
    {
        let summary = "the server's answer broke off within its head";
        return Some(Finding::new(Guess, Possible, summary).with(evidence));
    }
    let status = case.status()?;
    if case.topics.any(Topics::MAINTENANCE) && (!(300..500).contains(&status) || status == 423) {
        let summary = "the server says that it does not serve at the moment";
        return Some(Finding::new(Spoken, Likely, summary).with(evidence));
    }
    match status {
        503 if !by_proxy(case) => Some(
            Finding::new(Means, Likely, "the server does not serve at the moment").with(evidence),
        ),
        502..=504 | 520..=530 => None,
        500..=599 => {
            // Many servers trip over what they do not check.
            let trip = case.features.any(Features::DEFECTS);
            let (grounds, sure) = if trip { (Guess, Possible) } else { (Fits, Likely) };
            Some(Finding::new(grounds, sure, "the server failed").with(evidence))
        }
        _ => None,
    }
}
