use std::{sync::Arc, time::Duration};

use super::Retries;
use crate::{
    diagnose::Cause,
    event::{
        ClosureEvent, Event, HandshakeEvent, Initiator, Outcome,
        sample::{accepted, closure, refused},
    },
    handshake::{Answer, CloseBy, Closure, Connection, Exchange, Opened, Role},
    http::{Headers, RequestHead, Version},
};

const START: Duration = Duration::from_secs(1_777_863_721);

fn connection(cookie: u64) -> Connection {
    Connection {
        cookie,
        role: Role::Server,
        local: "127.0.0.1:8080".parse().unwrap(),
        peer: "192.0.2.1:40000".parse().unwrap(),
        cgroup: 0,
        holder: None,
    }
}

/// A handshake of the forwarded client, so many seconds after the start; it takes 10 ms.
fn exchange(client: &str, at: f64, cookie: u64) -> Exchange {
    let mut headers = Headers::default();
    headers.push("X-Forwarded-For", &format!("{client}, 192.0.2.1"));
    headers.push("Origin", "https://app.example");
    Exchange {
        connection: connection(cookie),
        time: START + Duration::from_secs_f64(at),
        request: Arc::new(RequestHead {
            method: "GET".into(),
            path: "/chat".into(),
            names_session: false,
            version: Version::Http11,
            headers,
            key: None,
            subprotocols: Vec::new(),
            defect: None,
            malformed: Vec::new(),
        }),
        answer: Answer::TimedOut,
        duration: Duration::from_millis(10),
        opening: None,
    }
}

fn tell(retries: &mut Retries, exchange: &Exchange, event: HandshakeEvent) -> HandshakeEvent {
    let mut event = event;
    retries.handshake(exchange, &mut event);
    event
}

fn fail(retries: &mut Retries, client: &str, at: f64) -> (Option<u32>, Option<u64>) {
    let event = tell(retries, &exchange(client, at, 0), refused());
    (event.attempt, event.retry_after_ms)
}

fn end(retries: &mut Retries, cookie: u64, at: f64, event: ClosureEvent) {
    let closure = Closure {
        connection: connection(cookie),
        handshake: Some(Opened { origin: None, path: "/chat".into(), audit: None }),
        time: START + Duration::from_secs_f64(at),
        code: event.code,
        clean: false,
        initiator: None,
        by_close_frame: false,
        by: CloseBy::Fin,
        lasted: Duration::from_secs(60),
        older: false,
        idle: Duration::ZERO,
        messages_in: 0,
        messages_out: 0,
        pings_in: 0,
        pings_out: 0,
        pongs_in: 0,
        pongs_out: 0,
        synchronised: true,
        violation: None,
    };
    retries.closure(&closure, &event);
}

fn told(retries: &mut Retries, at: f64) -> Vec<Event> {
    let mut told = Vec::new();
    retries.tick(START + Duration::from_secs_f64(at), &mut |event| told.push(event));
    told
}

#[test]
fn attempts_are_counted_until_one_succeeds() {
    let mut retries = Retries::default();
    let r = &mut retries;
    assert_eq!(fail(r, "198.51.100.7", 0.0), (None, None));
    assert_eq!(fail(r, "198.51.100.7", 1.01), (Some(2), Some(1000)));
    // Another client behind the same proxy.
    assert_eq!(fail(r, "198.51.100.8", 1.5), (None, None));
    assert_eq!(fail(r, "198.51.100.7", 3.02), (Some(3), Some(2000)));
    let good = tell(r, &exchange("198.51.100.7", 7.03, 5), accepted());
    assert_eq!((good.attempt, good.retry_after_ms), (Some(4), Some(4000)));
    assert_eq!(fail(r, "198.51.100.7", 8.0), (None, None));
}

#[test]
fn an_abnormal_end_begins_attempts_and_a_normal_one_does_not() {
    for (code, want) in [(1006, (Some(2), Some(500))), (1000, (None, None))] {
        let mut retries = Retries::default();
        tell(&mut retries, &exchange("198.51.100.7", 0.0, 5), accepted());
        end(&mut retries, 5, 10.0, ClosureEvent { code, ..closure() });
        assert_eq!(fail(&mut retries, "198.51.100.7", 10.5), want);
    }
}

