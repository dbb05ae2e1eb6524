//! The same handshake in the forms of real clients, and what it carries.

use super::{Facts, Made, Seen, finding, header_values, kept, nothing, refusal, status};
use crate::{
    audit::client::{
        handshake::{Attempt, Talk},
        request::DEFLATE,
    },
    check::{Finding, Own, Verdict},
    diagnose::Cause,
    handshake::Answer,
};

/// Another form; `must`: a refusal is a fault.
pub(super) fn form(facts: &Facts<'_>, seen: &Seen, what: &str, must: bool) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    if kept(attempt) {
        return finding(seen, Verdict::Pass, format!("{what} is taken"));
    }
    // A server that speaks no subprotocol chooses none: browsers leave, and a page does not offer any there.
    let chose_none = |attempt: &Attempt| {
        let head = attempt.response();
        head.is_some_and(|head| head.status == 101 && head.subprotocols.is_empty())
    };
    if !must && chose_none(attempt) {
        return finding(seen, Verdict::Pass, format!("{what} is taken, and none is chosen"));
    }
    if !must {
        let summary = format!("{what} is refused with {}: few sites need it", attempt.answered());
        return finding(seen, Verdict::Pass, summary);
    }
    let (mut cause, summary) = refusal(attempt);
    // Answers to a head that is too large (RFC 6585 section 5, RFC 9110 sections 15.5.1, 15.5.14 and 15.5.15; nginx 494).
    let large = seen.probe.handshake.bytes > 0;
    let fits = match &attempt.answer {
        Answer::Response(head) => matches!(head.status, 400 | 413 | 414 | 431 | 494),
        Answer::Closed { .. } => true,
        _ => false,
    };
    if large && fits {
        cause = Cause::HeaderTooLarge;
    }
    facts.failure(seen, cause, format!("{what} is refused: {summary}")).with(status(attempt))
}

/// Compression: what is offered arrives, what is accepted works.
pub(super) fn deflate(facts: &Facts<'_>, seen: &Seen) -> Finding {
    const NAME: &str = "Sec-WebSocket-Extensions";
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    if !kept(attempt) {
        let (cause, summary) = refusal(attempt);
        return facts.failure(seen, cause, summary).with(status(attempt));
    }
    if let Some(Talk::Changed { message, how }) = &attempt.talk {
        return facts.failure(seen, Own::MessageAltered, format!("{message}: {how}"));
    }
    let value = header_values(NAME, Some(DEFLATE), seen.arrived.as_ref());
    let arrives = |arrived: &crate::audit::behind::Arrived| {
        arrived.list(NAME).any(|extension| extension.starts_with("permessage-deflate"))
    };
    if seen.arrived.as_ref().is_some_and(|arrived| !arrives(arrived)) {
        let summary = "a hop removes the offer of compression";
        return facts.failure(seen, Own::RequestAltered, summary).with(value);
    }
    let chosen =
        attempt.response().is_some_and(|head| head.headers.has("sec-websocket-extensions"));
    let summary = if chosen {
        "permessage-deflate is offered, accepted and kept"
    } else {
        "permessage-deflate is not used"
    };
    finding(seen, Verdict::Pass, summary)
}

/// Large messages and binary ones.
pub(super) fn messages(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    match &attempt.talk {
        Some(Talk::Unchanged) => {
            finding(seen, Verdict::Pass, "1 MiB comes back as it was sent, text and binary")
        }
        Some(Talk::Changed { message, how }) => {
            facts.failure(seen, Own::MessageAltered, format!("{message}: {how}"))
        }
        _ => {
            let (cause, summary) = refusal(attempt);
            facts.failure(seen, cause, summary).with(status(attempt))
        }
    }
}
