//! What other handshakes say of a refusal.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{LIKELY, POSSIBLE, exchange, request, response, said, switching};
use crate::{
    diagnose::{
        Outcome, Verdict, diagnose,
        population::{PATHS, Population, SERVERS, WINDOW},
    },
    handshake::{Answer, Exchange},
    http::ResponseHead,
};

fn at(path: &str, changes: &[(&str, &str)], answer: ResponseHead) -> Exchange {
    let mut exchange = exchange(request(changes), Answer::Response(answer));
    Arc::make_mut(&mut exchange.request).path = path.into();
    exchange
}

fn feed(population: &mut Population, exchange: &Exchange) -> Verdict {
    let verdict = diagnose(exchange, &population.evidence(exchange));
    population.observe(exchange, verdict.outcome == Outcome::Accepted);
    verdict
}

fn diagnose_again(population: &Population, exchange: &Exchange) -> Verdict {
    diagnose(exchange, &population.evidence(exchange))
}

const EVIL: &[(&str, &str)] = &[("Origin", "https://evil.test.example")];

#[test]
fn a_path_that_refuses_everybody_is_not_about_the_origin() {
    let mut population = Population::default();
    feed(&mut population, &at("/good", &[], switching(&[])));
    let from = |path: &str, client: u8, origin: &str| {
        let mut one = at(path, &[("Origin", origin)], response(403, &[], ""));
        one.connection.peer = SocketAddr::from(([10, 0, 0, client], 4000));
        one
    };
    let origins = ["https://a.example.test", "https://b.example.test", "https://c.example.test"];
    for (client, origin) in (1..).zip(origins) {
        let verdict = feed(&mut population, &from("/bad", client, origin));
        assert_eq!(said(&verdict), ("origin-not-allowed", LIKELY));
        // One client alone, whatever it makes up, talks nobody into anything.
        feed(&mut population, &from("/alone", 1, origin));
    }
    let verdict = feed(&mut population, &at("/bad", EVIL, response(403, &[], "")));
    assert_eq!(said(&verdict), ("route-not-found", LIKELY));
    let verdict = feed(&mut population, &at("/alone", EVIL, response(403, &[], "")));
    assert_eq!(said(&verdict), ("origin-not-allowed", LIKELY));
    // What the server itself says stands.
    let said_so = at("/bad", EVIL, response(403, &[], "Cross origin websockets not allowed"));
    assert_eq!(said(&feed(&mut population, &said_so)).0, "origin-not-allowed");
}

#[test]
fn an_origin_that_passes_elsewhere_is_not_what_was_refused() {
    let mut population = Population::default();
    feed(&mut population, &at("/other", EVIL, switching(&[])));
    let verdict = feed(&mut population, &at("/ws", EVIL, response(403, &[], "")));
    assert_eq!(said(&verdict), ("forbidden", POSSIBLE));
    // Another server's word does not count.
    let mut other = at("/ws", EVIL, response(403, &[], ""));
    other.connection.local = "10.0.0.6:8080".parse().unwrap();
    assert_eq!(said(&feed(&mut population, &other)).0, "origin-not-allowed");
}

#[test]
fn a_101_that_failed_is_no_refusal_of_its_path() {
    let mut population = Population::default();
    feed(&mut population, &at("/good", &[], switching(&[])));
    for origin in ["https://a.example.test", "https://b.example.test", "https://c.example.test"] {
        let failed = at("/ws", &[("Origin", origin)], switching(&[("Sec-WebSocket-Accept", "")]));
        assert_eq!(said(&feed(&mut population, &failed)).0, "accept-mismatch");
    }
    let verdict = feed(&mut population, &at("/ws", EVIL, response(403, &[], "")));
    assert_eq!(said(&verdict), ("origin-not-allowed", LIKELY));
}

#[test]
fn headers_that_pass_here_are_not_what_was_refused() {
    let tomcat = || {
        let mut answer = response(403, &[("Date", "Sun, 22 Nov 2026 08:10:14 GMT")], "");
        answer.reason = "".into();
        answer
    };
    let judged = |accepted: &Exchange, refused: &Exchange| {
        let mut population = Population::default();
        feed(&mut population, accepted);
        said(&feed(&mut population, refused))
    };
    let inner = ("Host", "127.0.0.1:8080");
    let wss = ("X-Forwarded-Proto", "wss");
    for (changes, cause) in [
        (&[][..], "forwarded-proto-missing"),
        (&[wss], "forwarded-proto-wrong"),
        (&[inner, ("X-Forwarded-For", "192.0.2.1")], "host-rewritten"),
        (&[("Host", "app.example.test:81"), ("X-Forwarded-Proto", "https")], "port-mismatch"),
        (&[("Origin", "null")], "origin-null"),
    ] {
        let refused = at("/ws", changes, tomcat());
        let accepted = |path, changes: &[(&str, &str)]| at(path, changes, switching(&[]));
        assert_eq!(judged(&accepted("/ws", changes), &refused), ("forbidden", POSSIBLE), "{cause}");
        // Another path may have another check, and other headers another end.
        assert_eq!(judged(&accepted("/other", changes), &refused), (cause, LIKELY));
        let https = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "app.example.test")];
        assert_eq!(judged(&accepted("/ws", &https), &refused), (cause, LIKELY));
    }
    let native = [("Origin", "")];
    let refused = at("/ws", &native, response(403, &[], ""));
    let accepted = at("/ws", &native, switching(&[]));
    assert_eq!(judged(&accepted, &refused), ("forbidden", POSSIBLE));
    // What the server itself says stands.
    let said_so = at("/ws", &[inner], response(403, &[], "bad origin"));
    let accepted = at("/ws", &[inner], switching(&[]));
    assert_eq!(judged(&accepted, &said_so), ("origin-not-allowed", LIKELY));
}

#[test]
fn ordinary_requests_that_are_refused_alike() {
    let mut population = Population::default();
    let plain = [("Upgrade", ""), ("Connection", "close")];
    for (client, want) in [(1, "origin-not-allowed"), (2, "origin-not-allowed"), (3, "forbidden")] {
        let mut one = at("/ws", &plain, response(403, &[], ""));
        one.connection.peer = SocketAddr::from(([10, 0, 0, client], 4000));
        feed(&mut population, &one);
        let verdict = diagnose_again(&population, &at("/ws", EVIL, response(403, &[], "")));
        assert_eq!(said(&verdict).0, want, "{client} clients");
    }
}

#[test]
fn the_memory_is_bounded_and_forgets() {
    let mut population = Population::default();
    feed(&mut population, &at("/other", EVIL, switching(&[])));
    let mut late = at("/ws", EVIL, response(403, &[], ""));
    late.time += WINDOW;
    assert_eq!(said(&feed(&mut population, &late)).0, "origin-not-allowed");

    for n in 0..SERVERS.get() + 3 {
        let mut one = at("/", &[], response(403, &[], ""));
        one.connection.local.set_port(u16::try_from(n + 10_000).unwrap());
        assert_eq!(said(&feed(&mut population, &one)), ("forbidden", POSSIBLE));
    }
    assert_eq!(population.forgotten(), 4);
    let before = population.forgotten();
    for n in 0..PATHS.get() + 5 {
        feed(&mut population, &at(&format!("/{n}"), &[], response(403, &[], "")));
    }
    assert_eq!(population.forgotten() - before, 6, "five paths, and a server for the new one");
    let much_later = Duration::from_secs(5000);
    let mut one = at("/0", &[], response(403, &[], ""));
    one.time += much_later;
    assert_eq!(said(&feed(&mut population, &one)), ("forbidden", POSSIBLE));
}
