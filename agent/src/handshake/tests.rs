//! The pairing, fed with records as the kernel writes them.

use std::time::Duration;

use proptest::prelude::*;
use wstap_common::{
    record::{HalfSummary, Kind, Record, Summary, flags, half, half_flags, role},
    stream::REST_CAP,
};
use zerocopy::{FromZeros, IntoBytes};

use super::*;
use crate::http::{Defect, MAX_VALUE};

const GET: &[u8] = b"GET /chat?x HTTP/1.1\r\nHost: x\r\nOrigin: http://o\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnope!";
const MS: u64 = 1_000_000;

/// A pairing and what it said.
struct Bench {
    pairing: Pairing,
    said: Vec<Observation>,
    now: u64,
    /// The connection that records are about.
    cookie: u64,
}

impl Bench {
    fn new() -> Self {
        let pairing = Pairing::new(Limits::default(), Duration::from_secs(1000));
        Self { pairing, said: Vec::new(), now: 1000 * MS, cookie: 1 }
    }

    /// A connection whose handshake was accepted and told, and when its 101 passed.
    fn opened() -> (Self, u64) {
        let mut bench = Self::new();
        bench.request(100, GET);
        bench.response(500, SWITCHING);
        let opened_ns = bench.now;
        bench.wait(5_000);
        bench.exchange();
        (bench, opened_ns)
    }

    fn record(
        &mut self,
        kind: Kind,
        half: u8,
        seq: u32,
        epoch: u16,
        record_flags: u8,
        content: &[u8],
    ) {
        self.now += MS;
        let mut record = Record::new_zeroed();
        record.cookie = self.cookie;
        record.time_ns = self.now;
        record.local_port = 80;
        record.peer_port = 5000;
        record.seq = seq;
        record.kind = kind as u8;
        record.role = role::SERVER;
        record.half = half;
        record.flags = record_flags;
        record.len = content.len() as u16;
        record.epoch = epoch;
        let bytes = [record.as_bytes(), content].concat();
        self.pairing.ring_record(&bytes, &mut |o| self.said.push(o));
    }

    fn request(&mut self, seq: u32, bytes: &[u8]) {
        self.record(Kind::Bytes, half::REQUEST, seq, 1, 0, bytes);
    }

    fn response(&mut self, seq: u32, bytes: &[u8]) {
        self.record(Kind::Bytes, half::RESPONSE, seq, 1, 0, bytes);
    }

    fn summary(&mut self, kind: Kind, half: u8, record_flags: u8, summary: Summary) {
        self.record(kind, half, 0, 1, record_flags, summary.as_bytes());
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms * MS;
        self.pairing.tick(self.now, &mut |o| self.said.push(o));
    }

    fn exchange(&mut self) -> Exchange {
        self.said.retain(|said| !matches!(said, Observation::Switched(_)));
        match self.said.remove(0) {
            Observation::Exchange(exchange) => exchange,
            other => panic!("an exchange, not {other:?}"),
        }
    }

    fn closure(&mut self) -> Closure {
        self.said.retain(|said| !matches!(said, Observation::Switched(_)));
        match self.said.remove(0) {
            Observation::Closure(closure) => closure,
            other => panic!("a closure, not {other:?}"),
        }
    }
}

fn status(exchange: &Exchange) -> u16 {
    match &exchange.answer {
        Answer::Response(head) => head.status,
        other => panic!("a response, not {other:?}"),
    }
}

#[test]
fn a_rejection_is_told_when_its_content_is_there() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &FORBIDDEN[..45]);
    assert!(bench.said.is_empty());
    bench.response(545, &FORBIDDEN[45..]);
    let exchange = bench.exchange();
    assert_eq!(status(&exchange), 403);
    assert_eq!(exchange.time, Duration::from_millis(1_001_001));
    assert_eq!(exchange.duration, Duration::from_millis(1));
    assert_eq!(exchange.opening, None);
    bench.wait(60_000);
    assert!(bench.said.is_empty());
}

#[test]
fn content_that_never_comes_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &FORBIDDEN[..45]);
    bench.wait(600);
    assert_eq!(status(&bench.exchange()), 403);
}

#[test]
fn a_101_is_told_after_its_first_moments() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, SWITCHING);
    bench.wait(900);
    let [Observation::Switched(switched)] = &bench.said[..] else { panic!("{:?}", bench.said) };
    assert_eq!(&*switched.request.path, "/chat");
    bench.wait(700);
    let watched = Opening { watched: true, ..Opening::default() };
    assert_eq!(bench.exchange().opening, Some(watched));
}

