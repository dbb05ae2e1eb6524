//! Subprotocols: refused before the 101, chosen wrongly, or not chosen (RFC 6455 section 4.1).

use super::{
    Contradiction, Effect, Finding,
    Grounds::{self, Fits, Said, Spoken},
    Hypothesis,
};
use crate::{
    diagnose::{
        Cause,
        Confidence::{Certain, Likely},
        Evidence,
        case::Case,
        features::Features,
        words::Topics,
    },
    http::SUBPROTOCOLS,
};

pub(super) const REQUIRED: Hypothesis = Hypothesis {
    cause: Cause::SubprotocolRequired,
    usual: 61,
    named_by: Topics::SUBPROTOCOL,
    support: required,
    against: taken,
    ..Hypothesis::PLAIN
};

pub(super) const MISMATCH: Hypothesis = Hypothesis {
    cause: Cause::SubprotocolMismatch,
    usual: 60,
    support: mismatch,
    ..Hypothesis::PLAIN
};

/// Refused before the 101: the answer says so in words or names what it wants in a header, or the path takes others.
fn required(case: &Case<'_>) -> Option<Finding> {
    let status = case.status();
    let offered = case.header("Sec-WebSocket-Protocol");
    let refused = status.is_none_or(|status| status < 300 || (400..501).contains(&status));
    let lost = case.context.before.is_some_and(|before| !before.subprotocols.is_empty())
        && case.features.any(Features::NO_SUBPROTOCOL);
    let by = |summary: &'static str| {
        if lost { "a proxy on this host removed Sec-WebSocket-Protocol" } else { summary }
    };
    if let Some(response) = case.response
        && !response.subprotocols.is_empty()
        && response.status >= 400
        && !response.subprotocols.iter().any(|wanted| case.request.subprotocols.contains(wanted))
    {
        let wanted = response.headers.first("sec-websocket-protocol").unwrap_or_default();
        return Some(
            Finding::new(Spoken, Likely, by("the answer names the subprotocol that the server wants, and it was not offered"))
                .with([offered, Evidence::new("Sec-WebSocket-Protocol (answer)", wanted), case.answer()]),
        );
    }
    if case.topics.any(Topics::SUBPROTOCOL)
        && refused
        && (case.response.is_some() || case.is_headless())
    {
        return Some(
            Finding::new(Spoken, Likely, by("the server's answer speaks of the subprotocol"))
                .with([offered, case.answer()]),
        );
    }
    // What this path takes.
    let path = &case.context.population.subprotocols;
    if !path.selective || path.takes_this {
        return None;
    }
    let usual = matches!(status, Some(400 | 403 | 404 | 406 | 426 | 500 | 501 | 200..=299))
        || case.server_closed()
        || case.is_headless();
    (usual && !case.features.any(Features::DEFECTS)).then(|| {
        let summary =
            by("this path takes other subprotocols, and refuses who does not offer one of them");
        Finding::new(Fits, Likely, summary).with([offered, case.answer(), case.path()])
    })
}

fn taken(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    if case.context.population.subprotocols.takes_this {
        let seen = "the same subprotocols are accepted here";
        found.push(Contradiction::new(Effect::Weak, seen));
    }
}

/// Every client fails the connection when the answer has a subprotocol that was not offered. When it has none,
/// the Fetch standard ("establish a WebSocket connection") says the same of browsers: Chromium and WebKit do so,
/// Firefox and most native clients go on. What the client did then tells.
fn mismatch(case: &Case<'_>) -> Option<Finding> {
    let offered = &case.request.subprotocols;
    let chosen = &case.response?.subprotocols;
    let several = offered.len() >= SUBPROTOCOLS;
    let evidence = |answer: &str| {
        let offer = case.header("Sec-WebSocket-Protocol");
        [offer, Evidence::new("Sec-WebSocket-Protocol (answer)", answer)]
    };
    match chosen.as_slice() {
        [] if offered.is_empty() || !case.answer_is_whole() => None,
        [] => {
            let opening = case.opening();
            let client = case.client();
            // A client that fails the connection for this sends nothing more and closes TCP.
            let worked = opening.is_some_and(|o| {
                o.messages_from_client > 0
                    || o.close.is_some()
                    || (o.watched && o.end.is_none())
                    || o.end.is_some_and(|end| end.initiator != client)
            });
            if worked {
                return None;
            }
            let left = opening.is_some_and(|o| o.end.is_some_and(|end| end.initiator == client));
            let (sure, summary) = if left {
                (
                    Certain,
                    "the client offered a subprotocol, the server chose none, and the client left",
                )
            } else {
                (
                    Likely,
                    "the client offered a subprotocol and the server chose none: most browsers leave",
                )
            };
            Some(Finding::new(Grounds::Means, sure, summary).with(evidence("(absent)")))
        }
        // It may be one of those that were not kept.
        [one] if offered.contains(one) || several => None,
        [_] => {
            let named = case.answered()?.first("sec-websocket-protocol").unwrap_or_default();
            Some(
                Finding::new(Said, Certain, "the server chose a subprotocol that was not offered")
                    .with(evidence(named)),
            )
        }
        _ => Some(
            Finding::new(Said, Certain, "the server chose more than one subprotocol")
                .with(evidence("(several)")),
        ),
    }
}
