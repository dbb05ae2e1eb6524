//! Events for tests: the plainest of each kind, to be changed where a test needs it.

use super::{
    ClosedBy, ClosureEvent, Evidence, GaveUpEvent, HandshakeEvent, Initiator, Outcome, Policy,
    Process, RoleName, Scheme, StormEvent,
};
use crate::diagnose::{Cause, Confidence};

/// A refused handshake with everything in it.
pub(crate) fn refused() -> HandshakeEvent {
    HandshakeEvent {
        id: None,
        trace_id: None,
        span_id: None,
        attempt: None,
        retry_after_ms: None,
        time: "2026-05-04T03:02:01.123456Z".to_owned(),
        role: RoleName::Server,
        outcome: Outcome::Rejected,
        status: Some(403),
        cause: Some(Cause::OriginNotAllowed),
        confidence: Some(Confidence::Certain),
        alternatives: Vec::new(),
        answer_text: None,
        evidence: vec![Evidence {
            name: "Origin".into(),
            value: "https://evil.example".to_owned(),
        }],
        summary: None,
        disproof: None,
        fix: Some("add the origin to the server's allow-list".into()),
        origin: Some("https://evil.example".to_owned()),
        host: Some("app.example".to_owned()),
        path: "/chat".to_owned(),
        forwarded_proto: None,
        forwarded_host: None,
        server: Some("ws".to_owned()),
        scheme: Scheme::Wss,
        policy: Policy::None,
        duration_us: 1500,
        local: "127.0.0.1:8080".to_owned(),
        peer: "127.0.0.1:40000".to_owned(),
        proxy_changes: Vec::new(),
        proxy: None,
        proxy_container: None,
        peer_container: None,
        process: Some(Process::new(42, "node".to_owned())),
        container: None,
        unit: None,
        audit: None,
    }
}

/// An accepted handshake.
pub(crate) fn accepted() -> HandshakeEvent {
    HandshakeEvent {
        outcome: Outcome::Accepted,
        status: Some(101),
        cause: None,
        confidence: None,
        alternatives: Vec::new(),
        answer_text: None,
        evidence: Vec::new(),
        fix: None,
        origin: Some("https://app.example".to_owned()),
        ..refused()
    }
}

/// An abnormal end.
pub(crate) fn closure() -> ClosureEvent {
    ClosureEvent {
        id: None,
        time: "2026-05-04T03:02:01.123456Z".to_owned(),
        role: RoleName::Server,
        origin: Some("https://app.example".to_owned()),
        path: Some("/chat".to_owned()),
        code: 1006,
        clean: false,
        initiator: Initiator::Peer,
        by: ClosedBy::Fin,
        reason: None,
        broken_rule: None,
        confidence: None,
        connection_seconds: 61.0,
        older_than_agent: false,
        idle_seconds: 60.0,
        messages_in: 3,
        messages_out: 4,
        ping_seen: false,
        synchronised: true,
        local: "127.0.0.1:8080".to_owned(),
        peer: "127.0.0.1:40000".to_owned(),
        process: None,
        container: None,
        unit: None,
        audit: None,
    }
}

/// A storm of reconnects.
pub(crate) fn storm() -> StormEvent {
    StormEvent {
        id: None,
        time: "2026-05-04T03:02:01.123456Z".to_owned(),
        role: RoleName::Server,
        origin: Some("https://app.example".to_owned()),
        ended: 120,
        code: 1006,
        initiator: Initiator::Local,
        by: ClosedBy::Fin,
        reason: None,
        reconnects: 110,
        failed: 20,
        seconds: 4.5,
    }
}

/// A client that gave up.
pub(crate) fn gave_up() -> GaveUpEvent {
    GaveUpEvent {
        id: None,
        time: "2026-05-04T03:02:01.123456Z".to_owned(),
        role: RoleName::Server,
        origin: Some("https://app.example".to_owned()),
        path: "/chat".to_owned(),
        attempts: 4,
        seconds: 7.5,
        cause: Some(Cause::OriginNotAllowed),
    }
}