#[test]
fn only_first_moments_that_passed_whole_were_watched() {
    let opened = || {
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.response(500, SWITCHING);
        bench
    };
    let watched = |mut bench: Bench| bench.exchange().opening.expect("a 101").watched;

    let mut bench = opened();
    bench.wait(900);
    bench.pairing.finish(bench.now, &mut |o| bench.said.push(o));
    assert!(!watched(bench), "the capture ended");

    let mut bench = opened();
    bench.pairing.set_losses(bench.now, 1);
    bench.wait(1_600);
    assert!(!watched(bench), "something was lost");

    let summary = |opened_ns| Summary { opened_ns, ..Summary::default() };
    let mut bench = opened();
    let opened_ns = bench.now;
    bench.summary(Kind::Ending, half::REQUEST, flags::TUNNEL, summary(opened_ns));
    assert!(!watched(bench), "the client left");

    // The end comes behind the first moments, before their time was looked at.
    let mut bench = opened();
    let opened_ns = bench.now;
    bench.now += 2_000 * MS;
    bench.summary(Kind::Ending, half::REQUEST, flags::TUNNEL, summary(opened_ns));
    let opening = bench.exchange().opening.expect("a 101");
    assert_eq!((opening.watched, opening.end), (true, None));
}

#[test]
fn the_first_moments_and_the_closure() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, SWITCHING);
    let opened_ns = bench.now;
    let close = HalfSummary {
        close_code: 1008,
        close_ns: opened_ns + 5 * MS,
        messages: 1,
        ..Default::default()
    };
    let summary = Summary { opened_ns, response: close, ..Default::default() };
    bench.summary(Kind::Frame, half::RESPONSE, flags::TUNNEL, summary);
    bench.summary(Kind::Ending, half::RESPONSE, flags::TUNNEL, summary);
    let opening = bench.exchange().opening.expect("a 101");
    let expected = EarlyClose {
        code: 1008,
        sender: Some(End::Local),
        after: Duration::from_millis(5),
        messages_from_server: 1,
        messages_from_client: 0,
    };
    assert_eq!(opening.close, Some(expected));
    assert_eq!(opening.end.map(|end| (end.by, end.initiator)), Some((CloseBy::Fin, End::Local)));
    let answered =
        HalfSummary { close_code: 1008, close_ns: opened_ns + 6 * MS, ..Default::default() };
    let summary = Summary { request: answered, ..summary };
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
    let closure = bench.closure();
    assert_eq!((closure.code, closure.clean, closure.initiator), (1008, true, Some(End::Local)));
    assert_eq!(closure.handshake.and_then(|h| h.origin).as_deref(), Some("http://o"));
    assert_eq!((closure.messages_in, closure.messages_out), (0, 1));
}

#[test]
fn a_close_frame_is_not_the_first_when_the_other_half_lost_its_place() {
    for flags in [half_flags::LOST_PLACE, half_flags::LOST_PLACE | half_flags::UNSYNCHRONISED] {
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.response(500, SWITCHING);
        let opened_ns = bench.now;
        // The client's own close frame, to which this is the answer, may be among what was not seen.
        let request = HalfSummary { flags, ..Default::default() };
        let response =
            HalfSummary { close_code: 4000, close_ns: opened_ns + MS, ..Default::default() };
        let summary = Summary { opened_ns, request, response };
        bench.summary(Kind::Frame, half::RESPONSE, flags::TUNNEL, summary);
        bench.wait(1_600);
        let close = bench.exchange().opening.and_then(|opening| opening.close).expect("a close");
        assert_eq!((close.code, close.sender), (4000, None));
        bench.summary(Kind::Ending, half::RESPONSE, flags::TUNNEL, summary);
        bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
        let closure = bench.closure();
        assert_eq!((closure.code, closure.initiator), (4000, None));
        assert!(closure.by_close_frame && !closure.synchronised);
    }
}

#[test]
fn two_close_frames_have_an_order_even_when_a_place_was_lost() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, SWITCHING);
    let opened_ns = bench.now;
    let close = |after, flags| HalfSummary {
        close_code: 1001,
        close_ns: opened_ns + after,
        flags,
        ..Default::default()
    };
    let request = close(2 * MS, half_flags::LOST_PLACE);
    let summary = Summary { opened_ns, request, response: close(MS, 0) };
    bench.summary(Kind::Frame, half::RESPONSE, flags::TUNNEL, summary);
    bench.wait(1_600);
    let close = bench.exchange().opening.and_then(|opening| opening.close);
    assert_eq!(close.and_then(|close| close.sender), Some(End::Local));
}

