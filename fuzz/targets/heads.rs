//! The stream machine around the 101: any segments of both halves, at any sequence numbers.
//!
//! It must ask for nothing that is not in the segment, keep its caps, and open a connection only behind a
//! status line that says 101.
#![no_main]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fuzz target that cannot go on crashes"
)]

mod wire;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use wire::Input;
use wstap_common::{
    frame::Walk,
    payload::Payload,
    record::{Kind, half, half_flags},
    stream::{
        HEAD_CAP, NO_FRAMES, REST_CAP, RequestHalf, ResponseHalf, Segment, Step,
        observe::{self, Host, Interest},
    },
};

const WORDS: [&[u8]; 12] = [
    b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET ",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 ",
    b"\r\n\r\n",
    b"websocket",
    b"\x81\x85\0\0\0\0hello",
    b"\x81\x05hello",
    b"\x88\x02\x03\xe8",
];

/// What the machine asked for.
#[derive(Default)]
struct Hook {
    len: u32,
    walks: Option<[Walk; 2]>,
    opened: u32,
    /// Bytes sent of each half and epoch.
    sent: BTreeMap<(u8, u16), u32>,
}

impl Host for Hook {
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step) {
        assert!(step.len > 0 && step.from + step.len <= self.len, "bytes that are not there");
        let sent = self.sent.entry((half, epoch)).or_default();
        *sent += step.len;
        assert!(half == half::RESPONSE || *sent <= HEAD_CAP, "more than the cap");
        assert!(step.len <= HEAD_CAP.max(REST_CAP));
    }

    fn send_summary(&mut self, _: Kind, _: u8, _: u16, _: bool) {}

    fn walk<P: Payload + ?Sized>(
        &mut self,
        half: u8,
        step: &Step,
        segment: &Segment,
        payload: &P,
    ) -> bool {
        assert!(step.frames <= self.len || step.frames == NO_FRAMES);
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
        self.opened += 1;
    }

    fn is_open(&mut self) -> bool {
        self.opened > 0
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut request = RequestHalf::new(0);
    let mut response = ResponseHalf::default();
    let mut host = Hook::default();
    let mut next = [0_u32; 2];
    let mut answers = Vec::new();
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        let what = input.byte();
        let of = what & 1;
        let at = usize::from(of);
        let seq = match what >> 1 & 7 {
            0 => next[at].wrapping_add(u32::from(input.byte())),
            1 => next[at].wrapping_sub(u32::from(input.byte())),
            2 => u32::from_be_bytes([input.byte(), input.byte(), input.byte(), input.byte()]),
            _ => next[at],
        };
        let received = if what & 16 != 0 { seq } else { next[at] };
        let bytes = if let Some(word) = WORDS.get(usize::from(input.byte())) {
            let cut = usize::from(input.byte());
            word.get(..cut).unwrap_or(word)
        } else {
            let len = input.length();
            input.bytes(len)
        };
        let segment = Segment { seq, received, now_ns: 7 };
        host.len = bytes.len() as u32;
        if of == half::RESPONSE {
            answers.extend_from_slice(bytes);
        }
        let words = (request.word, response.word);
        if bytes.is_empty() {
            let from = if of == half::REQUEST { request.next } else { response.next };
            observe::ending(&mut host, of, words, from, &segment, what & 32 != 0);
        } else if observe::is_walked(of, words.0, words.1) {
            let step = Step { frames: 0, ..Step::NONE };
            host.walk(of, &step, &segment, bytes);
        } else if of == half::REQUEST {
            let other = (response.word, response.answers);
            observe::request_data(&mut host, &mut request, other, &segment, bytes);
        } else {
            observe::response_data(&mut host, &mut response, request.word, &segment, bytes);
        }
        let _: Interest = observe::interest(request.word, response.word, what & 64 != 0);
        next[at] = next[at].max(seq.wrapping_add(bytes.len() as u32));
    }
    if host.opened > 0 {
        let says = |word: &[u8]| answers.windows(word.len()).any(|bytes| bytes == word);
        assert!(says(b"1"), "opened without a 101");
    }
    for walk in host.walks.iter().flatten() {
        let said = walk.summary();
        let flags = half_flags::LOST_PLACE
            | half_flags::UNSYNCHRONISED
            | half_flags::FIN
            | half_flags::RST
            | half_flags::RSV1;
        assert_eq!(said.flags & !flags, 0, "inner flags are told");
        assert!(said.close_code == 0 || said.violation == 0, "a broken rule and a close frame");
    }
});
