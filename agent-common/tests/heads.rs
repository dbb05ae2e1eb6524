//! The stream machine before and around the 101: which bytes it sends to user space and where it begins to
//! walk, whatever the network does with the segments.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a test that cannot go on fails"
)]

mod wire;

use proptest::prelude::*;
use wire::{Network, Receiver, cuts, network};
use wstap_common::{
    frame::Walk,
    payload::Payload,
    record::{Kind, half, half_flags},
    stream::{
        HEAD_CAP, REST_CAP, RequestHalf, ResponseHalf, Segment, Step,
        observe::{self, Host},
        scan::{self, WordScan},
    },
};

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: https://app.example\r\n\r\n";
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
const ORDINARY: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: app.example\r\n\r\n";
const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Masked with zeros: a text message, a ping, and a close frame with 1001.
const FROM_CLIENT: &[u8] = b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe9";
/// A text message whose text looks like the end of a head, and a close frame with 1000.
const FROM_SERVER: &[u8] = b"\x81\x08SIP\r\n\r\nx\x88\x02\x03\xe8";
const CODES: (u16, u16) = (1001, 1000);

/// What was sent of one half: its epoch, the offset in the stream, and the bytes.
type Sent = Vec<(u16, usize, Vec<u8>)>;

/// A connection and the hook on it, with which one side says something after the other.
struct Wire {
    request: RequestHalf,
    response: ResponseHalf,
    host: Hook,
    /// How much each half has sent.
    said: [usize; 2],
    first: [u32; 2],
}

/// What the machine asked for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Asked {
    sent: [Sent; 2],
    truncated: bool,
    opened: u32,
    summaries: Vec<(u8, u8)>,
}

#[derive(Default)]
struct Hook {
    asked: Asked,
    /// The current segment and where it stands.
    payload: Vec<u8>,
    at: usize,
    walks: Option<[Walk; 2]>,
}

impl Host for Hook {
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step) {
        let from = step.from as usize;
        let bytes = self.payload[from..from + step.len as usize].to_vec();
        self.asked.sent[usize::from(half)].push((epoch, self.at.wrapping_add(from), bytes));
        self.asked.truncated |= step.truncated;
    }

    fn send_summary(&mut self, kind: Kind, half: u8, _: u16, _: bool) {
        self.asked.summaries.push((kind as u8, half));
    }

    fn walk<P: Payload + ?Sized>(
        &mut self,
        half: u8,
        step: &Step,
        segment: &Segment,
        payload: &P,
    ) -> bool {
        if step.begin && self.walks.is_none() {
            self.walks = Some(Default::default());
        }
        self.walk_of(half)
            .is_some_and(|walk| walk.segment(step, segment, payload, half == half::REQUEST))
    }

    fn walk_of(&mut self, half: u8) -> Option<&mut Walk> {
        self.walks.as_mut()?.get_mut(usize::from(half))
    }

    fn opened(&mut self, _: u64) {
        self.asked.opened += 1;
    }

    fn is_open(&mut self) -> bool {
        self.asked.opened > 0
    }
}

impl Wire {
    fn new(first: [u32; 2]) -> Self {
        Self {
            request: RequestHalf::new(first[0]),
            response: ResponseHalf::default(),
            host: Hook::default(),
            said: [0; 2],
            first,
        }
    }

    /// One half says `bytes`, over `network`.
    fn say(&mut self, half: u8, bytes: &[u8], network: &Network) {
        let of = usize::from(half);
        let mut receiver = Receiver::new(bytes.len());
        for passing in network.carry(bytes.len()) {
            if passing.seen {
                let (seq, received) =
                    (self.seq(half, passing.from), self.seq(half, receiver.next()));
                self.host.at = self.said[of] + passing.from;
                self.segment(half, seq, received, &bytes[passing.from..passing.to]);
            }
            receiver.take(passing);
        }
        self.said[of] += bytes.len();
    }