#[test]
fn an_end_without_close_frames_is_1006() {
    let (mut bench, opened_ns) = Bench::opened();
    let gone =
        HalfSummary { flags: half_flags::RST, last_ns: opened_ns + MS, ..Default::default() };
    let summary = Summary { opened_ns, request: gone, ..Default::default() };
    // A socket older than the agent: nobody tells when it is closed.
    bench.summary(Kind::Ending, half::REQUEST, flags::TUNNEL | flags::RST, summary);
    let closure = bench.closure();
    assert_eq!(
        (closure.code, closure.by, closure.initiator),
        (1006, CloseBy::Rst, Some(End::Peer))
    );
    assert_eq!(closure.lasted, closure.idle + Duration::from_millis(1));
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
    assert!(bench.said.is_empty(), "one connection has one end");
}

#[test]
fn an_rst_behind_the_end_of_a_socket_is_no_other_end() {
    // The server closes, and the client's close frame crosses its FIN: the kernel answers with RST.
    let (mut bench, opened_ns) = Bench::opened();
    let fin = HalfSummary { flags: half_flags::FIN, ..Default::default() };
    let summary = Summary { opened_ns, response: fin, ..Default::default() };
    bench.summary(Kind::Ending, half::RESPONSE, flags::TUNNEL, summary);
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
    assert_eq!(bench.closure().by, CloseBy::Fin);
    let close = HalfSummary { close_code: 1000, close_ns: bench.now, ..Default::default() };
    let summary = Summary { request: close, ..summary };
    bench.summary(Kind::Frame, half::REQUEST, flags::TUNNEL, summary);
    bench.summary(Kind::Ending, half::RESPONSE, flags::TUNNEL | flags::RST, summary);
    bench.wait(60);
    assert_eq!(bench.said, []);
    assert_eq!(bench.pairing.unseen(), (0, 0));
}

#[test]
fn a_fin_that_overtook_other_bytes_is_the_first_end() {
    let (mut bench, opened_ns) = Bench::opened();
    let summary = Summary { opened_ns, ..Default::default() };
    // The server's FIN, then what it overtook, of which TCP takes both; then the client's FIN.
    bench.summary(Kind::EarlyFin, half::RESPONSE, flags::TUNNEL, summary);
    let fin = HalfSummary { flags: half_flags::FIN, ..Default::default() };
    let summary = Summary { request: fin, ..summary };
    bench.summary(Kind::Ending, half::REQUEST, flags::TUNNEL, summary);
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
    let closure = bench.closure();
    assert_eq!((closure.by, closure.initiator), (CloseBy::Fin, Some(End::Local)));
}

#[test]
fn a_connection_older_than_the_agent_is_unseen_until_its_end() {
    let mut bench = Bench::new();
    let opened_ns = bench.now;
    let older = flags::TUNNEL | flags::FOUND;
    let found = Summary { opened_ns, ..Default::default() };
    bench.summary(Kind::Found, half::REQUEST, older, found);
    assert_eq!(bench.pairing.unseen(), (1, 0));
    bench.wait(5_000);
    assert!(bench.said.is_empty());
    let gone = HalfSummary { flags: half_flags::RST, ..Default::default() };
    let summary = Summary { request: gone, ..found };
    bench.summary(Kind::Ending, half::REQUEST, older | flags::RST, summary);
    let closure = bench.closure();
    assert_eq!((closure.handshake, closure.older), (None, true));
    assert!(closure.lasted >= Duration::from_secs(5));
    assert_eq!(bench.pairing.unseen(), (0, 0));
}

#[test]
fn an_older_connection_that_one_side_ended_has_an_end_though_nobody_tells_of_the_other() {
    let mut bench = Bench::new();
    let older = flags::TUNNEL | flags::FOUND;
    let found = Summary { opened_ns: bench.now, ..Default::default() };
    bench.summary(Kind::Found, half::REQUEST, older, found);
    let fin = HalfSummary { flags: half_flags::FIN, ..Default::default() };
    bench.summary(Kind::Ending, half::RESPONSE, older, Summary { response: fin, ..found });
    bench.wait(60_000);
    assert_eq!(bench.said, []);
    bench.wait(6_000);
    let closure = bench.closure();
    let told = (closure.code, closure.by, closure.initiator, closure.older);
    assert_eq!(told, (1006, CloseBy::Fin, Some(End::Local), true));
    assert!(closure.lasted < Duration::from_secs(1), "it ended with the FIN");
    assert_eq!(bench.pairing.unseen(), (0, 0));
}

