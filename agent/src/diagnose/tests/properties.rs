//! What must not matter, and what must never be said.

use proptest::prelude::*;

use super::{SOUND, exchange, head, response};
use crate::{
    diagnose::{Cause, Confidence, PopulationEvidence, diagnose},
    handshake::{Answer, CloseBy, End},
    http::Version,
};

type Fields = Vec<(String, String)>;

/// Requests and answers that lead to every kind of verdict.
fn cases() -> impl Strategy<Value = (Fields, u16, Fields, String)> {
    let owned = |fields: &[(&str, &str)]| -> Fields {
        fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    };
    let change = prop::sample::select(vec![
        ("Host", "127.0.0.1:8080"),
        ("Host", "app"),
        ("Origin", "https://evil.test.example"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Origin", "https://app.example.test:8443"),
        ("Upgrade", ""),
        ("Connection", "close"),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Version", "8"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto", "wss"),
        ("X-Forwarded-Host", "app.example.test"),
        ("Sec-Fetch-Site", "cross-site"),
        ("User-Agent", "Mozilla/5.0"),
        ("Accept-Language", "en"),
        ("Sec-WebSocket-Protocol", "chat"),
    ]);
    let answer = prop::sample::select(vec![
        (403, vec![("Server", "TornadoServer/6")], "Cross origin websockets not allowed"),
        (403, vec![("Sec-WebSocket-Version", "13")], "Forbidden\n"),
        (404, vec![("Content-Type", "text/plain")], "Page not found"),
        (400, vec![], "\"x is not an accepted origin.\""),
        (403, vec![], "Failed to open a WebSocket connection: invalid Origin header: x."),
        (401, vec![("Connection", "close"), ("Content-Type", "text/html")], "Unauthorized"),
        (403, vec![("Content-Length", "0")], ""),
        (200, vec![("Content-Type", "text/html")], "<html>"),
        (301, vec![("Location", "https://app.example.test/ws")], ""),
        (502, vec![("Server", "nginx")], "<center>nginx</center>"),
        (101, vec![("Upgrade", "websocket"), ("Connection", "Upgrade")], ""),
        (400, vec![], ""),
    ]);
    (prop::collection::vec(change, 0..5), answer).prop_map(
        move |(changes, (status, fields, body))| {
            let mut request = owned(SOUND);
            for (name, value) in changes {
                request.retain(|(have, _)| have != name);
                if !value.is_empty() {
                    request.push((name.to_owned(), value.to_owned()));
                }
            }
            (request, status, owned(&fields), body.to_owned())
        },
    )
}

fn borrow(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn verdict(
    request: &[(String, String)],
    status: u16,
    fields: &[(String, String)],
    body: &str,
) -> crate::diagnose::Verdict {
    let answer = Answer::Response(response(status, &borrow(fields), body));
    diagnose(&exchange(head(&borrow(request)), answer), &PopulationEvidence::default())
}

proptest! {
    #[test]
    fn order_case_and_unrelated_fields_change_nothing(
        (request, status, fields, body) in cases(),
        turn in 0usize..12,
        upper in any::<bool>(),
        noise in prop::collection::vec(("x-note-[a-z]{1,8}", "[ -~]{0,40}"), 0..4),
    ) {
        let plain = verdict(&request, status, &fields, &body);
        let disturb = |fields: &[(String, String)]| {
            let mut fields = fields.to_vec();
            fields.extend(noise.clone());
            let turn = turn % fields.len().max(1);
            fields.rotate_left(turn);
            for (name, _) in &mut fields {
                *name = if upper { name.to_ascii_uppercase() } else { name.to_ascii_lowercase() };
            }
            fields
        };
        let disturbed = verdict(&disturb(&request), status, &disturb(&fields), &body);
        prop_assert_eq!(plain, disturbed);
    }

    #[test]
    fn whatever_comes_there_is_a_verdict_and_no_unfounded_certainty(
        method in prop_oneof![Just("GET".to_owned()), "[A-Z]{0,8}"],
        path in "\\PC{0,40}",
        old in any::<bool>(),
        request in prop::collection::vec((name(), "\\PC{0,60}"), 0..12),
        status in 100u16..600,
        fields in prop::collection::vec((name(), "\\PC{0,60}"), 0..8),
        body in "\\PC{0,200}",
        silent in prop::option::of(any::<bool>()),
    ) {
        let mut head = head(&borrow(&request));
        head.method = method.into();
        head.path = path.into();
        head.version = if old { Version::Http10 } else { Version::Http11 };
        let answer = match silent {
            None => Answer::Response(response(status, &borrow(&fields), &body)),
            Some(true) => Answer::Closed { by: CloseBy::Rst, initiator: End::Local },
            Some(false) => Answer::TimedOut,
        };
        let verdict = diagnose(&exchange(head, answer), &PopulationEvidence::default());
        prop_assert_eq!(verdict.cause.is_some(), verdict.confidence.is_some());
        prop_assert!(verdict.evidence.iter().all(|e| !e.value.contains(|c: char| c.is_control())));
        // Of the origin nothing is certain but by a server's own words, and these bytes hold none.
        let about_origin = matches!(
            verdict.cause,
            Some(
                Cause::OriginNotAllowed | Cause::OriginRewritten | Cause::OriginStripped
                | Cause::OriginAbsent | Cause::HostRewritten | Cause::PortMismatch
                | Cause::ForwardedProtoMissing | Cause::ForwardedProtoWrong | Cause::Forbidden
                | Cause::Unknown
            )
        );
        prop_assert!(!(about_origin && verdict.confidence == Some(Confidence::Certain)));
    }
}

/// Names that the rules look at, and others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Host",
            "Origin",
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Accept",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "Forwarded",
            "Sec-Fetch-Site",
            "User-Agent",
            "Server",
            "Location",
            "WWW-Authenticate",
            "Content-Type",
            "Content-Length",
        ])
        .prop_map(str::to_owned),
        "[A-Za-z-]{1,20}",
    ]
}
