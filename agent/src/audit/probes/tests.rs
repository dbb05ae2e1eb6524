//! The rules on facts that no proxy of the whole-program tests gives.

use std::time::Duration;

use super::*;
use crate::{
    audit::{
        client::{
            handshake::Dialogue,
            request::{Given, Handshake, write},
        },
        judge,
    },
    handshake::Answer,
    http::parse_response,
};

const ORIGIN: &str = "https://app.example";

fn target() -> Target {
    Target::parse("wss://app.example/ws?token=s3cret").unwrap()
}

/// A handshake with this answer.
fn attempt(handshake: &Handshake, answer: &str, talk: Option<Talk>) -> Attempt {
    let request = write(&target(), &Given::default(), handshake, "m.1.0");
    let answer = answer.replace("ACCEPT", &accept(&request.key));
    let head = parse_response(answer.as_bytes(), false).unwrap().head;
    let answer = Answer::Response(head);
    let verdict = judge::judge(&request.bytes, answer.clone());
    Attempt { request, answer, verdict, talk }
}

fn accept(key: &str) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(text))
}

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                        Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";

fn seen(purpose: Purpose, answer: &str, talk: Option<Talk>) -> Seen {
    let handshake = Handshake { origin: Some(ORIGIN.to_owned()), ..Handshake::default() };
    let made = Made::Attempt(Box::new(attempt(&handshake, answer, talk)));
    let dialogue = Dialogue::Talk { close: 1000 };
    Seen {
        probe: Probe { name: "probe".into(), purpose, handshake, dialogue },
        made,
        arrived: None,
    }
}

/// What a request arrives as when no hop touches it.
fn arrived(seen: &Seen) -> Arrived {
    let request = &seen.attempt().unwrap().request;
    Arrived {
        target: request.target.clone(),
        method: "GET".to_owned(),
        http11: true,
        fields: request.fields.clone(),
        complete: true,
        at: String::new(),
    }
}

fn found(observer: Observer, seen: &[Seen]) -> Vec<Finding> {
    let target = target();
    judge(&Facts {
        target: &target,
        origin: ORIGIN,
        expect: &Expectation::default(),
        observer,
        proxy: None,
        seen,
    })
}

fn only(observer: Observer, seen: Seen) -> Finding {
    found(observer, &[seen]).remove(0)
}

const ANSWERED: Option<Talk> = Some(Talk::Answered { close: Some(1000) });

#[test]
fn a_server_that_takes_and_closes_is_no_pass_and_keeps_foreigners_out() {
    let closed = || Some(Talk::Closed { code: Some(1008), after: Duration::ZERO });
    let finding = only(Observer::Nobody, seen(Purpose::Handshake, ACCEPTED, closed()));
    assert_eq!(finding.cause, Some(Cause::RejectedAfterAccept.into()));
    let finding = only(Observer::Nobody, seen(Purpose::Foreign("x"), ACCEPTED, closed()));
    assert_eq!(finding.verdict, Verdict::Pass);
    let finding = only(Observer::Nobody, seen(Purpose::Foreign("x"), ACCEPTED, ANSWERED));
    assert_eq!(
        (finding.verdict, finding.cause),
        (Verdict::Exposed, Some(Own::OriginUnchecked.into()))
    );
}

#[test]
fn what_is_no_refusal_is_no_proof_that_foreigners_are_kept_out() {
    for answer in [
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    ] {
        let finding = only(Observer::Nobody, seen(Purpose::Foreign("x"), answer, None));
        assert_eq!(finding.verdict, Verdict::Inconclusive);
    }
    let finding = only(Observer::Nobody, seen(Purpose::Foreign("x"), FORBIDDEN, None));
    assert_eq!(finding.verdict, Verdict::Pass);
}

#[test]
fn an_accepted_handshake_that_nobody_saw_behind_the_chain_is_inconclusive() {
    for observer in [Observer::Backend, Observer::Agent] {
        let finding = only(observer, seen(Purpose::Handshake, ACCEPTED, ANSWERED));
        assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
    }
}

#[test]
fn the_query_and_what_a_cookie_holds_are_never_shown() {
    let mut one = seen(Purpose::Handshake, ACCEPTED, ANSWERED);
    let mut came = arrived(&one);
    came.target = "/ws?token=other-s3cret".to_owned();
    one.arrived = Some(came);
    let findings = found(Observer::Agent, &[one]);
    let query = findings.iter().find(|finding| finding.check == "arrived/query").unwrap();
    assert_eq!(query.verdict, Verdict::Fail);
    assert!(!format!("{findings:?}").contains("s3cret"));
    let came = Arrived { fields: vec![("Cookie".into(), "a=s3cret".into())], ..Arrived::default() };
    let value = header_values("cookie", Some("a=s3cret"), Some(&came));
    assert!(!format!("{value:?}").contains("s3cret"));
}