#[test]
fn handshakes_that_overlap_are_of_several_clients_and_nothing_is_told() {
    let mut retries = Retries::default();
    for round in 0..20 {
        let at = f64::from(round) * 0.005;
        assert_eq!(fail(&mut retries, "198.51.100.7", at), (None, None), "{round}");
    }
    assert_eq!(fail(&mut retries, "198.51.100.7", 5.0), (None, None));
    assert_eq!(told(&mut retries, 500.0), []);
}

#[test]
fn what_was_missed_may_have_been_a_success() {
    let mut retries = Retries::default();
    fail(&mut retries, "198.51.100.7", 0.0);
    let missed = HandshakeEvent { outcome: Outcome::Unobserved, ..accepted() };
    tell(&mut retries, &exchange("198.51.100.7", 1.0, 1), missed);
    assert_eq!(fail(&mut retries, "198.51.100.7", 2.0), (None, None));
}

#[test]
fn who_failed_in_growing_distances_and_never_came_back_gave_up() {
    let mut retries = Retries::default();
    let r = &mut retries;
    for at in [0.0, 1.0, 3.0, 7.0] {
        fail(r, "198.51.100.7", at);
    }
    // The same distance each time: it goes on, or the page was closed; nobody can tell.
    for at in [0.0, 2.0, 4.0, 6.0] {
        fail(r, "198.51.100.8", at);
    }
    fail(r, "198.51.100.9", 0.0);
    fail(r, "198.51.100.9", 3.0);
    assert_eq!(told(r, 20.0), []);
    let gone = told(r, 40.0);
    let [Event::GaveUp(client)] = &gone[..] else { panic!("{gone:?}") };
    assert_eq!((client.attempts, &*client.path), (4, "/chat"));
    assert_eq!(client.cause, Some(Cause::OriginNotAllowed));
    assert!((client.seconds - 7.0).abs() < 1e-9, "{client:?}");
    assert_eq!(told(r, 1000.0), [], "once");
    assert_eq!(r.clients.forgotten(), 0);
}

#[test]
fn a_common_end_and_many_handshakes_are_a_storm() {
    let mut retries = Retries::default();
    let r = &mut retries;
    let lost = ClosureEvent {
        initiator: Initiator::Local,
        reason: Some("server-restart".to_owned()),
        ..closure()
    };
    let come = |r: &mut Retries, count: u32, from: f64| {
        for client in 0..count {
            let at = from + f64::from(client) / f64::from(count);
            tell(r, &exchange(&format!("client-{client}"), at, client.into()), accepted());
        }
    };
    come(r, 40, 0.0);
    for cookie in 0..40_u32 {
        end(r, cookie.into(), 100.0 + f64::from(cookie) / 50.0, lost.clone());
    }
    // Some are told before the ends are.
    come(r, 38, 101.0);
    assert_eq!(told(r, 110.0), []);
    let storms = told(r, 120.0);
    let [Event::Storm(storm)] = &storms[..] else { panic!("{storms:?}") };
    assert_eq!((storm.ended, storm.reconnects, storm.failed), (40, 38, 0));
    assert_eq!((storm.code, storm.initiator), (1006, Initiator::Local));
    assert_eq!(storm.reason.as_deref(), Some("server-restart"));
    assert!(storm.seconds <= 3.0, "{storm:?}");
    assert_eq!(told(r, 200.0), []);
    // As many handshakes as always are no storm.
    (300..345).for_each(|second| come(r, 4, f64::from(second)));
    (0..40).for_each(|_| end(r, 9999, 330.0, lost.clone()));
    assert_eq!(told(r, 360.0), []);
}

#[test]
fn however_many_clients_and_origins_come_what_is_kept_is_bounded() {
    let mut retries = Retries::default();
    for number in 0..20_000 {
        let event = HandshakeEvent {
            origin: Some(format!("https://{number}.example/{}", "x".repeat(900))),
            ..refused()
        };
        tell(&mut retries, &exchange(&format!("c{number}"), f64::from(number), 0), event);
    }
    assert!(retries.forgotten() > 0);
    assert!(retries.clients.texts_held() <= super::clients::TEXTS);
}
