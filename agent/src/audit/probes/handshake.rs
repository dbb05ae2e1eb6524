//! The good handshake: is it accepted, kept, and answered as it should be?

use super::{Facts, Made, Observer, Seen, finding, header_values, nothing, refusal, status};
use crate::{
    audit::{
        behind::Arrived,
        client::handshake::{Attempt, Dialogue, Talk},
    },
    check::{Code, Finding, Own, Value, Verdict},
    diagnose::{Cause, ending::Reason},
};

pub(super) fn judge(facts: &Facts<'_>, seen: &Seen) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    if attempt.accepted() { accepted(facts, seen, attempt) } else { refused(facts, seen, attempt) }
}

fn refused(facts: &Facts<'_>, seen: &Seen, attempt: &Attempt) -> Finding {
    let Some(arrived) = &seen.arrived else {
        let (cause, summary) = refusal(attempt);
        let mut finding = facts.failure(seen, cause, summary).with(status(attempt));
        if let Some(location) = attempt.response().and_then(|head| head.headers.first("location")) {
            finding = finding.with(Value::of("Location").answered(location));
        }
        if facts.observer != Observer::Nobody {
            finding.summary += "; nothing arrived behind the chain";
        }
        return finding;
    };
    if let Some((cause, name, summary)) = broken(arrived) {
        let sent = attempt.request.field(name);
        return facts
            .failure(seen, cause, summary)
            .with(header_values(name, sent, Some(arrived)))
            .with(status(attempt));
    }
    let sent = attempt.request.field("Origin");
    if arrived.joined("Origin").as_deref() != sent {
        return origin(facts, seen, arrived, sent).with(status(attempt));
    }
    let (cause, summary) = refusal(attempt);
    const PROTOCOL: &str = "Sec-WebSocket-Protocol";
    if cause == Cause::SubprotocolMismatch && arrived.all(PROTOCOL).next().is_none() {
        let sent = attempt.request.field(PROTOCOL);
        return facts
            .failure(seen, Cause::SubprotocolRequired, "a hop removes Sec-WebSocket-Protocol")
            .with(header_values(PROTOCOL, sent, Some(arrived)));
    }
    let summary = if facts.observer == Observer::Backend {
        format!("the backend accepted, and {summary}")
    } else {
        summary
    };
    facts.failure(seen, cause, summary).with(status(attempt))
}

/// A refusal behind which the origin is not the one that was sent.
fn origin(facts: &Facts<'_>, seen: &Seen, arrived: &Arrived, sent: Option<&str>) -> Finding {
    let (cause, summary) = if arrived.joined("Origin").is_none() {
        (Cause::OriginStripped, "a hop removes Origin")
    } else {
        (Cause::OriginRewritten, "a hop changes Origin")
    };
    facts.failure(seen, cause, summary).with(header_values("Origin", sent, Some(arrived)))
}

/// What of the arrived request makes it no handshake any more: cause, field, sentence.
fn broken(arrived: &Arrived) -> Option<(Cause, &'static str, &'static str)> {
    let has = |name: &str| arrived.all(name).next().is_some();
    Some(if arrived.method != "GET" {
        (Cause::MethodNotGet, "method", "the request arrives with another method")
    } else if !has("Upgrade") {
        (Cause::UpgradeStripped, "Upgrade", "a hop removes Upgrade")
    } else if !arrived.has_token("Upgrade", "websocket") {
        (Cause::UpgradeMangled, "Upgrade", "a hop changes Upgrade")
    } else if !arrived.has_token("Connection", "upgrade") {
        (Cause::ConnectionStripped, "Connection", "a hop takes upgrade out of Connection")
    } else if !has("Sec-WebSocket-Key") {
        (Cause::KeyMissing, "Sec-WebSocket-Key", "a hop removes Sec-WebSocket-Key")
    } else if arrived.joined("Sec-WebSocket-Version").as_deref() != Some("13") {
        let summary = "a hop changes Sec-WebSocket-Version";
        (Cause::VersionUnsupported, "Sec-WebSocket-Version", summary)
    } else if !arrived.http11 {
        (Cause::HttpVersion, "version", "the request arrives as HTTP/1.0")
    } else {
        return None;
    })
}

fn accepted(facts: &Facts<'_>, seen: &Seen, attempt: &Attempt) -> Finding {
    let close = match seen.probe.dialogue {
        Dialogue::Talk { close } => close,
        _ => 1000,
    };
    let mut said = vec!["101"];
    match &attempt.talk {
        Some(Talk::Closed { code, .. }) => return closed(facts, seen, *code),
        Some(Talk::Silent) => {
            let summary = "the handshake is accepted, and no ping is answered";
            return facts.failure(seen, Reason::PingUnanswered, summary);
        }
        Some(Talk::Answered { close: Some(code) }) if *code != close => {
            if facts.observer == Observer::Backend {
                let summary = format!("the close code {close} comes back as {code}");
                let value =
                    Value::of("close code").sent(close.to_string()).answered(code.to_string());
                return facts.failure(seen, Own::MessageAltered, summary).with(value);
            }
            said.extend(["a ping is answered", "the server closes with a code of its own"]);
        }
        Some(Talk::Answered { close: Some(_) }) => {
            said.extend(["a ping is answered", "the close code comes back"]);
        }
        _ => said.extend(["a ping is answered", "the server closes without a close frame"]),
    }
    let offered = &facts.expect.subprotocols;
    let chosen = attempt.response().and_then(|head| head.subprotocols.first());
    // What did not arrive could not be chosen: the comparison tells.
    let asked =
        seen.arrived.as_ref().is_none_or(|a| a.all("Sec-WebSocket-Protocol").next().is_some());
    if !offered.is_empty() && chosen.is_none() && asked {
        let summary = "none of the offered subprotocols is chosen";
        let sent = attempt.request.field("Sec-WebSocket-Protocol");
        return facts.failure(seen, Cause::SubprotocolMismatch, summary).with(header_values(
            "Sec-WebSocket-Protocol",
            sent,
            seen.arrived.as_ref(),
        ));
    }
    if chosen.is_some() {
        said.push("a subprotocol is chosen");
    }
    if facts.observer != Observer::Nobody && seen.arrived.is_none() {
        let summary = match facts.observer {
            Observer::Agent => {
                "accepted, and the agent saw nothing of it: another node answers, or the mark does not pass"
            }
            _ => "accepted, and nothing arrived here: another server answers",
        };
        return finding(seen, Verdict::Inconclusive, summary);
    }
    finding(seen, Verdict::Pass, said.join(", "))
}

/// A connection that ended right after the 101.
fn closed(facts: &Facts<'_>, seen: &Seen, code: Option<u16>) -> Finding {
    let (cause, summary): (Code, _) = match code {
        Some(code) => (
            Cause::RejectedAfterAccept.into(),
            format!("the handshake is accepted, and closed at once with {code}"),
        ),
        None => (
            Reason::Reset.into(),
            "the handshake is accepted, and the connection ends at once without a close frame"
                .to_owned(),
        ),
    };
    facts.failure(seen, cause, summary)
}
