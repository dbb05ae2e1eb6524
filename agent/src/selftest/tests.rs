use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ANSWER, News, PATIENCE, RETRY, SelfTest, request};
use crate::{
    handshake::{Answer, CloseBy, Closure, Connection, Exchange, Observation, Opened, Role},
    http::{self, Headers, RequestHead, ResponseHead, Version},
};

const CLIENT: &str = "127.0.0.1:40000";

fn connection(role: Role, server: SocketAddr) -> Connection {
    let client = CLIENT.parse().unwrap();
    let (local, peer) = if role == Role::Server { (server, client) } else { (client, server) };
    Connection { cookie: 1, role, local, peer, cgroup: 0, holder: None }
}

fn handshake(role: Role, server: SocketAddr, path: &str, answer: Answer) -> Observation {
    Observation::Exchange(Exchange {
        connection: connection(role, server),
        time: Duration::ZERO,
        request: Arc::new(RequestHead {
            method: "GET".into(),
            path: path.into(),
            names_session: false,
            version: Version::Http11,
            headers: Headers::default(),
            key: None,
            subprotocols: Vec::new(),
            defect: None,
            malformed: Vec::new(),
        }),
        answer,
        duration: Duration::ZERO,
        opening: None,
    })
}

fn accepted() -> Answer {
    Answer::Response(ResponseHead {
        version: Version::Http11,
        status: 101,
        reason: "".into(),
        headers: Headers::default(),
        subprotocols: Vec::new(),
        body: Box::default(),
        truncated: false,
    })
}

fn closure(role: Role, server: SocketAddr, path: Option<&str>) -> Observation {
    Observation::Closure(Closure {
        connection: connection(role, server),
        handshake: path.map(|path| Opened { origin: None, path: path.into(), audit: None }),
        time: Duration::ZERO,
        code: 1000,
        clean: true,
        initiator: None,
        by_close_frame: true,
        by: CloseBy::Fin,
        lasted: Duration::ZERO,
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
    })
}

#[test]
fn it_sees_once_both_ends_were_seen_and_says_so_once() {
    let began = Instant::now();
    let mut test = SelfTest::new(began).unwrap();
    let (server, path) = (test.address, test.path.clone());
    assert_eq!(test.turn(began), None);
    assert!(test.takes(&handshake(Role::Client, server, &path, accepted())));
    assert_eq!(test.turn(began), None);
    assert!(test.takes(&handshake(Role::Server, server, &path, accepted())));
    let later = began + Duration::from_millis(7);
    assert_eq!(test.turn(later), Some(News::Sees(Duration::from_millis(7))));
    assert_eq!(test.turn(later + PATIENCE), None);
    // What comes late is still its own.
    assert!(test.takes(&closure(Role::Server, server, Some(&path))));
}

#[test]
fn an_answer_that_was_missed_is_swallowed_and_is_no_proof() {
    let began = Instant::now();
    let mut test = SelfTest::new(began).unwrap();
    let (server, path) = (test.address, test.path.clone());
    for role in [Role::Server, Role::Client] {
        assert!(test.takes(&handshake(role, server, &path, Answer::Unobserved)));
        assert!(test.takes(&closure(role, server, None)));
    }
    assert_eq!(test.turn(began), None);
}

#[test]
fn what_others_do_is_left_alone() {
    let mut test = SelfTest::new(Instant::now()).unwrap();
    let (server, path) = (test.address, test.path.clone());
    let elsewhere = SocketAddr::new(server.ip(), server.port() ^ 1);
    for role in [Role::Server, Role::Client] {
        assert!(!test.takes(&handshake(role, elsewhere, &path, accepted())));
        assert!(!test.takes(&handshake(role, server, "/chat", accepted())));
        assert!(!test.takes(&closure(role, elsewhere, None)));
        assert!(!test.takes(&closure(role, server, Some("/chat"))));
    }
    // A client's port that is the same number is another thing.
    let connection = Connection {
        local: "127.0.0.1:8080".parse().unwrap(),
        peer: server,
        ..connection(Role::Server, server)
    };
    let Observation::Closure(other) = closure(Role::Server, server, Some(&path)) else {
        unreachable!()
    };
    assert!(!test.takes(&Observation::Closure(Closure { connection, ..other })));
}

#[test]
fn blindness_is_told_once_and_it_may_see_later() {
    let began = Instant::now();
    let mut test = SelfTest::new(began).unwrap();
    assert_eq!(test.turn(began), None);
    let (server, path) = (test.address, test.path.clone());
    assert!(test.takes(&handshake(Role::Server, server, &path, accepted())));
    let Some(News::Blind(why)) = test.turn(began + PATIENCE) else { panic!("it says nothing") };
    assert!(why.contains("only what came in"), "{why}");
    assert_eq!(test.turn(began + PATIENCE + RETRY), None);
    assert!(test.takes(&handshake(Role::Client, server, &path, accepted())));
    let after = PATIENCE + RETRY * 2;
    assert_eq!(test.turn(began + after), Some(News::Sees(after)));
}

#[test]
fn its_handshake_succeeds_and_its_path_passes_the_parser_unmasked() {
    let mut test = SelfTest::new(Instant::now()).unwrap();
    assert_eq!(test.turn(Instant::now()), None);
    test.attempt.take().unwrap().join().unwrap().unwrap();
    let request = http::parse_request(request(&test.path, test.address).as_bytes()).unwrap();
    assert_eq!(*request.handshake.unwrap().path, *test.path);
    assert_eq!(http::parse_response(ANSWER, false).unwrap().head.status, 101);
}
