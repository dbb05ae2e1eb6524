//! What RFC 6455 requires of the request.

use super::{
    CERTAIN, LIKELY, POSSIBLE, closed, exchange, judge, request, response, said, switching,
};
use crate::{
    diagnose::{Outcome, PopulationEvidence, diagnose},
    handshake::{Answer, End},
    http::{Defect, MAX_VALUE, RequestHead, Version},
};

#[test]
fn a_hop_took_away_what_the_protocol_needs() {
    for (changes, cause) in [
        (&[("Upgrade", ""), ("Connection", "close")][..], "upgrade-stripped"),
        (&[("Upgrade", ""), ("Connection", "")], "upgrade-stripped"),
        (&[("Upgrade", "")], "upgrade-stripped"),
        (&[("Connection", "close")], "connection-stripped"),
        (&[("Connection", "")], "connection-stripped"),
        (&[("Upgrade", "upgrade")], "upgrade-mangled"),
        (&[("Sec-WebSocket-Key", "")], "key-missing"),
    ] {
        for status in [200, 400, 500] {
            let verdict = judge(request(changes), response(status, &[], ""));
            assert_eq!(said(&verdict), (cause, LIKELY), "{changes:?} {status}");
            assert_eq!(verdict.outcome, Outcome::Rejected);
            assert!(verdict.evidence.len() >= 2);
        }
        let asked = judge(request(changes), response(426, &[], ""));
        let sure = if cause == "key-missing" { LIKELY } else { CERTAIN };
        assert_eq!(said(&asked), (cause, sure), "{changes:?}");
        // These answers have meanings of their own, and not every server looks at the form first.
        for (status, fields, other) in [
            (401, &[("WWW-Authenticate", "Bearer")][..], "auth-required"),
            (302, &[("Location", "/login")], "redirected"),
            (429, &[], "rate-limited"),
            (503, &[], "server-error"),
            (502, &[], "upstream-unavailable"),
        ] {
            let verdict = judge(request(changes), response(status, fields, ""));
            assert_eq!(said(&verdict), (other, LIKELY), "{changes:?} {status}");
        }
        let foreign = [changes, &[("Origin", "https://evil.test.example")][..]].concat();
        let spoken = judge(request(&foreign), response(400, &[], "Forbidden origin"));
        assert_eq!(said(&spoken), ("origin-not-allowed", LIKELY), "{changes:?}");
    }
    let gone = [("Upgrade", ""), ("Connection", "")];
    let not_found = judge(request(&gone), response(404, &[], ""));
    assert_eq!(said(&not_found), ("upgrade-stripped", LIKELY));
    let others: Vec<_> = not_found.alternatives.iter().map(|other| other.cause.code()).collect();
    assert_eq!(others, ["route-not-found"]);
    let words = "Can \"Upgrade\" only to \"WebSocket\".";
    assert_eq!(
        said(&judge(request(&gone), response(400, &[], words))),
        ("upgrade-stripped", CERTAIN)
    );
    let mut posted = request(&[]);
    posted.method = "POST".into();
    assert_eq!(said(&judge(posted, response(405, &[], ""))), ("method-not-get", CERTAIN));
}

#[test]
fn a_head_whose_end_was_not_seen_lacks_nothing_for_certain() {
    let mut cut = request(&[("Upgrade", ""), ("Connection", ""), ("Sec-WebSocket-Version", "")]);
    cut.defect = Some(Defect::Truncated);
    let verdict = judge(cut, response(400, &[], ""));
    assert_ne!(verdict.confidence, CERTAIN);
}

