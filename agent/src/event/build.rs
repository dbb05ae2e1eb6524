//! Events made from what the stages found.
//!
//! In: an exchange with its verdict, a closure. Out: the event with the names and bounds of the public interface. Process and
//! container are filled in later, by the enrichment.

use std::time::Duration;

use super::{AuditMark, ClosedBy, ClosureEvent, HandshakeEvent, Initiator, Policy, RoleName};
use crate::{
    diagnose::{Scheme, Verdict, ending::Why, scheme},
    handshake::{Answer, CloseBy, Closure, End, Exchange, Role},
    http::{Headers, bounded},
};

/// The origin of a connection that is older than the agent.
pub const UNSEEN: &str = "unseen";

impl HandshakeEvent {
    /// The event for an opening handshake; `policy` is the configured policy's word on its origin.
    pub fn new(exchange: &Exchange, verdict: Verdict, policy: Policy) -> Self {
        let request = &exchange.request;
        let (local, peer) = exchange.connection.ends();
        let trace = exchange.request.headers.first("traceparent").and_then(trace);
        let (trace_id, span_id) = trace.unzip();
        Self {
            id: None,
            trace_id,
            span_id,
            attempt: None,
            retry_after_ms: None,
            time: timestamp(exchange.time),
            role: exchange.connection.role.into(),
            outcome: verdict.outcome,
            status: match &exchange.answer {
                Answer::Response(response) => Some(response.status),
                _ => None,
            },
            cause: verdict.cause,
            confidence: verdict.confidence,
            evidence: verdict.evidence,
            alternatives: verdict.alternatives,
            answer_text: None,
            summary: (!verdict.summary.is_empty()).then_some(verdict.summary),
            disproof: verdict.disproof.map(Into::into),
            fix: verdict.fix.map(Into::into),
            origin: origin(&request.headers),
            host: request.headers.first("host").map(bounded),
            path: bounded(&request.path),
            forwarded_proto: request.headers.first("x-forwarded-proto").map(bounded),
            forwarded_host: request.headers.first("x-forwarded-host").map(bounded),
            server: verdict.server,
            scheme: if exchange.connection.is_tls() && exchange.connection.role == Role::Server {
                Scheme::Wss
            } else {
                scheme(request)
            },
            policy,
            duration_us: exchange.duration.as_micros().try_into().unwrap_or(u64::MAX),
            local,
            peer,
            proxy_changes: Vec::new(),
            proxy: None,
            proxy_container: None,
            peer_container: None,
            process: None,
            container: None,
            unit: None,
            audit: AuditMark::of(request).map(Box::new),
        }
    }
}

/// The `Origin` as received: several fields joined by `, `; `None` when there is none.
pub fn origin(headers: &Headers) -> Option<String> {
    let fields: Vec<_> = headers.all("origin").collect();
    (!fields.is_empty()).then(|| bounded(&fields.join(", ")))
}

/// Trace and span of a `traceparent` (W3C Trace Context section 3.2); `None` when it is not a valid one.
fn trace(value: &str) -> Option<(String, String)> {
    let mut parts = value.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let names = |text: &str| text.bytes().any(|byte| byte != b'0');
    // Version 00 ends there; a later one may go on.
    let holds = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2);
    (holds && names(trace) && names(span)).then(|| (trace.to_owned(), span.to_owned()))
}

impl ClosureEvent {
    /// The event for the end of a connection, and why it ended, when that can be told.
    pub fn new(closure: &Closure, why: Option<Why>) -> Self {
        let (local, peer) = closure.connection.ends();
        Self {
            id: None,
            time: timestamp(closure.time),
            role: closure.connection.role.into(),
            origin: match &closure.handshake {
                Some(opened) => opened.origin.as_deref().map(bounded),
                None => Some(UNSEEN.to_owned()),
            },
            path: closure.handshake.as_ref().map(|opened| bounded(&opened.path)),
            code: closure.code,
            clean: closure.clean,
            initiator: match closure.initiator {
                Some(End::Local) => Initiator::Local,
                Some(End::Peer) => Initiator::Peer,
                None => Initiator::Unknown,
            },
            by: match closure.by {
                _ if closure.by_close_frame => ClosedBy::CloseFrame,
                CloseBy::Fin => ClosedBy::Fin,
                CloseBy::Rst => ClosedBy::Rst,
                CloseBy::Timeout => ClosedBy::Timeout,
            },
            reason: why.map(|(reason, _)| reason.code().to_owned()),
            confidence: why.map(|(_, confidence)| confidence),
            broken_rule: closure.violation.map(|(rule, _)| rule.what().to_owned()),
            connection_seconds: closure.lasted.as_secs_f64(),
            older_than_agent: closure.older,
            idle_seconds: closure.idle.as_secs_f64(),
            messages_in: closure.messages_in,
            messages_out: closure.messages_out,
            ping_seen: closure.pings_in > 0 || closure.pings_out > 0,
            synchronised: closure.synchronised,
            local,
            peer,
            process: None,
            container: None,
            unit: None,
            audit: closure
                .handshake
                .as_ref()
                .and_then(|opened| opened.audit.as_deref())
                .map(str::to_owned),
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Server => Self::Server,
            Role::Client => Self::Client,
        }
    }
}