#[test]
fn a_socket_that_closes_long_after_its_end_has_one_end() {
    let mut bench = Bench::new();
    let fin = HalfSummary { flags: half_flags::FIN, ..Default::default() };
    let summary = Summary { opened_ns: bench.now, request: fin, response: fin };
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
    bench.wait(60);
    assert_eq!(bench.said, []);
    // Unless what told of the end was lost.
    bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL | flags::LOST, summary);
    bench.wait(60);
    assert_eq!(bench.closure().by, CloseBy::Fin);
}

#[test]
fn behind_a_broken_rule_nobody_knows_who_closed_first() {
    let broken = |code| {
        let (mut bench, opened_ns) = Bench::opened();
        let violation = Violation::UnmaskedFromClient as u8;
        let request = HalfSummary { violation, ..Default::default() };
        let response = HalfSummary { close_code: code, close_ns: bench.now, ..Default::default() };
        let summary = Summary { opened_ns, request, response };
        bench.summary(Kind::Closed, half::REQUEST, flags::TUNNEL, summary);
        bench.wait(60);
        bench.closure().initiator
    };
    assert_eq!(broken(1000), None);
    assert_eq!(broken(1002), Some(End::Local), "it closes because of it");
}

#[test]
fn who_gave_up() {
    let cases: [(&[(u8, u8)], _); 3] = [
        (&[(half::RESPONSE, 0)], Answer::Closed { by: CloseBy::Fin, initiator: End::Local }),
        (&[(half::REQUEST, flags::RST)], Answer::Closed { by: CloseBy::Rst, initiator: End::Peer }),
        (
            &[(half::REQUEST, 0), (half::RESPONSE, 0)],
            Answer::Closed { by: CloseBy::Fin, initiator: End::Peer },
        ),
    ];
    for (endings, answer) in cases {
        let mut bench = Bench::new();
        bench.request(100, GET);
        for (half, bits) in endings {
            assert!(bench.said.is_empty());
            bench.summary(Kind::Ending, *half, *bits, Summary::default());
        }
        assert_eq!(bench.exchange().answer, answer);
        bench.summary(Kind::Closed, 0, 0, Summary::default());
        assert!(bench.said.is_empty());
    }
}

#[test]
fn an_answer_may_follow_the_clients_fin() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.summary(Kind::Ending, half::REQUEST, 0, Summary::default());
    bench.response(500, FORBIDDEN);
    assert_eq!(status(&bench.exchange()), 403);
}

#[test]
fn a_client_that_closed_and_a_server_that_never_does() {
    let gave_up = Answer::Closed { by: CloseBy::Fin, initiator: End::Peer };
    for finish in [false, true] {
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.summary(Kind::Ending, half::REQUEST, 0, Summary::default());
        bench.wait(if finish { 100 } else { 11_000 });
        bench.pairing.finish(bench.now, &mut |o| bench.said.push(o));
        let exchange = bench.exchange();
        assert_eq!(
            (exchange.answer, exchange.duration),
            (gave_up.clone(), Duration::from_millis(1))
        );
    }
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.pairing.finish(bench.now, &mut |o| bench.said.push(o));
    assert_eq!(bench.exchange().answer, Answer::Unobserved);
}

#[test]
fn an_interim_response_is_no_answer() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    bench.response(500, interim);
    bench.wait(100);
    bench.response(500 + interim.len() as u32, FORBIDDEN);
    let exchange = bench.exchange();
    assert_eq!((status(&exchange), exchange.duration), (403, Duration::from_millis(102)));

    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, interim);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::TimedOut);
}

#[test]
fn no_answer_in_time() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.wait(9_900);
    assert!(bench.said.is_empty());
    bench.wait(200);
    let exchange = bench.exchange();
    assert_eq!((exchange.answer, exchange.duration), (Answer::TimedOut, Duration::from_secs(10)));
}

#[test]
fn what_was_lost_before_a_handshake_began_is_no_answer_to_it() {
    let mut bench = Bench::new();
    bench.pairing.set_losses(bench.now, 1);
    bench.request(100, GET);
    bench.pairing.set_losses(bench.now + MS, 1);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::TimedOut);
}