#[test]
fn a_default_port_in_host_is_the_same_host() {
    for (host, cause) in [
        ("app.example", None),
        ("APP.example:443", None),
        ("app.example:8443", Some(Cause::PortMismatch)),
        ("10.0.0.7:8080", Some(Cause::HostRewritten)),
    ] {
        let mut one = seen(Purpose::Handshake, ACCEPTED, ANSWERED);
        let mut came = arrived(&one);
        for (name, value) in &mut came.fields {
            if name == "Host" {
                host.clone_into(value);
            }
        }
        one.arrived = Some(came);
        let findings = found(Observer::Agent, &[one]);
        let finding = findings.iter().find(|finding| finding.check == "arrived/host").unwrap();
        assert_eq!(finding.cause, cause.map(Code::from), "{host}");
    }
}

/// The findings about forwarding headers when these fields arrive of the good handshake, and these of the forged one.
fn forwarded(
    good: &[(&str, &str)],
    forged: &[(&str, &str)],
) -> Vec<(String, Verdict, Option<Code>)> {
    let with = |purpose, more: &[(&str, &str)]| {
        let mut one = seen(purpose, ACCEPTED, ANSWERED);
        let mut came = arrived(&one);
        came.fields.extend(more.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        one.arrived = Some(came);
        one
    };
    let all = [with(Purpose::Handshake, good), with(Purpose::Forged, forged)];
    let findings = found(Observer::Backend, &all).into_iter();
    findings
        .filter(|finding| finding.check.starts_with("forwarded/"))
        .map(|finding| (finding.check.into_owned(), finding.verdict, finding.cause))
        .filter(|(_, verdict, _)| *verdict != Verdict::Pass)
        .collect()
}

#[test]
fn forwarding_headers_are_right_once_and_the_hops_own() {
    const PROTO: &str = "X-Forwarded-Proto";
    let missing = Some(Cause::ForwardedProtoMissing.into());
    let wrong = Some(Cause::ForwardedProtoWrong.into());
    let is = |found: Vec<(String, Verdict, Option<Code>)>, check: &str, verdict, cause| {
        assert_eq!(found, [(format!("forwarded/{check}"), verdict, cause)]);
    };
    assert_eq!(forwarded(&[(PROTO, "https")], &[(PROTO, "https")]), []);
    assert_eq!(forwarded(&[(PROTO, "wss")], &[(PROTO, "wss")]), []);
    let twice = [(PROTO, "https"), (PROTO, "https")];
    is(forwarded(&twice, &twice), "proto", Verdict::Fail, Some(Own::ForwardedIncomplete.into()));
    is(forwarded(&[], &[]), "proto", Verdict::Fail, missing);
    is(forwarded(&[], &[(PROTO, "http")]), "proto", Verdict::Exposed, missing);
    is(forwarded(&[(PROTO, "http")], &[(PROTO, "http")]), "proto", Verdict::Fail, wrong);
    let forged = Some(Own::ForwardedForged.into());
    is(forwarded(&[(PROTO, "https")], &[(PROTO, "http")]), "proto", Verdict::Exposed, forged);
    let good = [(PROTO, "https"), ("X-Forwarded-For", "10.0.0.1")];
    let appended = [(PROTO, "https"), ("X-Forwarded-For", "203.0.113.66, 10.0.0.1")];
    assert_eq!(forwarded(&good, &appended), []);
    let passed = [(PROTO, "https"), ("X-Forwarded-For", "203.0.113.66")];
    is(forwarded(&good, &passed), "for", Verdict::Exposed, forged);
    // Nobody sets it: whether the server believes it cannot be told from here.
    is(forwarded(&[(PROTO, "https")], &passed), "for", Verdict::Inconclusive, None);
    let other = [(PROTO, "https"), ("X-Forwarded-Host", "10.0.0.7")];
    is(forwarded(&other, &other), "host", Verdict::Fail, Some(Own::ForwardedIncomplete.into()));
}

#[test]
fn a_head_of_16_kib_may_be_refused_unless_it_is_expected() {
    let refused = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n";
    for (must, verdict) in [(false, Verdict::Pass), (true, Verdict::Fail)] {
        let mut one = seen(Purpose::Form("a head".into(), must), refused, None);
        one.probe.handshake.bytes = 16 * 1024;
        let finding = only(Observer::Nobody, one);
        assert_eq!(finding.verdict, verdict);
        assert_eq!(finding.cause, must.then(|| Cause::HeaderTooLarge.into()));
    }
}

#[test]
fn every_failure_has_a_fix() {
    let all = [
        seen(Purpose::Handshake, FORBIDDEN, None),
        seen(Purpose::Foreign("x"), ACCEPTED, ANSWERED),
        seen(Purpose::Plain, ACCEPTED, ANSWERED),
        seen(
            Purpose::Idle(false),
            ACCEPTED,
            Some(Talk::Closed { code: None, after: Duration::ZERO }),
        ),
    ];
    let findings = found(Observer::Nobody, &all);
    assert_eq!(findings.len(), 4);
    for finding in findings {
        assert!(finding.cause.is_some() && finding.fix.is_some_and(|fix| !fix.is_empty()));
    }
}