/// A time since the Unix epoch as RFC 3339 in UTC, with microseconds.
pub fn timestamp(since_epoch: Duration) -> String {
    let time = jiff::SignedDuration::try_from(since_epoch)
        .and_then(jiff::Timestamp::from_duration)
        .unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{timestamp, trace};
    use crate::{
        diagnose::{Confidence, ending::Reason},
        event::{ClosedBy, ClosureEvent, Initiator, RoleName},
        handshake::{CloseBy, Closure, Connection, End, Opened, Role},
        http::{MAX_VALUE, bounded},
    };

    #[test]
    fn a_traceparent_is_taken_only_whole() {
        let (id, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let told = Some((id.to_owned(), span.to_owned()));
        assert_eq!(trace(&format!("00-{id}-{span}-01")), told);
        assert_eq!(trace(&format!("cc-{id}-{span}-01-what-the-future-will-be-like")), told);
        for no in [
            format!("00-{id}-{span}-01-more"),
            format!("ff-{id}-{span}-01"),
            format!("00-{}-{span}-01", id.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{id}-{}-01", "0".repeat(16)),
            format!("00-{id}-{span}"),
            format!("00-{id}é-{span}-01"),
            String::new(),
        ] {
            assert_eq!(trace(&no), None, "{no}");
        }
    }

    fn closure() -> Closure {
        Closure {
            connection: Connection {
                cookie: 1,
                role: Role::Client,
                local: "[::1]:8080".parse().unwrap(),
                peer: "127.0.0.1:40000".parse().unwrap(),
                cgroup: 0,
                holder: None,
            },
            handshake: Some(Opened {
                origin: Some("https://app.example".into()),
                path: "/chat".into(),
                audit: None,
            }),
            time: Duration::from_micros(1_777_863_721_123_456),
            code: 1006,
            clean: false,
            initiator: Some(End::Peer),
            by_close_frame: false,
            by: CloseBy::Rst,
            lasted: Duration::from_millis(61_500),
            older: false,
            idle: Duration::from_millis(60_250),
            messages_in: 3,
            messages_out: 4,
            pings_in: 2,
            pings_out: 0,
            pongs_in: 0,
            pongs_out: 0,
            synchronised: true,
            violation: None,
        }
    }

    #[test]
    fn a_closure_keeps_what_was_found() {
        let event = ClosureEvent::new(&closure(), Some((Reason::Reset, Confidence::Certain)));
        assert_eq!(event.time, "2026-05-04T03:02:01.123456Z");
        assert_eq!(event.role, RoleName::Client);
        assert_eq!(event.origin.as_deref(), Some("https://app.example"));
        assert_eq!(event.path.as_deref(), Some("/chat"));
        assert_eq!((event.code, event.clean), (1006, false));
        assert_eq!((event.initiator, event.by), (Initiator::Peer, ClosedBy::Rst));
        assert!((event.connection_seconds - 61.5).abs() < 1e-9);
        assert!((event.idle_seconds - 60.25).abs() < 1e-9);
        assert_eq!((event.messages_in, event.messages_out), (3, 4));
        assert_eq!(event.reason.as_deref(), Some("reset"));
        assert_eq!((event.confidence, event.broken_rule), (Some(Confidence::Certain), None));
        assert_eq!((event.ping_seen, event.synchronised), (true, true));
        assert_eq!((&*event.local, &*event.peer), ("[::1]:8080", "127.0.0.1:40000"));
    }

    #[test]
    fn a_close_frame_decides_what_ended_the_connection() {
        let event = ClosureEvent::new(&Closure { by_close_frame: true, ..closure() }, None);
        assert_eq!(event.by, ClosedBy::CloseFrame);
    }

    #[test]
    fn a_connection_older_than_the_agent_has_an_unseen_origin() {
        let event =
            ClosureEvent::new(&Closure { handshake: None, initiator: None, ..closure() }, None);
        assert_eq!(event.origin.as_deref(), Some("unseen"));
        assert_eq!(event.path, None);
        assert_eq!(event.initiator, Initiator::Unknown);
        let native = Opened { origin: None, path: "/".into(), audit: None };
        let event = ClosureEvent::new(&Closure { handshake: Some(native), ..closure() }, None);
        assert_eq!(event.origin, None);
    }

    #[test]
    fn times_are_rfc_3339_with_microseconds_whatever_the_clock_says() {
        assert_eq!(timestamp(Duration::ZERO), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(Duration::from_nanos(1_999)), "1970-01-01T00:00:00.000001Z");
        assert!(timestamp(Duration::MAX).starts_with("9999-12-30T22:00:00."));
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_between_characters() {
        let fits = "ü".repeat(MAX_VALUE);
        assert_eq!(bounded(&fits), fits);
        let cut = bounded(&(fits.clone() + "x"));
        assert_eq!(cut, fits + "…");
        assert_eq!(bounded(&cut), cut);
    }
}