#[test]
fn what_was_missed_is_not_told_as_silence() {
    // The connection's own flag, the ring's counter, and an answer that the kernel saw.
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.summary(Kind::Ending, half::RESPONSE, flags::LOST, Summary::default());
    assert_eq!(bench.exchange().answer, Answer::Unobserved);

    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.pairing.set_losses(bench.now, 1);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::Unobserved);

    // The request lay on the ring while the loss was read.
    let mut bench = Bench::new();
    bench.pairing.set_losses(bench.now + 2 * MS, 1);
    bench.request(100, GET);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::Unobserved);

    for bits in [flags::ANSWERED, flags::TUNNEL] {
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.summary(Kind::Closed, 0, bits, Summary::default());
        bench.wait(60);
        assert_eq!(bench.exchange().answer, Answer::Unobserved);
    }
}

#[test]
fn a_socket_that_aborts_is_closed_before_its_rst_passes() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.summary(Kind::Closed, 0, 0, Summary::default());
    bench.summary(Kind::Ending, half::RESPONSE, flags::RST, Summary::default());
    let closed = Answer::Closed { by: CloseBy::Rst, initiator: End::Local };
    assert_eq!(bench.exchange().answer, closed);
    bench.wait(60);
    assert!(bench.said.is_empty());

    let mut bench = Bench::new();
    let tunnel = Summary { opened_ns: 1, ..Summary::default() };
    bench.summary(Kind::Closed, 0, flags::TUNNEL, tunnel);
    assert!(bench.said.is_empty());
    bench.summary(Kind::Ending, half::RESPONSE, flags::TUNNEL | flags::RST, tunnel);
    let Observation::Closure(closure) = bench.said.remove(0) else { panic!("no closure") };
    assert_eq!((closure.by, closure.initiator), (CloseBy::Rst, Some(End::Local)));
    bench.wait(60);
    assert!(bench.said.is_empty());
}

#[test]
fn garbage_and_half_an_answer() {
    for bytes in [&b"{}\r\n\r\n"[..], b"HTTP/1.1 101 Switching Pro"] {
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.response(500, bytes);
        bench.summary(Kind::Ending, half::RESPONSE, 0, Summary::default());
        assert_eq!(bench.exchange().answer, Answer::Malformed(bytes.into()));
    }
}

/// An answer whose head is longer than what the kernel tells of it, and that much of it.
fn long_head(status_line: &str) -> Vec<u8> {
    let cookies = format!("Set-Cookie: {}\r\n", "c".repeat(4000)).repeat(3);
    let head = format!("{status_line}\r\nUpgrade: websocket\r\n{cookies}");
    head.as_bytes()[..REST_CAP as usize].to_vec()
}

#[test]
fn a_head_that_is_too_long_is_an_answer_as_far_as_it_goes() {
    for (line, want) in [("HTTP/1.1 101 Switching", 101), ("HTTP/1.0 502 Bad", 502)] {
        let told = long_head(line);
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.response(500, &told[..5000]);
        bench.response(5500, &told[5000..8191]);
        assert_eq!((bench.said.len(), bench.pairing.occupancy()), (0, (1, 0)));
        // At once, not when no more came for long.
        bench.response(8691, &told[8191..]);
        if want == 101 {
            assert_eq!(bench.pairing.occupancy(), (1, 1));
            // An extension may have been agreed on in what was not seen.
            let opened_ns = bench.now;
            let rsv1 = HalfSummary { flags: half_flags::RSV1, ..Default::default() };
            let summary = Summary { opened_ns, response: rsv1, ..Default::default() };
            bench.summary(Kind::Frame, half::RESPONSE, flags::TUNNEL, summary);
            bench.wait(1_600);
        }
        let exchange = bench.exchange();
        assert_eq!(status(&exchange), want);
        assert_eq!(exchange.duration, Duration::from_millis(1));
        let opening = Opening { watched: true, ..Opening::default() };
        assert_eq!(exchange.opening, (want == 101).then_some(opening));
        let Answer::Response(head) = exchange.answer else { unreachable!() };
        assert!(head.truncated && head.headers.has("upgrade"));
        if want == 101 {
            bench.summary(Kind::Closed, 0, flags::TUNNEL, Summary::default());
            bench.wait(100);
            assert_eq!(bench.closure().handshake.unwrap().origin.as_deref(), Some("http://o"));
        }
    }
}

#[test]
fn what_stands_behind_a_long_interim_head_was_not_seen() {
    let told = long_head("HTTP/1.1 103 Early Hints");
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &told);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::Unobserved);
    // The final head's room is what the interim one left.
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let told = [&interim[..], &long_head("HTTP/1.1 101 Switching")].concat();
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &told[..REST_CAP as usize]);
    bench.wait(1_600);
    assert_eq!(status(&bench.exchange()), 101);
}

