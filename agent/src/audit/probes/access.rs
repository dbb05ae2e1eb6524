//! Other ways in: without TLS, and by HTTP/2.

use super::{Facts, Made, Observer, Seen, finding, kept, nothing, status};
use crate::{
    audit::client::{connect::ConnectError, http2::Http2},
    check::{Finding, Own, Value, Verdict},
    diagnose::Cause,
    handshake::Answer,
};

/// The plain port must redirect or refuse.
pub(super) fn plain(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let attempt = match &seen.made {
        Made::Attempt(attempt) => attempt,
        Made::NotConnected(ConnectError::Connect { .. }) => {
            return finding(seen, Verdict::Pass, "the plain port takes no connection");
        }
        _ => return nothing(seen),
    };
    if kept(attempt) {
        let finding = finding(seen, Verdict::Exposed, "a WebSocket without TLS is accepted")
            .because(Own::PlainAccepted);
        return facts.fixed(finding).with(status(attempt));
    }
    match &attempt.answer {
        Answer::Response(head) if (300..400).contains(&head.status) => {
            let finding = finding(seen, Verdict::Pass, format!("redirected with {}", head.status));
            match head.headers.first("location") {
                Some(location) => finding.with(Value::of("Location").answered(location)),
                None => finding,
            }
        }
        Answer::TimedOut => finding(
            seen,
            Verdict::Inconclusive,
            "the plain port takes connections and does not answer",
        ),
        _ => finding(seen, Verdict::Pass, format!("refused: {}", attempt.answered())),
    }
}

/// Extended CONNECT: what is offered must work.
pub(super) fn http2(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let Made::Http2(found) = &seen.made else { return nothing(seen) };
    match found {
        Http2::NotSpoken => {
            finding(seen, Verdict::Pass, "HTTP/2 is not spoken: browsers use HTTP/1.1")
        }
        Http2::NotOffered => finding(
            seen,
            Verdict::Pass,
            "WebSockets over HTTP/2 are not offered: browsers use HTTP/1.1",
        ),
        Http2::Accepted => accepted(facts, seen),
        Http2::Refused { status } => {
            let keyless = seen
                .arrived
                .as_ref()
                .is_some_and(|arrived| arrived.all("Sec-WebSocket-Key").next().is_none());
            let cause = if keyless { Cause::KeyMissing } else { Cause::UpgradeIgnored };
            let summary =
                "WebSockets over HTTP/2 are offered and refused: browsers that use them fail";
            let value = Value::of("status").answered(status.to_string());
            facts.failure(seen, cause, summary).with(value)
        }
        Http2::Broken { reason } => {
            let summary = format!("the HTTP/2 connection broke: {reason}");
            finding(seen, Verdict::Inconclusive, summary)
        }
    }
}

fn accepted(facts: &Facts<'_>, seen: &Seen) -> Finding {
    match &seen.arrived {
        Some(arrived) if arrived.all("Sec-WebSocket-Key").next().is_none() => facts.failure(
            seen,
            Cause::KeyMissing,
            "a WebSocket over HTTP/2 reaches the backend without a key",
        ),
        Some(_) => finding(seen, Verdict::Pass, "works over HTTP/2, and the backend gets a key"),
        None if facts.observer == Observer::Nobody => {
            finding(seen, Verdict::Pass, "works over HTTP/2")
        }
        None => finding(
            seen,
            Verdict::Inconclusive,
            "accepted over HTTP/2, and nothing was seen behind the chain",
        ),
    }
}
