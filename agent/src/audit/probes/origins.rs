//! Origins: who must be let in, and who must be kept out.

use super::{Facts, Made, Observer, Seen, finding, header_values, kept, nothing, refusal, status};
use crate::{
    audit::expect::NoOrigin,
    check::{Finding, Own, Verdict},
    diagnose::Cause,
    handshake::Answer,
};

/// Another origin of our own.
pub(super) fn allowed(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    if kept(attempt) {
        return finding(seen, Verdict::Pass, "let in");
    }
    let (cause, summary) = refusal(attempt);
    let sent = attempt.request.field("Origin");
    facts
        .failure(seen, cause, summary)
        .with(header_values("Origin", sent, seen.arrived.as_ref()))
        .with(status(attempt))
}

/// An origin that must be kept out.
pub(super) fn foreign(facts: &Facts<'_>, seen: &Seen, what: &str) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    let sent = attempt.request.field("Origin");
    let value = header_values("Origin", sent, seen.arrived.as_ref());
    let came = seen.arrived.as_ref().map(|arrived| arrived.joined("Origin"));
    // Our own backend lets in what has no Origin, and so do servers that serve native clients: the stripping itself is told
    // by the comparison.
    if facts.observer == Observer::Backend && came == Some(None) {
        let summary = "a hop removes Origin: no server behind it can keep anybody out";
        return finding(seen, Verdict::Inconclusive, summary);
    }
    if kept(attempt) {
        if came.flatten().is_some_and(|came| Some(came.as_str()) != sent) {
            let finding =
                finding(seen, Verdict::Exposed, format!("{what} is let in: a hop changes Origin"))
                    .because(Cause::OriginRewritten);
            return facts.fixed(finding).with(value).with(status(attempt));
        }
        let finding = finding(seen, Verdict::Exposed, format!("{what} is let in"))
            .because(Own::OriginUnchecked);
        return facts.fixed(finding).with(value).with(status(attempt));
    }
    match &attempt.answer {
        Answer::Response(head) if head.status < 500 => {
            finding(seen, Verdict::Pass, format!("kept out with {}", attempt.answered()))
        }
        Answer::Closed { .. } => finding(seen, Verdict::Pass, "kept out without an answer"),
        _ => {
            let summary = format!("the answer is {}: that is no refusal", attempt.answered());
            finding(seen, Verdict::Inconclusive, summary).with(value).with(status(attempt))
        }
    }
}

/// No `Origin` at all: a native client. Both are right unless something is expected.
pub(super) fn absent(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    if let Some(came) = seen.arrived.as_ref().and_then(|arrived| arrived.joined("Origin")) {
        let finding = facts
            .failure(seen, Cause::OriginRewritten, format!("a hop adds Origin {came}"))
            .with(header_values("Origin", None, seen.arrived.as_ref()));
        return finding;
    }
    match (kept(attempt), facts.expect.no_origin) {
        (true, Some(NoOrigin::Refuse)) => {
            let finding = finding(seen, Verdict::Exposed, "a client without Origin is let in")
                .because(Own::OriginUnchecked);
            facts.fixed(finding).with(status(attempt))
        }
        (false, Some(NoOrigin::Accept)) => {
            let (cause, summary) = refusal(attempt);
            facts.failure(seen, cause, summary).with(status(attempt))
        }
        (true, _) => finding(seen, Verdict::Pass, "let in: native clients can connect"),
        (false, _) => finding(seen, Verdict::Pass, "kept out: browsers only"),
    }
}