#[test]
fn behind_an_ordinary_answer_the_count_begins_anew() {
    let mut bench = Bench::new();
    bench.request(100, &[b"GET / HTTP/1.1\r\n\r\n", GET].concat());
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n";
    bench.response(500, head);
    bench.response(500 + head.len() as u32, &vec![b'x'; REST_CAP as usize - head.len()]);
    let next = 500 + head.len() as u32 + 9000;
    bench.response(next, &SWITCHING[..30]);
    bench.response(next + 30, &SWITCHING[30..]);
    bench.wait(1_600);
    let exchange = bench.exchange();
    assert!(matches!(&exchange.answer, Answer::Response(head) if !head.truncated));
    assert_eq!(status(&exchange), 101);
}

#[test]
fn pipelined_behind_ordinary_requests() {
    let ordinary = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let mut bench = Bench::new();
    bench.request(100, &[&ordinary[..], ordinary, GET, GET].concat());
    bench.response(500, b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nxxxxxx");
    bench.response(
        500 + 41 + 9000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    );
    bench.response(50_000, &[FORBIDDEN, SWITCHING].concat());
    assert_eq!(status(&bench.exchange()), 403);
    bench.wait(2_000);
    assert_eq!(status(&bench.exchange()), 101);
}

/// The end of the half that requests is not told once an answer passed.
#[test]
fn behind_an_answer_that_passed_nobody_knows_who_ended_the_connection() {
    for first in [&b"GET /p HTTP/1.1\r\n\r\n"[..], GET] {
        let mut bench = Bench::new();
        bench.request(100, &[first, GET].concat());
        bench.response(500, FORBIDDEN);
        bench.said.clear();
        bench.summary(Kind::Ending, half::RESPONSE, 0, Summary::default());
        bench.wait(60_000);
        assert_eq!(bench.exchange().answer, Answer::Unobserved);
    }
}

#[test]
fn however_many_requests_are_pipelined_the_handshakes_among_them_are_told() {
    let ordinary = b"GET /p HTTP/1.1\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut bench = Bench::new();
    bench.request(100, &[&ordinary.repeat(200)[..], GET].concat());
    bench.response(500, &[&ok.repeat(200)[..], SWITCHING].concat());
    bench.wait(2_000);
    assert_eq!(status(&bench.exchange()), 101);

    let mut bench = Bench::new();
    bench.request(100, &GET.repeat(150));
    bench.response(500, &FORBIDDEN.repeat(90));
    assert_eq!(bench.said.len(), 90);
    bench.wait(60_000);
    assert_eq!(bench.said.len(), 150);
    // Without any answer, and an end of which it is known whose it was.
    let mut bench = Bench::new();
    bench.request(100, &GET.repeat(150));
    bench.summary(Kind::Ending, half::REQUEST, flags::RST, Summary::default());
    let closed = Answer::Closed { by: CloseBy::Rst, initiator: End::Peer };
    assert_eq!(bench.said.len(), 150);
    assert!((0..150).all(|_| bench.exchange().answer == closed));
}

#[test]
fn a_pause_in_a_head_is_waited_for_however_long() {
    for (answer, status_is) in [(FORBIDDEN, 403), (SWITCHING, 101)] {
        // In the request's.
        let mut bench = Bench::new();
        bench.request(100, &GET[..60]);
        bench.wait(60_000);
        bench.request(160, &GET[60..]);
        bench.response(500, answer);
        bench.wait(2_000);
        assert_eq!(status(&bench.exchange()), status_is);
        // In the answer's.
        let mut bench = Bench::new();
        bench.request(100, GET);
        bench.response(500, &answer[..20]);
        bench.wait(60_000);
        assert!(bench.said.is_empty());
        bench.response(520, &answer[20..]);
        bench.wait(2_000);
        assert_eq!(status(&bench.exchange()), status_is);
    }
    // A head that is whole and has no answer is timed out.
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.wait(11_000);
    assert_eq!(bench.exchange().answer, Answer::TimedOut);
}

#[test]
fn a_head_that_is_never_finished_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.request(100, &GET[..60]);
    bench.wait(299_000);
    assert_eq!(bench.pairing.occupancy().0, 1);
    bench.wait(2_000);
    assert_eq!((bench.pairing.occupancy().0, bench.said.len()), (0, 0));
    assert_eq!(bench.pairing.counters().evicted_handshakes, 1);
    // An answer whose head breaks off is told then, as what it is.
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &FORBIDDEN[..20]);
    bench.wait(301_000);
    assert!(matches!(bench.exchange().answer, Answer::Malformed(_)));
    assert_eq!(bench.pairing.counters().evicted_handshakes, 0);
}