    /// The sequence number of what a half says next, and so many bytes behind it.
    fn seq(&self, half: u8, offset: usize) -> u32 {
        let of = usize::from(half);
        self.first[of].wrapping_add((self.said[of] + offset) as u32)
    }

    fn segment(&mut self, half: u8, seq: u32, received: u32, payload: &[u8]) {
        let segment = Segment { seq, received, now_ns: 7 };
        self.host.payload = payload.to_vec();
        let (request, response) = (&mut self.request, &mut self.response);
        if observe::is_walked(half, request.word, response.word) {
            // As the hook in the kernel does it.
            let step = Step { frames: 0, ..Step::NONE };
            if self.host.walk(half, &step, &segment, payload) && self.host.is_open() {
                self.host.send_summary(Kind::Frame, half, request.word as u16, false);
            }
        } else if half == half::REQUEST {
            let other = (response.word, response.answers);
            let passes = request.awaits(response.word, &segment) && scan::is_plain_get(payload);
            let (mut passed, asked) = (*request, passes.then(|| self.host.asked.clone()));
            observe::request_data(&mut self.host, request, other, &segment, payload);
            // The kernel's hook takes these by themselves, and nobody may notice.
            if let Some(asked) = asked {
                passed.pass(&segment, payload.len() as u32);
                assert_eq!(format!("{passed:?}"), format!("{request:?}"));
                assert_eq!(self.host.asked, asked);
            }
        } else {
            observe::response_data(&mut self.host, response, request.word, &segment, payload);
        }
    }

    fn fin(&mut self, half: u8, rst: bool) {
        let seq = self.seq(half, 0);
        let segment = Segment { seq, received: seq, now_ns: 7 };
        let words = (self.request.word, self.response.word);
        let next = if half == half::REQUEST { self.request.next } else { self.response.next };
        observe::ending(&mut self.host, half, words, next, &segment, rst);
    }

    /// What was sent of a half from offset `from` on, put together; `None` with a hole.
    fn together(&self, half: u8, from: usize) -> Option<Vec<u8>> {
        let mut bytes: Vec<Option<u8>> = Vec::new();
        for (_, at, part) in &self.host.asked.sent[usize::from(half)] {
            for (at, byte) in (*at..).zip(part) {
                let Some(offset) = at.checked_sub(from) else { continue };
                if bytes.len() <= offset {
                    bytes.resize(offset + 1, None);
                }
                bytes[offset] = Some(*byte);
            }
        }
        bytes.into_iter().collect()
    }

    /// The close codes of both halves, and whether either walk lost its place.
    fn codes(&self) -> ((u16, u16), bool) {
        let [request, response] = self.host.walks.unwrap_or_default().map(|walk| walk.summary());
        assert_eq!((request.violation, response.violation), (0, 0), "a rule that nobody broke");
        let lost = (request.flags | response.flags)
            & (half_flags::LOST_PLACE | half_flags::UNSYNCHRONISED);
        ((request.close_code, response.close_code), lost != 0)
    }
}

const WHOLE: usize = usize::MAX / 2;

fn whole() -> Network {
    Network::in_order(vec![WHOLE])
}

/// A request head with so many bytes more, in header fields of 50 bytes.
fn long(head: &[u8], more: usize) -> Vec<u8> {
    let mut long = head[..head.len() - 2].to_vec();
    for _ in 0..more / 50 {
        long.extend_from_slice(b"X-Filler: 0123456789012345678901234567890123456\r\n");
    }
    long.extend_from_slice(b"\r\n");
    long
}

