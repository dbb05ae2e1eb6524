//! Two legs of one handshake, joined by its key.

use std::{sync::Arc, time::Duration};

use super::{CERTAIN, LIKELY, closed, exchange, request, response, said, switching};
use crate::{
    diagnose::{
        Change, PopulationEvidence,
        legs::{BYTES, HELD, HOLD, Joined, KEPT, KEYS, Legs},
    },
    handshake::{Answer, End, Exchange, Role},
    http::{RequestHead, ResponseHead, Secret, parse_request},
};

fn refused() -> ResponseHead {
    response(403, &[], "Cross origin websockets not allowed")
}

const PROXY: u64 = 7;

/// The leg into the proxy, from 1000.000 s to 1000.010 s.
fn front(head: RequestHead, answer: ResponseHead) -> Exchange {
    let mut leg = exchange(head, Answer::Response(answer));
    leg.connection.cookie = 10;
    leg.connection.cgroup = PROXY;
    leg.connection.local = "10.0.0.5:80".parse().unwrap();
    leg.duration = Duration::from_millis(10);
    leg
}

/// The leg to the backend, within it.
fn back(head: RequestHead, answer: ResponseHead) -> Exchange {
    let mut leg = exchange(head, Answer::Response(answer));
    leg.connection.cookie = 20;
    leg.connection.local = "127.0.0.1:3000".parse().unwrap();
    leg.connection.peer = "127.0.0.1:50000".parse().unwrap();
    leg.time += Duration::from_millis(2);
    leg
}

/// Nothing is known of what servers did with others.
fn nobody(_: &Exchange) -> PopulationEvidence {
    PopulationEvidence::default()
}

fn join(exchanges: Vec<Exchange>) -> Vec<Joined> {
    let mut legs = Legs::default();
    let mut out = Vec::new();
    for exchange in exchanges {
        legs.take(exchange, &nobody, &mut |joined| out.push(joined));
    }
    legs.finish(&nobody, &mut |joined| out.push(joined));
    out
}

/// What is said of the leg to the backend when the client sent `before` and the proxy made `after` of it.
fn behind(before: &[(&str, &str)], after: &[(&str, &str)], answer: ResponseHead) -> Joined {
    let inner = back(request(after), answer.clone());
    join(vec![inner, front(request(before), answer)]).remove(0)
}

#[test]
fn both_legs_make_it_certain() {
    let evil = &[("Origin", "https://evil.test.example")][..];
    let list = "Failed to open a WebSocket connection: invalid Origin header: x.";
    let missing = "Failed to open a WebSocket connection: missing Origin header.";
    for (before, after, answer, cause, proven) in [
        (&[][..], &[("Host", "app")][..], refused(), "host-rewritten", LIKELY),
        (&[], &[("Host", "backend.example.org")], refused(), "host-rewritten", LIKELY),
        (&[], &[("Host", "app.example.test:81")], refused(), "port-mismatch", LIKELY),
        (&[], &[("Origin", "")], response(403, &[], missing), "origin-stripped", CERTAIN),
        (&[], evil, response(403, &[], list), "origin-rewritten", CERTAIN),
        (&[], &[("Upgrade", "")], response(426, &[], ""), "upgrade-stripped", CERTAIN),
        (&[], &[("Connection", "close")], response(400, &[], ""), "connection-stripped", LIKELY),
        (
            &[("X-Forwarded-Proto", "https")],
            &[("X-Forwarded-Proto", "http")],
            response(400, &[], "x is not an accepted origin."),
            "forwarded-proto-wrong",
            LIKELY,
        ),
        (
            &[("X-Forwarded-Proto", "https")],
            &[],
            response(400, &[], "x is not an accepted origin."),
            "forwarded-proto-missing",
            LIKELY,
        ),
    ] {
        let joined = behind(before, after, answer.clone());
        // What joins the legs is a key, which a client may send twice.
        assert_eq!(said(&joined.verdict), (cause, LIKELY));
        let mut own = back(request(after), answer.clone());
        own.connection.role = Role::Client;
        own.connection.cgroup = PROXY;
        std::mem::swap(&mut own.connection.local, &mut own.connection.peer);
        let both = join(vec![own.clone(), front(request(before), answer.clone())]).remove(0);
        assert_eq!(said(&both.verdict), (cause, proven));
        // The client is a process of the same group: it may have made both.
        let mut client = front(request(before), answer.clone());
        client.connection.cookie = 9;
        client.connection.role = Role::Client;
        std::mem::swap(&mut client.connection.local, &mut client.connection.peer);
        let all = join(vec![own, front(request(before), answer), client]).remove(0);
        assert_ne!(all.verdict.confidence, CERTAIN, "{cause}");
        assert!(!joined.changes.is_empty());
        assert_eq!(joined.proxy.unwrap().local.port(), 80);
        let shows = joined.verdict.evidence.iter().any(|e| e.name.ends_with("(before the proxy)"));
        assert!(shows, "{:?}", joined.verdict.evidence);
    }
}