/// 8,000 records of a byte each beside a head of 64 KiB that is not whole: each would read it all again.
#[test]
fn what_is_read_is_linear_in_what_comes() {
    let head = [&GET[..GET.len() - 2], &b"\n a".repeat(21_000)].concat();
    let answer = [&FORBIDDEN[..20], &b"\nx:y".repeat(2_000)].concat();
    let mut bench = Bench::new();
    bench.request(100, &head);
    let began = std::time::Instant::now();
    for (i, byte) in answer.iter().enumerate().take(REST_CAP as usize) {
        bench.response(500 + i as u32, std::slice::from_ref(byte));
    }
    for (i, byte) in b"\n a".repeat(1_000).iter().enumerate() {
        bench.request(100 + (head.len() + i) as u32, std::slice::from_ref(byte));
    }
    // It took 2 s, and more than 10 with the head growing.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    bench.wait(600_000);
    assert_eq!(bench.said.len(), 1);
}

#[test]
fn heads_that_were_read_count_too() {
    let mut bench = Bench::new();
    let head = |filler: &str| [&GET[..GET.len() - 2], filler.as_bytes(), b"\r\n\r\n"].concat();
    let long = head(&format!("Via: {}", "b".repeat(60_000)));
    // 90 MB, all of them within the first moments behind their 101.
    for n in 1..=1500 {
        bench.cookie = n;
        bench.request(100, &long);
        bench.now -= MS;
        bench.response(500, SWITCHING);
        bench.now -= MS;
    }
    let evicted = bench.pairing.counters().evicted_handshakes;
    assert!((300..1000).contains(&evicted), "{evicted}");
    let told = |bench: &Bench| {
        bench.said.iter().filter(|said| matches!(said, Observation::Exchange(_))).count() as u64
    };
    assert_eq!(told(&bench), evicted);
    bench.wait(1_600);
    assert_eq!(told(&bench), 1500);
    // Nothing is counted for good.
    bench.cookie = 5000;
    bench.request(100, &long);
    assert_eq!(bench.pairing.counters().evicted_handshakes, evicted);
}

#[test]
fn what_an_open_connection_keeps_of_its_handshake_is_bounded() {
    let mut bench = Bench::new();
    let request = format!(
        "GET /{} HTTP/1.1\r\nOrigin: http://{}\r\nSec-WebSocket-Key: a\r\n\r\n",
        "p/".repeat(MAX_VALUE),
        "😀".repeat(MAX_VALUE)
    );
    for n in 1..=8000 {
        bench.cookie = n;
        bench.request(100, request.as_bytes());
        bench.response(500, SWITCHING);
        bench.wait(0);
    }
    // 5 KiB each: 32 MiB hold some 6,500.
    let evicted = bench.pairing.counters().evicted_tunnels;
    assert!((1000..2000).contains(&evicted), "{evicted}");
    assert_eq!(bench.pairing.occupancy().1 as u64, 8000 - evicted);
    bench.said.clear();
    bench.wait(2_000);
    bench.said.clear();
    bench.summary(Kind::Closed, 0, flags::TUNNEL, Summary::default());
    bench.wait(100);
    let handshake = bench.closure().handshake.expect("was seen");
    let lengths = (handshake.origin.unwrap().chars().count(), handshake.path.chars().count());
    assert_eq!(lengths, (MAX_VALUE + 1, MAX_VALUE + 1));
}

#[test]
fn a_later_candidate_settles_the_one_before() {
    let mut bench = Bench::new();
    bench.request(100, GET);
    bench.response(500, &FORBIDDEN[..45]);
    bench.record(Kind::Bytes, half::REQUEST, 900, 2, 0, GET);
    assert_eq!(status(&bench.exchange()), 403);
    bench.record(Kind::Bytes, half::RESPONSE, 550, 2, 0, SWITCHING);
    bench.response(545, &FORBIDDEN[45..]);
    bench.wait(2_000);
    assert_eq!(status(&bench.exchange()), 101);
}