/// What a client may send before the handshake on the same connection, and what comes back.
fn before() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let post: &[u8] = b"POST /log HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET ";
    let round = prop_oneof![
        Just((ORDINARY.to_vec(), FOUND.to_vec())),
        Just((post.to_vec(), FOUND.to_vec())),
        Just((REQUEST.to_vec(), REFUSED.to_vec())),
        Just((b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n".to_vec(), Vec::new())),
        Just((
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x50"
                .to_vec(),
            Vec::new()
        )),
    ];
    prop::collection::vec(round, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_handshake_in_any_cut_is_sent_whole_and_its_frames_are_walked(
        first: [u32; 2],
        before in before(),
        more in prop_oneof![Just(0), 0_usize..4000],
        interim in prop::collection::vec(prop_oneof![Just("100 Continue"), Just("103 Early Hints")], 0..4),
        request_cuts in cuts(),
        response_cuts in cuts(),
        glued: [bool; 2],
        frame_cuts in cuts(),
    ) {
        let mut wire = Wire::new(first);
        for (request, response) in before {
            wire.say(half::REQUEST, &request, &whole());
            wire.say(half::RESPONSE, &response, &whole());
        }
        let from = wire.said;
        wire.host.asked = Asked::default();
        let head = long(REQUEST, more);
        let interim: String = interim.iter().map(|i| format!("HTTP/1.1 {i}\r\nLink: </a>\r\n\r\n")).collect();
        let answer = [interim.as_bytes(), &long(ACCEPTED, more)].concat();
        let (request_net, response_net) = (Network::in_order(request_cuts), Network::in_order(response_cuts));
        let frame_net = Network::in_order(frame_cuts);
        if glued[0] {
            wire.say(half::REQUEST, &[&head[..], FROM_CLIENT].concat(), &request_net);
        } else {
            wire.say(half::REQUEST, &head, &request_net);
        }
        if glued[1] {
            wire.say(half::RESPONSE, &[&answer[..], FROM_SERVER].concat(), &response_net);
        } else {
            wire.say(half::RESPONSE, &answer, &response_net);
            wire.say(half::RESPONSE, FROM_SERVER, &frame_net);
        }
        if !glued[0] {
            wire.say(half::REQUEST, FROM_CLIENT, &frame_net);
        }
        wire.fin(half::RESPONSE, false);
        wire.fin(half::REQUEST, false);

        prop_assert_eq!(wire.host.asked.opened, 1);
        let sent = wire.together(half::REQUEST, from[0]).expect("a hole in the request");
        prop_assert!(sent.starts_with(&head));
        let answered = wire.together(half::RESPONSE, from[1]).expect("a hole in the answer");
        prop_assert_eq!(answered, answer, "the answer and no frame");
        let (codes, lost) = wire.codes();
        prop_assert_eq!(codes.1, CODES.1);
        prop_assert!(codes.0 == CODES.0 || (lost && codes.0 == 0));
        if !glued[0] {
            prop_assert_eq!((codes, lost), (CODES, false));
        }
    }

    #[test]
    fn reordered_segments_make_nothing_up(
        first: [u32; 2],
        more in prop_oneof![Just(0), 0_usize..4000],
        nets in [network(false), network(false)],
    ) {
        let mut wire = Wire::new(first);
        let head = long(REQUEST, more);
        let answer = long(ACCEPTED, more);
        wire.say(half::REQUEST, &[&head[..], FROM_CLIENT].concat(), &nets[0]);
        wire.say(half::RESPONSE, &[&answer[..], FROM_SERVER].concat(), &nets[1]);
        wire.fin(half::RESPONSE, false);
        let sent = wire.together(half::REQUEST, 0).expect("a hole in the request");
        prop_assert!(sent.starts_with(&head));
        let (codes, lost) = wire.codes();
        prop_assert!(codes.0 == CODES.0 || codes.0 == 0);
        prop_assert!(codes.1 == CODES.1 || (codes.1 == 0 && (lost || wire.host.asked.opened == 0)));
    }

    #[test]
    fn bytes_that_were_never_seen_make_nothing_up(
        first: [u32; 2],
        more in prop_oneof![Just(0), 0_usize..4000],
        nets in [network(true), network(true)],
    ) {
        let mut wire = Wire::new(first);
        wire.say(half::REQUEST, &[&long(REQUEST, more)[..], FROM_CLIENT].concat(), &nets[0]);
        wire.say(half::RESPONSE, &[&long(ACCEPTED, more)[..], FROM_SERVER].concat(), &nets[1]);
        wire.fin(half::RESPONSE, false);
        let (codes, lost) = wire.codes();
        prop_assert!(codes.0 == CODES.0 || codes.0 == 0);
        prop_assert!(codes.1 == CODES.1 || (codes.1 == 0 && (lost || wire.host.asked.opened == 0)));
    }

    #[test]
    fn segments_outside_of_the_window_change_nothing(
        first: [u32; 2],
        forged in prop::collection::vec((any::<bool>(), 200_000_u32..0x7fff_0000, any::<bool>(), 0..3_usize), 1..10),
    ) {
        let play = |forge: bool| {
            let mut wire = Wire::new(first);
            let mut forged = forged.iter().cycle();
            let mut spoof = |wire: &mut Wire| {
                let (ahead, by, response, what) = forged.next().unwrap();
                let half = if *response { half::RESPONSE } else { half::REQUEST };
                let next = wire.seq(half, 0);
                let seq = if *ahead { next.wrapping_add(*by) } else { next.wrapping_sub(*by) };
                if forge && (half == half::REQUEST || wire.said[1] > 0) {
                    wire.segment(half, seq, next, [REQUEST, ACCEPTED, FROM_SERVER][*what]);
                }
            };
            spoof(&mut wire);
            wire.say(half::REQUEST, REQUEST, &whole());
            spoof(&mut wire);
            wire.say(half::RESPONSE, &ACCEPTED[..50], &whole());
            spoof(&mut wire);
            wire.say(half::RESPONSE, &ACCEPTED[50..], &whole());
            spoof(&mut wire);
            wire.say(half::REQUEST, FROM_CLIENT, &whole());
            spoof(&mut wire);
            wire.say(half::RESPONSE, FROM_SERVER, &whole());
            (wire.codes(), wire.host.asked)
        };
        prop_assert_eq!(play(true), play(false));
    }

    #[test]
    fn any_bytes_are_taken_and_the_caps_hold(
        segments in prop::collection::vec(
            (any::<bool>(), any::<u32>(), any::<u32>(), 0..10_usize, prop::collection::vec(any::<u8>(), 0..300), any::<bool>()),
            1..30,
        ),
        near: bool,
    ) {
        let mut wire = Wire::new([0; 2]);
        for (response, seq, received, what, bytes, fin) in segments {
            let words = [REQUEST, ACCEPTED, ORDINARY, FOUND, b"HTTP/1.1 ", b"\r\n\r\n", b"GET ", b"websocket"];
            let bytes = words.get(what).map_or(bytes, |word| word.to_vec());
            let half = if response { half::RESPONSE } else { half::REQUEST };
            let (seq, received) = if near { (seq % 1000, received % 1000) } else { (seq, received) };
            wire.segment(half, seq, received, &bytes);
            if fin {
                let words = (wire.request.word, wire.response.word);
                let segment = Segment { seq, received, now_ns: 7 };
                observe::ending(&mut wire.host, half, words, wire.request.next, &segment, response);
            }
        }
        let mut sent = std::collections::BTreeMap::new();
        for (epoch, _, bytes) in &wire.host.asked.sent[0] {
            *sent.entry(*epoch).or_insert(0) += bytes.len();
        }
        prop_assert!(sent.values().all(|sent| *sent <= HEAD_CAP as usize));
    }
}

#[test]
fn a_handshake_byte_by_byte_is_walked_without_losing_the_place() {
    let mut wire = Wire::new([5, 6]);
    let bytes = Network::in_order(vec![1]);
    wire.say(half::REQUEST, ORDINARY, &bytes);
    wire.say(half::RESPONSE, FOUND, &bytes);
    wire.say(half::REQUEST, REQUEST, &bytes);
    wire.say(half::RESPONSE, ACCEPTED, &bytes);
    wire.say(half::REQUEST, FROM_CLIENT, &bytes);
    wire.say(half::RESPONSE, FROM_SERVER, &bytes);
    assert_eq!(wire.codes(), (CODES, false));
    assert_eq!(wire.together(half::REQUEST, ORDINARY.len()).unwrap(), REQUEST);
    assert_eq!(wire.together(half::RESPONSE, FOUND.len()).unwrap(), ACCEPTED);
}

#[test]
fn ordinary_requests_are_not_sent() {
    let mut wire = Wire::new([5, 6]);
    for _ in 0..10 {
        wire.say(half::REQUEST, ORDINARY, &whole());
        wire.say(half::RESPONSE, FOUND, &whole());
    }
    assert_eq!(wire.host.asked, Asked::default());
}

#[test]
fn an_ordinary_request_pipelined_before_the_handshake_is_sent_with_it() {
    let mut wire = Wire::new([5, 6]);
    let both = [ORDINARY, REQUEST].concat();
    wire.say(half::REQUEST, &both, &whole());
    wire.say(half::RESPONSE, FOUND, &whole());
    wire.say(half::RESPONSE, ACCEPTED, &whole());
    wire.say(half::REQUEST, FROM_CLIENT, &whole());
    wire.say(half::RESPONSE, FROM_SERVER, &whole());
    assert_eq!(wire.together(half::REQUEST, 0).unwrap(), both);
    assert_eq!(wire.codes(), (CODES, false));
}

#[test]
fn early_frames_behind_the_head_are_walked() {
    for (glued, cut) in [(true, WHOLE), (false, WHOLE), (false, 1)] {
        let mut wire = Wire::new([5, 6]);
        if glued {
            wire.say(half::REQUEST, &[REQUEST, FROM_CLIENT].concat(), &whole());
        } else {
            wire.say(half::REQUEST, REQUEST, &whole());
            wire.say(half::REQUEST, FROM_CLIENT, &Network::in_order(vec![cut]));
        }
        wire.say(half::RESPONSE, &[ACCEPTED, FROM_SERVER].concat(), &whole());
        assert_eq!(wire.codes(), (CODES, false), "{glued} {cut}");
    }
}

#[test]
fn a_preamble_may_come_with_the_request() {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x9c\x40\0\x50";
    for preamble in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n"[..], v2] {
        let mut wire = Wire::new([5, 6]);
        let both = [preamble, REQUEST].concat();
        wire.say(half::REQUEST, &both, &whole());
        wire.say(half::RESPONSE, ACCEPTED, &whole());
        wire.say(half::REQUEST, FROM_CLIENT, &whole());
        wire.say(half::RESPONSE, FROM_SERVER, &whole());
        assert_eq!(wire.together(half::REQUEST, 0).unwrap(), both);
        assert_eq!(wire.codes(), (CODES, false));
    }
}

#[test]
fn a_head_is_sent_up_to_its_cap_and_an_answer_up_to_its() {
    let mut wire = Wire::new([5, 6]);
    let head = long(REQUEST, 200_000);
    wire.say(half::REQUEST, &head, &Network::in_order(vec![1448]));
    let body = [REFUSED, &vec![b'x'; 100_000]].concat();
    wire.say(half::RESPONSE, &body, &Network::in_order(vec![1448]));
    assert_eq!(wire.together(half::REQUEST, 0).unwrap(), head[..HEAD_CAP as usize]);
    assert!(wire.host.asked.truncated);
    assert_eq!(wire.together(half::RESPONSE, 0).unwrap(), body[..REST_CAP as usize]);
}

#[test]
fn what_is_no_status_line_opens_nothing() {
    // Digits by their bytes' sums, and text where a status code would be.
    for answer in [
        &b"HTTP/1.1 09; no\r\n\r\nxx"[..],
        b"hello you 101 times\r\n\r\nxx",
        b"SSH-2.0-a 101\r\n\r\n",
    ] {
        for cut in [WHOLE, 1] {
            let mut wire = Wire::new([5, 6]);
            wire.say(half::REQUEST, REQUEST, &whole());
            wire.say(half::RESPONSE, answer, &Network::in_order(vec![cut]));
            assert_eq!(wire.host.asked.opened, 0);
        }
    }
}

#[test]
fn a_client_that_sends_nothing_after_the_101_ends_in_its_place() {
    let mut wire = Wire::new([5, 6]);
    wire.say(half::REQUEST, REQUEST, &whole());
    wire.say(half::RESPONSE, &[ACCEPTED, b"\x81\x02hi"].concat(), &whole());
    let (request, response) = (wire.request.word, wire.response.word);
    assert!(observe::is_walked(half::RESPONSE, request, response), "the short way");
    assert!(!observe::is_walked(half::REQUEST, request, response), "where it begins is not known");
    wire.fin(half::REQUEST, true);
    assert_eq!(wire.codes(), ((0, 0), false));
    assert_eq!(wire.host.asked.summaries, [(Kind::Ending as u8, half::REQUEST)]);
}

#[test]
fn the_word_is_found_wherever_it_stands() {
    for word in ["websocket", "WebSocket", "WEBSOCKET"] {
        for before in (0..1100).chain(4080..4088) {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(word.as_bytes());
            for behind in [0, 1, 130] {
                let bytes = [&bytes[..], &vec![b'y'; behind]].concat();
                assert!(bytes[..].names_websocket(0), "{before}, {behind}");
                assert!(bytes[..].names_websocket(before as u32), "{before}, {behind}");
                assert!(!bytes[..].names_websocket(before as u32 + 1), "{before}, {behind}");
            }
        }
    }
}

#[test]
fn what_only_begins_and_ends_like_the_word_is_not_the_word() {
    for other in [
        "wxxxxxxxt",
        "websocke",
        "websockey",
        "ebsocket",
        "web-socket",
        "wexsocket",
        "webxocket",
        "websocxet",
        "w\u{e9}bsocket",
        "websockewebsockewxxxxxxxt",
    ] {
        for before in (0..130).chain(980..1030) {
            let text = " ".repeat(before) + other + &" ".repeat(40);
            assert!(!text.as_bytes().names_websocket(0), "{other}, {before}");
        }
    }
}

#[test]
fn a_plain_get_is_one_whole_head_without_the_word() {
    for len in (18..1100).chain([4090, 4096, 4097, 9000]) {
        let get = [b"GET ", &vec![b'x'; len - 8][..], b"\r\n\r\n"].concat();
        assert_eq!(scan::is_plain_get(&get[..]), len <= scan::SCAN as usize, "{len}");
        assert!(!scan::is_plain_get(&get[..len - 1]), "{len}, cut");
        assert!(!scan::is_plain_get(&[&get[..], b"x"].concat()[..]), "{len}, with more behind it");
        assert!(!scan::is_plain_get(&[b"P", &get[1..]].concat()[..]), "{len}, another method");
        for at in 4..=len - 13 {
            let mut other = get.clone();
            other[at..at + 9].copy_from_slice(b"WebSocket");
            assert!(!scan::is_plain_get(&other[..]), "{len}, {at}");
            other[at + 3] = b'-';
            assert_eq!(scan::is_plain_get(&other[..]), len <= scan::SCAN as usize, "{len}, {at}");
        }
    }
}

/// What each half of a connection said, in order.
type Before<'a> = &'a [(u8, &'a [u8])];

/// A connection on which `before` was said, and whether a segment is then a simple GET.
fn simple(before: Before<'_>, at: i32, received: i32, bytes: &[u8]) -> (Wire, Segment, bool) {
    let mut wire = Wire::new([7, 9]);
    for (half, bytes) in before {
        wire.say(*half, bytes, &whole());
    }
    let next = wire.seq(half::REQUEST, 0);
    let segment = Segment {
        seq: next.wrapping_add_signed(at),
        received: next.wrapping_add_signed(received),
        now_ns: 7,
    };
    let simple = wire.request.awaits(wire.response.word, &segment) && scan::is_get(bytes);
    (wire, segment, simple)
}

/// What may come before a simple GET.
const ANSWERED: [Before<'static>; 3] = [
    &[],
    &[(half::REQUEST, ORDINARY), (half::RESPONSE, FOUND)],
    &[(half::REQUEST, REQUEST), (half::RESPONSE, REFUSED)],
];

/// As [`simple`], with the GET presumed to be a handshake.
fn presumed(before: Before<'_>, bytes: &[u8]) -> Wire {
    let (mut wire, segment, simple) = simple(before, 0, 0, bytes);
    assert!(simple);
    wire.request.presume(&segment, bytes.len() as u32);
    wire.said[0] += bytes.len();
    wire
}

/// The segment that a half says next is passed; whether it was.
fn answered(wire: &mut Wire, bytes: &[u8]) -> bool {
    let seq = wire.seq(half::RESPONSE, 0);
    let segment = Segment { seq, received: seq, now_ns: 7 };
    let passed = wire.response.pass(wire.request.word, &segment, bytes);
    if passed {
        wire.said[1] += bytes.len();
    }
    passed
}

/// The next handshake is told with an epoch of its own, and its 101 is followed.
fn goes_on(wire: &mut Wire, epoch: u16) {
    let from = wire.said[0];
    wire.say(half::REQUEST, REQUEST, &whole());
    assert_eq!(wire.together(half::REQUEST, from).as_deref(), Some(REQUEST));
    assert_eq!(wire.request.word as u16, epoch);
    wire.say(half::RESPONSE, ACCEPTED, &whole());
    wire.say(half::REQUEST, FROM_CLIENT, &whole());
    wire.say(half::RESPONSE, FROM_SERVER, &whole());
    assert_eq!((wire.host.asked.opened, wire.codes()), (1, (CODES, false)));
}

#[test]
fn a_get_that_is_presumed_is_a_handshake_to_what_comes_behind_it() {
    for before in ANSWERED {
        // Its 101 is followed.
        let mut wire = presumed(before, REQUEST);
        assert!(!answered(&mut wire, ACCEPTED));
        wire.say(half::RESPONSE, ACCEPTED, &whole());
        wire.say(half::REQUEST, FROM_CLIENT, &whole());
        wire.say(half::RESPONSE, FROM_SERVER, &whole());
        assert_eq!((wire.host.asked.opened, wire.codes()), (1, (CODES, false)));

        // Behind any other answer, seen or passed, the next one is.
        for passes in [false, true] {
            let mut wire = presumed(before, ORDINARY);
            let epoch = wire.request.word as u16;
            if passes {
                assert!(answered(&mut wire, REFUSED));
                assert!(answered(&mut wire, b"more of its content"));
            } else {
                wire.say(half::RESPONSE, REFUSED, &whole());
            }
            goes_on(&mut wire, epoch + 1);
        }
    }
}

#[test]
fn an_ordinary_get_that_passes_leaves_the_half_as_the_machine_does() {
    for before in ANSWERED {
        let (mut wire, segment, _) = simple(before, 0, 0, ORDINARY);
        let (mut machine, ..) = simple(before, 0, 0, ORDINARY);
        wire.request.pass(&segment, ORDINARY.len() as u32);
        wire.said[0] += ORDINARY.len();
        machine.say(half::REQUEST, ORDINARY, &whole());
        assert_eq!(format!("{:?}", wire.request), format!("{:?}", machine.request));
        let epoch = wire.request.word as u16;
        wire.say(half::RESPONSE, FOUND, &whole());
        goes_on(&mut wire, epoch + 1);
    }
}

#[test]
fn what_is_not_that_simple_is_not_passed() {
    let post = b"POST /chat HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let cases: [(Before<'_>, i32, i32, &[u8]); 8] = [
        (&[], 0, 0, post),
        (&[], 0, 0, &REQUEST[..REQUEST.len() - 1]),
        // Sent again, ahead of its turn, behind bytes that nobody saw.
        (&[], -10, 0, REQUEST),
        (&[], 10, 0, REQUEST),
        (&[], 10, 10, REQUEST),
        // Under way, in content, after a 101.
        (&[(half::REQUEST, REQUEST)], 0, 0, REQUEST),
        (&[(half::REQUEST, post)], 0, 0, REQUEST),
        (&[(half::REQUEST, REQUEST), (half::RESPONSE, ACCEPTED)], 0, 0, REQUEST),
    ];
    for (number, (before, at, received, bytes)) in cases.into_iter().enumerate() {
        assert!(!simple(before, at, received, bytes).2, "case {number}");
    }
    // Of answers: interim ones, what is short, and content where a head should be.
    for answer in [b"HTTP/1.1 100 Continue\r\n\r\n", &REFUSED[..11], b"no head, content"] {
        let mut wire = presumed(&[], REQUEST);
        let before = format!("{:?}", wire.response);
        assert!(!answered(&mut wire, answer));
        assert_eq!(before, format!("{:?}", wire.response));
    }
    // Another answer behind the first may be a 101.
    let mut wire = presumed(&[], ORDINARY);
    assert!(answered(&mut wire, FOUND) && !answered(&mut wire, ACCEPTED));
}

#[test]
fn a_fin_ahead_of_other_bytes_is_told_as_such_and_an_rst_is_not() {
    for (rst, ahead, told) in
        [(false, 10, true), (true, 10, false), (false, 1 << 20, false), (false, -10, false)]
    {
        let mut wire = Wire::new([1, 1]);
        wire.say(half::REQUEST, REQUEST, &whole());
        wire.say(half::RESPONSE, ACCEPTED, &whole());
        let before = wire.host.asked.summaries.len();
        let received = wire.seq(half::RESPONSE, 0);
        let seq = received.wrapping_add_signed(ahead);
        let segment = Segment { seq, received, now_ns: 7 };
        let words = (wire.request.word, wire.response.word);
        observe::ending(&mut wire.host, half::RESPONSE, words, received, &segment, rst);
        let expected = told.then_some((Kind::EarlyFin as u8, half::RESPONSE));
        assert_eq!(wire.host.asked.summaries[before..], Vec::from_iter(expected), "{rst} {ahead}");
    }
}

#[test]
fn the_preface_of_http2_is_told_with_what_the_server_says_first_and_no_more() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01";
    let frame = b"\0\0\x04\x08\0\0\0\0\0\0\0\x7f\xff";
    // The client's own SETTINGS come with the preface or behind it.
    for glued in [true, false] {
        let mut wire = Wire::new([5, 6]);
        if glued {
            wire.say(half::REQUEST, &[&preface[..], settings].concat(), &whole());
        } else {
            wire.say(half::REQUEST, preface, &whole());
            wire.say(half::REQUEST, settings, &whole());
        }
        wire.say(half::RESPONSE, settings, &whole());
        let answered = wire.host.asked.sent[1].len();
        for _ in 0..20 {
            wire.say(half::REQUEST, frame, &whole());
            wire.say(half::RESPONSE, &frame.repeat(100), &whole());
        }
        assert!(wire.together(half::REQUEST, 0).unwrap().starts_with(preface));
        assert_eq!(wire.together(half::RESPONSE, 0).unwrap(), settings);
        assert_eq!((answered, wire.host.asked.sent[1].len()), (1, 1), "nothing of its streams");
        assert_eq!(wire.host.asked.opened, 0);
        assert!(wire.host.asked.sent[0].len() <= 2, "{:?}", wire.host.asked.sent[0]);
    }
}