#[test]
fn what_servers_accept_is_no_fault() {
    let mut old = request(&[("Sec-WebSocket-Version", "8")]);
    old.version = Version::Http10;
    for head in [old, request(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")])] {
        let verdict = judge(head, switching(&[]));
        assert_eq!((verdict.outcome, verdict.cause), (Outcome::Accepted, None));
    }
}

#[test]
fn version_and_key_count_only_where_the_answer_fits() {
    let draft = || request(&[("Sec-WebSocket-Version", "8")]);
    let listed = response(426, &[("Sec-WebSocket-Version", "13")], "");
    assert_eq!(said(&judge(draft(), listed)), ("version-unsupported", CERTAIN));
    assert_eq!(said(&judge(draft(), response(400, &[], ""))), ("version-unsupported", LIKELY));
    assert_eq!(said(&judge(draft(), response(404, &[], ""))), ("route-not-found", LIKELY));
    // A server that takes the draft and looks for the page in the field of version 13.
    assert_eq!(said(&judge(draft(), response(403, &[], ""))), ("version-unsupported", LIKELY));
    assert_eq!(said(&judge(draft(), response(401, &[], ""))), ("version-unsupported", LIKELY));
    let asked = response(401, &[("WWW-Authenticate", "Basic")], "");
    assert_eq!(said(&judge(draft(), asked)), ("auth-required", LIKELY));
    let short = || request(&[("Sec-WebSocket-Key", "short")]);
    let named = response(400, &[], "Missing or invalid Sec-WebSocket-Key header");
    assert_eq!(said(&judge(short(), named)), ("key-invalid", CERTAIN));
    assert_eq!(said(&judge(short(), response(400, &[], ""))), ("key-invalid", LIKELY));
    assert_eq!(said(&judge(request(&[("Host", "")]), response(400, &[], ""))).0, "host-missing");
}

#[test]
fn http_1_0_is_a_cause_when_the_answer_says_so() {
    let old = || {
        let mut head = request(&[]);
        head.version = Version::Http10;
        head
    };
    for (status, body, want) in [
        (426, "", ("http-version", CERTAIN)),
        (505, "unsupported HTTP version", ("http-version", CERTAIN)),
        (400, "", ("http-version", LIKELY)),
        (200, "hello", ("http-version", LIKELY)),
        (404, "", ("route-not-found", LIKELY)),
        (500, "", ("http-version", POSSIBLE)),
        (403, "", ("forbidden", POSSIBLE)),
        (429, "", ("rate-limited", LIKELY)),
    ] {
        assert_eq!(said(&judge(old(), response(status, &[], body))), want, "{status}");
    }
    let silent = exchange(old(), closed(End::Local));
    let verdict = diagnose(&silent, &PopulationEvidence::default());
    assert_eq!(said(&verdict), ("http-version", LIKELY));
}

#[test]
fn what_the_server_names_itself_is_not_a_fault_of_the_requests_form() {
    let mut old = request(&[]);
    old.version = Version::Http10;
    let draft = request(&[("Sec-WebSocket-Version", "8")]);
    let short = request(&[("Sec-WebSocket-Key", "short")]);
    for head in [old.clone(), draft.clone(), short.clone()] {
        for (status, body, want) in [
            (400, "Session ID unknown", ("session-unknown", CERTAIN)),
            (400, "\"https://x is not an accepted origin.\"", ("forwarded-proto-missing", LIKELY)),
            (400, "Invalid host header", ("forbidden", LIKELY)),
            (500, "No route found for path 'ws'.", ("route-not-found", CERTAIN)),
            (500, "Error: Not allowed by CORS", ("cors-middleware", CERTAIN)),
        ] {
            assert_eq!(said(&judge(head.clone(), response(status, &[], body))), want, "{body}");
        }
    }
    // Tornado looks at the origin before the version.
    let tornado = response(403, &[], "Cross origin websockets not allowed");
    assert_eq!(said(&judge(draft.clone(), tornado)).0, "origin-not-allowed");
    // `ws` takes HTTP/1.0; to a bad key or version older ones say no more than to a wrong path.
    let fields = [("Connection", "close"), ("Content-Type", "text/html")];
    for (head, want) in
        [(old, "route-not-found"), (draft, "version-unsupported"), (short, "key-invalid")]
    {
        assert_eq!(said(&judge(head, response(400, &fields, "Bad Request"))), (want, LIKELY));
    }
}

#[test]
fn silence_is_told_by_who_left() {
    let verdict =
        |answer| diagnose(&exchange(request(&[]), answer), &PopulationEvidence::default());
    let server = verdict(closed(End::Local));
    assert_eq!((server.outcome, said(&server)), (Outcome::Unanswered, ("unanswered", LIKELY)));
    let client = verdict(closed(End::Peer));
    assert_eq!((client.outcome, said(&client)), (Outcome::Unanswered, ("client-gave-up", LIKELY)));
    let late = verdict(Answer::TimedOut);
    assert_eq!((late.outcome, said(&late)), (Outcome::TimedOut, ("timed-out", LIKELY)));
    let lost = verdict(Answer::Unobserved);
    assert_eq!((lost.outcome, lost.cause), (Outcome::Unobserved, None));
    let garbled = verdict(Answer::Malformed((*b"220 ready").into()));
    assert_eq!(
        (garbled.outcome, said(&garbled)),
        (Outcome::Rejected, ("answer-malformed", POSSIBLE))
    );
    // The same, seen from the proxy's end: there the local end asked.
    let mut leg = exchange(request(&[]), closed(End::Local));
    leg.connection.role = crate::handshake::Role::Client;
    let verdict = diagnose(&leg, &PopulationEvidence::default());
    assert_eq!(verdict.cause.unwrap().code(), "client-gave-up");
}

#[test]
fn a_summary_quotes_no_more_than_an_event_shows() {
    let long = "x".repeat(60_000);
    let verdict =
        judge(RequestHead { method: long.into(), ..request(&[]) }, response(405, &[], ""));
    assert_eq!(said(&verdict), ("method-not-get", CERTAIN));
    assert_eq!(verdict.summary.chars().count(), MAX_VALUE + 1);
}