#[test]
fn a_head_that_is_too_large_is_read_as_far_as_it_goes() {
    let mut bench = Bench::new();
    bench.request(100, &GET[..GET.len() - 2]);
    let filler = vec![b'x'; 60_000];
    bench.request(100 + GET.len() as u32 - 2, &filler);
    bench.record(
        Kind::Bytes,
        half::REQUEST,
        100 + GET.len() as u32 - 2 + 60_000,
        1,
        flags::TRUNCATED,
        &filler,
    );
    bench.response(500, b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
    bench.summary(Kind::Closed, 0, flags::ANSWERED, Summary::default());
    bench.wait(60);
    let exchange = bench.exchange();
    assert_eq!((status(&exchange), exchange.request.defect), (431, Some(Defect::Truncated)));
    assert_eq!(bench.pairing.counters().truncated_heads, 1);
}

#[test]
fn ordinary_requests_are_not_told() {
    let mut bench = Bench::new();
    bench.request(100, b"GET /websocket HTTP/1.1\r\n\r\n");
    bench.response(500, FORBIDDEN);
    bench.summary(Kind::Closed, 0, 0, Summary::default());
    bench.wait(60_000);
    assert!(bench.said.is_empty());
    assert_eq!(bench.pairing.occupancy(), (0, 0));
}

proptest! {
    #[test]
    fn cuts_swaps_and_duplicates_change_nothing(
        cuts in proptest::collection::vec(1_usize..GET.len(), 0..6),
        answer_cuts in proptest::collection::vec(1_usize..FORBIDDEN.len(), 0..4),
        swaps in proptest::collection::vec((0_usize..10, 0_usize..10), 0..6),
        base: u32,
    ) {
        let mut whole = Bench::new();
        whole.request(base, GET);
        whole.response(base, FORBIDDEN);
        let expected = whole.exchange();

        let mut bench = Bench::new();
        for (bytes, mut cuts, half) in [(GET, cuts, half::REQUEST), (FORBIDDEN, answer_cuts, half::RESPONSE)] {
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces: Vec<_> = cuts.windows(2).map(|w| (w[0], w[1])).filter(|(a, b)| a < b).collect();
            for (a, b) in &swaps {
                let n = pieces.len();
                pieces.swap(a % n, b % n);
                pieces.push(pieces[a % n]);
            }
            for (from, to) in pieces {
                bench.record(Kind::Bytes, half, base.wrapping_add(from as u32), 1, 0, &bytes[from..to]);
            }
        }
        let mut got = bench.exchange();
        // The times are those of the segments.
        got.time = expected.time;
        got.duration = expected.duration;
        prop_assert_eq!(got, expected);
        bench.wait(60_000);
        prop_assert!(bench.said.is_empty());
    }

    #[test]
    fn no_records_panic(
        records in proptest::collection::vec((1_u8..7, 0_u8..2, 0_u32..400, 0_u16..3, any::<u8>(), 0_usize..6), 0..40),
    ) {
        let mut bench = Bench::new();
        for (kind, half, seq, epoch, bits, content) in records {
            let content = [GET, FORBIDDEN, SWITCHING, &[0; 72], &[255; 72], b"x"][content];
            bench.now += MS * u64::from(seq);
            let mut record = Record::new_zeroed();
            (record.kind, record.half, record.seq, record.epoch) = (kind, half, seq, epoch);
            (record.flags, record.cookie, record.time_ns) = (bits, u64::from(bits & 3), bench.now);
            bench.pairing.record(&record, content, &mut |_| {});
            bench.wait(u64::from(seq));
        }
        bench.pairing.finish(u64::MAX, &mut |_| {});
        prop_assert_eq!(bench.pairing.occupancy().0, 0);
    }
}

#[test]
fn an_http2_connection_is_counted_once_and_never_told() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let offers = b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01";
    for (answer, offer) in [
        (Some(&offers[..]), ExtendedConnect::Offered),
        (Some(b"\0\0\0\x04\0\0\0\0\0\0\0\x04\x08"), ExtendedConnect::NotOffered),
        (None, ExtendedConnect::Unknown),
    ] {
        let mut bench = Bench::new();
        bench.request(1, preface);
        bench.request(1 + preface.len() as u32, b"\0\0\0\x04\x01\0\0\0\0");
        if let Some(answer) = answer {
            bench.response(1, answer);
            bench.response(1 + answer.len() as u32, b"\0\0\x01\x01\x04\0\0\0\x01\x88");
        }
        bench.wait(20_000);
        bench.pairing.finish(bench.now, &mut |o| bench.said.push(o));
        let counted: Vec<_> =
            bench.pairing.counters().h2.counts().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [(Role::Server, offer, 1)]);
        assert!(bench.said.is_empty(), "{:?}", bench.said);
    }
}
