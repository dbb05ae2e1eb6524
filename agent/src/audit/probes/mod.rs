//! What the handshakes came to: each kind of probe has its own rules, all of them pure.
//!
//! In: what was sent, what arrived and what was answered. Out: findings.

mod access;
mod arrived;
mod forms;
mod forwarded;
mod handshake;
mod idle;
mod origins;
#[cfg(test)]
mod tests;

use super::{
    behind::Arrived,
    client::{
        connect::ConnectError,
        handshake::{Attempt, Talk},
        http2::Http2,
    },
    expect::Expectation,
    plan::{Probe, Purpose},
    target::Target,
};
use crate::{
    check::{Code, Finding, Own, Value, Verdict},
    diagnose::Cause,
    http::MASKED,
    pages,
};

/// Who sees what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    /// Nobody.
    Nobody,
    /// A backend of our own.
    Backend,
    /// The agent on the backend's node.
    Agent,
}

/// What was made of a probe.
#[derive(Clone)]
pub enum Made {
    /// A handshake.
    Attempt(Box<Attempt>),
    /// A try by HTTP/2.
    Http2(Http2),
    /// There was no connection.
    NotConnected(ConnectError),
    /// It was not tried: the good handshake fails, so it would tell nothing.
    Untried,
}

/// A probe, what was made of it, and what arrived.
#[derive(Clone)]
pub struct Seen {
    /// What was planned.
    pub probe: Probe,
    /// What came of it.
    pub made: Made,
    /// What arrived behind the chain, if that was seen.
    pub arrived: Option<Arrived>,
}

impl Seen {
    /// The handshake, if one was made.
    fn attempt(&self) -> Option<&Attempt> {
        match &self.made {
            Made::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }
}

/// Everything that is known of one URL.
pub struct Facts<'a> {
    /// The URL.
    pub target: &'a Target,
    /// The good origin.
    pub origin: &'a str,
    /// What is expected.
    pub expect: &'a Expectation,
    /// Who sees what arrives.
    pub observer: Observer,
    /// The proxy whose configuration a fix is for.
    pub proxy: Option<String>,
    /// All probes, in order.
    pub seen: &'a [Seen],
}

/// Judges everything.
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in facts.seen {
        match &seen.probe.purpose {
            Purpose::Handshake => {
                let found = handshake::judge(facts, seen);
                let known = found.cause;
                findings.push(found);
                findings.extend(arrived::judge(facts, seen, known));
                findings.extend(facts.expect.arrivals(seen.arrived.as_ref()));
            }
            Purpose::Forged => findings.extend(forwarded::judge(facts, seen)),
            Purpose::Allowed => findings.push(origins::allowed(facts, seen)),
            Purpose::Foreign(what) => findings.push(origins::foreign(facts, seen, what)),
            Purpose::NoOrigin => findings.push(origins::absent(facts, seen)),
            Purpose::Plain => findings.push(access::plain(facts, seen)),
            Purpose::Http2 => findings.push(access::http2(facts, seen)),
            Purpose::Form(what, must) => findings.push(forms::form(facts, seen, what, *must)),
            Purpose::Deflate => findings.push(forms::deflate(facts, seen)),
            Purpose::Messages => findings.push(forms::messages(facts, seen)),
            Purpose::Idle(pinged) => findings.push(idle::judge(facts, seen, *pinged)),
        }
    }
    findings.into_iter().map(|finding| facts.expect.excuse(finding)).collect()
}

impl Facts<'_> {
    /// The good handshake.
    fn good(&self) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.probe.purpose == Purpose::Handshake)
    }

    /// A failure with its cause and with the fix for the proxy that is there.
    fn failure(&self, seen: &Seen, cause: impl Into<Code>, summary: impl Into<String>) -> Finding {
        self.fixed(finding(seen, Verdict::Fail, summary).because(cause))
    }

    /// With the fix of its cause.
    fn fixed(&self, finding: Finding) -> Finding {
        let fix = match finding.cause {
            Some(Code::Cause(cause)) => pages::fix(cause, self.proxy.as_deref()),
            Some(Code::Own(own)) => own_fix(own).to_owned(),
            Some(Code::Ending(_)) => ENDING_FIX.to_owned(),
            None => return finding,
        };
        finding.fixed_by(fix)
    }
}

/// A finding about this probe.
fn finding(seen: &Seen, verdict: Verdict, summary: impl Into<String>) -> Finding {
    Finding::new(seen.probe.name.clone(), verdict, summary)
}

/// The finding of a probe that cannot be judged: no connection, or not tried.
fn nothing(seen: &Seen) -> Finding {
    let summary = match &seen.made {
        Made::NotConnected(error) => format!("no connection: {error}"),
        _ => "not tried: it would tell nothing while the good handshake fails".to_owned(),
    };
    finding(seen, Verdict::Inconclusive, summary)
}

/// What puts right an end that came too early.
const ENDING_FIX: &str = "raise the time after which the hop ends quiet connections (nginx proxy_read_timeout, HAProxy \
timeout tunnel, ALB idle_timeout), and let one end ping more often than that";

/// What puts an own code right.
fn own_fix(own: Own) -> &'static str {
    match own {
        Own::OriginUnchecked => {
            "compare Origin with the exact list of your own origins, and refuse all others with 403"
        }
        Own::ForwardedForged => {
            "where TLS ends, set the header to the hop's own value instead of passing the client's on (nginx: \
             proxy_set_header, HAProxy: http-request set-header), and trust no others"
        }
        Own::ForwardedIncomplete => {
            "set the header once, where TLS ends, and pass it on behind that"
        }
        Own::PlainAccepted => "answer with a redirect or a refusal on the plain port",
        Own::MessageAltered => "take what buffers, compresses or rewrites bodies off this path",
        Own::RequestAltered => "let the hop pass the request on as it came",
        Own::Unexpected => "correct the chain, or the file with what is expected",
    }
}

/// What was answered, as a value.
fn status(attempt: &Attempt) -> Value {
    Value::of("status").answered(attempt.answered())
}

/// A header field as it was sent and as it arrived. What may be secret is masked.
pub fn header_values(name: &str, sent: Option<&str>, arrived: Option<&Arrived>) -> Value {
    let secret = ["cookie", "authorization", "proxy-authorization", "sec-websocket-key"];
    let shown = |value: String| {
        if secret.iter().any(|secret| name.eq_ignore_ascii_case(secret)) || value == MASKED {
            MASKED.to_owned()
        } else {
            value
        }
    };
    let mut value = Value::of(name.to_owned());
    if let Some(sent) = sent {
        value = value.sent(shown(sent.to_owned()));
    }
    match arrived {
        Some(arrived) => value.arrived(arrived.joined(name).map(shown).as_deref()),
        None => value,
    }
}

/// The cause of a refusal as the answer shows it, and in a sentence.
fn refusal(attempt: &Attempt) -> (Cause, String) {
    let verdict = attempt.verdict.as_ref();
    let cause = verdict.and_then(|verdict| verdict.cause).unwrap_or(Cause::Unknown);
    let summary = verdict.map(|verdict| verdict.summary.clone()).unwrap_or_default();
    let answered = attempt.answered();
    if summary.is_empty() {
        (cause, format!("the answer is {answered}"))
    } else {
        (cause, format!("the answer is {answered}: {summary}"))
    }
}

/// Whether the server took the handshake and kept it: a pong came, or nothing that says otherwise.
fn kept(attempt: &Attempt) -> bool {
    attempt.accepted() && !matches!(attempt.talk, Some(Talk::Closed { .. }))
}