#[test]
fn the_other_leg_can_disprove() {
    let inner = [("Host", "127.0.0.1:3000")];
    let joined = behind(&inner, &inner, refused());
    assert_eq!(said(&joined.verdict), ("origin-not-allowed", LIKELY));
    // What the server does not say stays a guess, whatever the proxy changed.
    let silent = behind(&[], &[("Host", "app")], response(403, &[], ""));
    assert_eq!(said(&silent.verdict), ("host-rewritten", LIKELY));
    let vague = behind(&[], &[("Host", "app")], response(403, &[], "origin not allowed"));
    assert_eq!(said(&vague.verdict), ("host-rewritten", LIKELY));
    // A list does not look at Host.
    let list = "Failed to open a WebSocket connection: invalid Origin header: x.";
    let joined = behind(&[], &[("Host", "app")], response(403, &[], list));
    assert_eq!(said(&joined.verdict), ("origin-not-allowed", LIKELY));
    let unsent = [("Upgrade", ""), ("Connection", "")];
    let joined = behind(&unsent, &unsent, response(400, &[], ""));
    assert_eq!(said(&joined.verdict), ("upgrade-stripped", LIKELY));
}

#[test]
fn a_foreign_page_stays_foreign_whatever_the_proxy_made_of_host() {
    let evil = ("Origin", "https://evil.example.net");
    let inner = [evil, ("Host", "127.0.0.1:3000")];
    let joined = behind(&[evil], &inner, refused());
    assert_eq!(said(&joined.verdict), ("origin-not-allowed", LIKELY));
    let before = joined.verdict.evidence.iter().find(|e| e.name == "Host (before the proxy)");
    assert_eq!(before.map(|e| &*e.value), Some("app.example.test"));
    // The Host of the first leg need not be the client's.
    let same_origin = [evil, ("Sec-Fetch-Site", "same-origin")];
    for (front, inner) in [
        (&[evil, ("Host", "backend")][..], &inner[..]),
        (&[evil, ("X-Forwarded-For", "192.0.2.1")], &inner),
        (&same_origin, &inner),
        (&same_origin, &same_origin),
    ] {
        let joined = behind(front, inner, refused());
        assert_eq!(said(&joined.verdict), ("host-rewritten", LIKELY), "{front:?}");
    }
}

#[test]
fn changes_are_named() {
    let after = [("Host", "app"), ("Origin", ""), ("X-Forwarded-For", "192.0.2.1")];
    let changes = behind(&[], &after, refused()).changes;
    let of = |name: &str| changes.iter().find(|change| change.header == name).unwrap();
    assert_eq!(of("host").change, Change::Rewrote);
    assert_eq!(of("host").before.as_deref(), Some("app.example.test"));
    assert_eq!(of("host").after.as_deref(), Some("app"));
    assert_eq!(of("origin").change, Change::Removed);
    assert_eq!(of("x-forwarded-for").change, Change::Added);
    assert_eq!(changes.len(), 3);
    // Letters of another case are no change of a token.
    assert!(behind(&[], &[("Connection", "upgrade")], refused()).changes.is_empty());
}

#[test]
fn what_does_not_nest_is_not_joined() {
    let inner = || back(request(&[("Host", "app")]), refused());
    let outer = || front(request(&[]), refused());
    let alone = |other: Exchange| join(vec![inner(), other]).remove(0).proxy.is_none();
    assert!(!alone(outer()));
    let mut other_key = outer();
    Arc::make_mut(&mut other_key.request).key = Some(Secret::new("AAAAAAAAAAAAAAAAAAAAAA=="));
    assert!(alone(other_key));
    let mut later = outer();
    later.time += Duration::from_millis(3);
    assert!(alone(later));
    let mut same_listener = outer();
    same_listener.connection.local = "127.0.0.1:3000".parse().unwrap();
    assert!(alone(same_listener));
    // The proxy's own end of the connection to the backend is the same leg.
    let mut own_end = outer();
    own_end.connection.role = Role::Client;
    own_end.connection.peer = "127.0.0.1:3000".parse().unwrap();
    assert!(alone(own_end));
    // Scripts send the specification's key, many at a time.
    let example = |mut leg: Exchange| {
        Arc::make_mut(&mut leg.request).key = Some(Secret::new("dGhlIHNhbXBsZSBub25jZQ=="));
        leg
    };
    assert!(join(vec![example(inner()), example(outer())]).remove(0).proxy.is_none());
    // Two clients with one key at the same proxy: whose leg it is cannot be told.
    let mut twin = outer();
    twin.connection.cookie = 11;
    assert!(join(vec![inner(), outer(), twin]).remove(0).proxy.is_none());
}

#[test]
fn a_chain_of_two_proxies_blames_the_nearest_and_looks_at_the_first() {
    let mut middle = front(request(&[("Host", "app")]), refused());
    middle.connection.cookie = 15;
    middle.connection.local = "10.0.0.5:8081".parse().unwrap();
    middle.time += Duration::from_millis(1);
    middle.duration = Duration::from_millis(5);
    let inner = back(request(&[("Host", "app")]), refused());
    let joined = join(vec![inner, middle, front(request(&[]), refused())]);
    assert_eq!(said(&joined[0].verdict), ("host-rewritten", LIKELY));
    assert_eq!(joined[0].proxy.as_ref().unwrap().local.port(), 8081);
    assert!(joined[0].changes.is_empty(), "the nearest changed nothing");
    assert_eq!(joined[1].proxy.as_ref().unwrap().local.port(), 80);
}

#[test]
fn the_leg_into_the_proxy_knows_what_the_leg_behind_it_shows() {
    let inner = back(request(&[("Host", "app")]), refused());
    let joined = join(vec![inner, front(request(&[]), refused())]);
    assert_eq!(said(&joined[1].verdict), ("host-rewritten", LIKELY));
    assert!(joined[1].changes.is_empty());
    // What the proxy made of it has the same cause.
    let nginx = response(502, &[], "<center>nginx/1.22.1</center>");
    let inner = back(request(&[("Host", "app")]), refused());
    let joined = join(vec![inner, front(request(&[]), nginx.clone())]);
    assert_eq!(said(&joined[1].verdict), ("host-rewritten", LIKELY));
    assert_eq!(joined[1].verdict.server.as_deref(), Some("nginx"));
    // Where that leg tells no cause, the proxy's word stands.
    let mut dropped = back(request(&[]), refused());
    dropped.answer = closed(End::Local);
    let joined = join(vec![dropped, front(request(&[]), nginx.clone())]);
    assert_eq!(said(&joined[1].verdict), ("upstream-unavailable", LIKELY));
    let behind = joined[1].verdict.evidence.last().unwrap();
    assert_eq!((&*behind.name, &*behind.value), ("answer behind the proxy", "(none)"));
    // And so it does without a leg.
    let alone = &join(vec![front(request(&[]), nginx)])[0].verdict;
    assert_eq!(said(alone), ("upstream-unavailable", LIKELY));
}

#[test]
fn a_request_of_the_proxys_own_inside_a_handshake_is_none() {
    let plain = [("Upgrade", ""), ("Connection", "")];
    let auth = |status| {
        let mut leg = back(request(&plain), response(status, &[], ""));
        Arc::make_mut(&mut leg.request).path = "/auth".into();
        leg.connection.local = "127.0.0.1:3001".parse().unwrap();
        leg
    };
    let mut main = back(request(&[]), refused());
    main.connection.cookie = 21;
    main.time += Duration::from_millis(4);
    let told = |legs: Vec<Exchange>| {
        let path = |joined: Joined| joined.exchange.request.path.to_string();
        join(legs).into_iter().map(path).collect::<Vec<_>>()
    };
    // It said yes, and the handshake went on; or it said no, and that was the answer.
    assert_eq!(told(vec![auth(204), main, front(request(&[]), refused())]), ["/ws", "/ws"]);
    let no = response(401, &[], "");
    assert_eq!(told(vec![auth(401), front(request(&[]), no)]), ["/ws"]);
    // A proxy that loses Upgrade and cuts the path does the same to the handshake itself.
    let lost = response(404, &[], "");
    assert_eq!(told(vec![auth(404), front(request(&[]), lost)]), ["/auth", "/ws"]);
}

#[test]
fn failures_wait_and_the_wait_is_bounded() {
    let mut legs = Legs::default();
    let mut count = 0;
    let take = |legs: &mut Legs, exchange: Exchange| {
        let mut out = 0;
        legs.take(exchange, &nobody, &mut |_| out += 1);
        out
    };
    assert_eq!(take(&mut legs, front(request(&[]), switching(&[]))), 1, "accepted ones do not");
    let failed = back(request(&[]), refused());
    let done = failed.time + failed.duration;
    assert_eq!(take(&mut legs, failed), 0);
    legs.tick(done + HOLD / 2, &nobody, &mut |_| count += 1);
    assert_eq!(count, 0);
    legs.tick(done + HOLD * 2, &nobody, &mut |_| count += 1);
    assert_eq!(count, 1);
    for n in 0..=HELD {
        let mut one = back(request(&[]), refused());
        one.time += HOLD * 3;
        Arc::make_mut(&mut one.request).key = Some(Secret::new(format!("{n}")));
        count += take(&mut legs, one);
    }
    assert_eq!(count, 2, "the oldest went on");
    let evicted = (HELD + 1 - KEYS.get()) as u64;
    assert_eq!(legs.forgotten(), 1 + evicted, "and keys that could still have been joined");
}

#[test]
fn what_is_remembered_has_a_bound_in_bytes_and_in_time() {
    let head = |n: usize, long: &str| {
        let text = format!("GET / HTTP/1.1\r\nSec-WebSocket-Key: {n}\r\n{long}\r\n\r\n");
        parse_request(text.as_bytes()).unwrap().handshake.unwrap()
    };
    let filler = "a,".repeat(30_000);
    // A long value takes what it is long, a long list of subprotocols does not.
    for (long, too_much) in [("Via", true), ("Sec-WebSocket-Protocol", false)] {
        let long = format!("{long}: {filler}");
        let mut legs = Legs::default();
        let (mut told, mut most) = (0, 0);
        for n in 0..KEYS.get() {
            let exchange = back(head(n, &long), refused());
            legs.take(exchange, &nobody, &mut |_| told += 1);
            most = most.max(legs.bytes());
        }
        assert!((BYTES / 8..=BYTES).contains(&most), "{most}");
        assert_eq!(legs.forgotten() > 0, too_much);
        legs.finish(&nobody, &mut |_| told += 1);
        assert_eq!(told, KEYS.get());
        legs.tick(back(request(&[]), refused()).time + KEPT * 2, &nobody, &mut |_| ());
        assert_eq!(legs.bytes(), 0);
    }
}
