//! Connections whose 101 was not seen: those that carry frames are recognised, and nothing else is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};
use wstap_common::{
    frame::Walk,
    stream::{
        Segment, Step,
        older::{ENOUGH, Evidence, FRAMES, MASKED, whole_frames},
    },
};

/// A connection between two ends; a segment is who sends it and what.
#[derive(Default)]
struct Connection {
    evidence: [Evidence; 2],
    next: [u32; 2],
    /// The client and the walks of both ends, once it was recognised.
    found: Option<(usize, [Walk; 2])>,
}

impl Connection {
    fn new(next: [u32; 2]) -> Self {
        Self { next, ..Self::default() }
    }

    /// As the hook in the kernel does it.
    fn segment(&mut self, end: usize, bytes: &[u8]) {
        let (seq, other) = (self.next[end], 1 - end);
        if self.found.is_none()
            && let Some(masked) = whole_frames(bytes)
        {
            let masked = masked == MASKED;
            self.evidence[end] = self.evidence[end].take(seq, bytes.len() as u32, masked);
            if self.evidence[end].is_enough(self.evidence[other], self.next[other]) {
                let mut walks = [Walk::default(); 2];
                walks[end].find(seq);
                walks[other].find(self.next[other]);
                self.found = Some((if masked { end } else { other }, walks));
            }
        }
        if let Some((client, walks)) = &mut self.found {
            let step = Step { frames: 0, ..Step::NONE };
            let segment = Segment { seq, received: seq, now_ns: 7 };
            walks[end].segment(&step, &segment, bytes, end == *client);
        }
        self.next[end] = seq.wrapping_add(bytes.len() as u32);
    }
}

fn frame(opcode: OpCode, last: bool, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader { is_final: last, opcode, mask, ..FrameHeader::default() };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

const TEXT: OpCode = OpCode::Data(Data::Text);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);
const CLOSE: OpCode = OpCode::Control(Control::Close);
const MASK: Option<[u8; 4]> = Some([7, 1, 2, 250]);

fn text(len: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    frame(TEXT, true, &vec![b'x'; len], mask)
}

/// One write of an end: frames one behind the other.
fn write() -> impl Strategy<Value = (bool, Vec<usize>)> {
    let edges = prop_oneof![Just(125), Just(126), Just(65_535), Just(65_536)];
    let len = prop_oneof![20 => 0_usize..140, 1 => edges];
    (any::<bool>(), prop::collection::vec(len, 1..=FRAMES as usize))
}

/// What an end of some other protocol sends in one write.
fn other(kind: usize, seed: &[u8]) -> Vec<u8> {
    let len = seed.len();
    match kind {
        // A length, and so many bytes: of one byte, of two, of four.
        0 => [&[len as u8], seed].concat(),
        1 => [&(len as u16).to_be_bytes(), seed].concat(),
        2 => [&(len as u32).to_be_bytes(), seed].concat(),
        // A type and a length, with and without a key of four bytes.
        3 => [&[0x81, len as u8], seed].concat(),
        4 => [&[0x82, 0x80 | len as u8, 1, 2, 3, 4], seed].concat(),
        // TLS application data, Redis, PostgreSQL, memcached, MQTT.
        5 => [&[0x17, 3, 3], &(len as u16).to_be_bytes()[..], seed].concat(),
        6 => [b"$", format!("{len}\r\n").as_bytes(), seed, b"\r\n"].concat(),
        7 => [b"D", &(len as u32 + 4).to_be_bytes()[..], seed].concat(),
        8 => [&[0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, len as u8], &[0; 12][..], seed].concat(),
        9 => [&[0x82, len as u8], seed].concat(),
        _ => seed.to_vec(),
    }
}

/// The last kind of [`other`].
const RANDOM: usize = 10;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_both_ways_are_recognised_and_the_close_code_is_right(
        next: [u32; 2],
        writes in prop::collection::vec(write(), 4..20),
        client in 0..2_usize,
        code in prop_oneof![1000_u16..1004, 1007_u16..1015, 3000_u16..5000],
    ) {
        let mut connection = Connection::new(next);
        let (mut ways, mut so_far) = ([0_u8; 2], 0);
        for (by_client, lens) in &writes {
            let end = if *by_client { client } else { 1 - client };
            let mask = by_client.then_some([7, 1, 2, 250]);
            let bytes: Vec<u8> = lens.iter().flat_map(|len| text(*len, mask)).collect();
            connection.segment(end, &bytes);
            ways[end] += 1;
            so_far += 1;
            let enough = so_far >= ENOUGH && ways.iter().all(|way| *way > 0);
            prop_assert_eq!(connection.found.is_some(), enough);
        }
        let closer = usize::from(code % 2 == 0);
        let mask = if closer == client { MASK } else { None };
        connection.segment(closer, &frame(CLOSE, true, &code.to_be_bytes(), mask));
        if let Some((found, walks)) = connection.found {
            prop_assert_eq!(found, client);
            prop_assert_eq!(walks[closer].summary().close_code, code);
            prop_assert_eq!(walks[1 - closer].summary().close_code, 0);
            prop_assert!(walks.iter().all(|walk| walk.summary().violation == 0 && walk.summary().flags == 0));
        }
    }

    #[test]
    fn other_protocols_are_not_recognised(
        next: [u32; 2],
        kinds in [0..=RANDOM, 0..=RANDOM],
        writes in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..126)), 1..100),
    ) {
        // Only the kinds that are frames in all but name may be taken for them; of random bytes a segment may be one by
        // chance, and one is enough beside the other end's.
        prop_assume!(!matches!(kinds, [3 | 9, 4 | RANDOM] | [4 | RANDOM, 3 | 9] | [4, RANDOM] | [RANDOM, 4]));
        let mut connection = Connection::new(next);
        for (first, seed) in writes {
            let end = usize::from(first);
            connection.segment(end, &other(kinds[end], &seed));
        }
        prop_assert!(connection.found.is_none());
    }

    #[test]
    fn cut_frames_are_not_followed_before_they_are_whole(
        next: [u32; 2],
        cut in 1..400_usize,
        rounds in 1..20_usize,
    ) {
        // Each write in two segments: nothing ever begins and ends with one.
        let mut connection = Connection::new(next);
        for round in 0..rounds {
            let bytes = text(400, (round % 2 == 0).then_some([7, 1, 2, 250]));
            connection.segment(round % 2, &bytes[..cut]);
            connection.segment(round % 2, &bytes[cut..]);
        }
        prop_assert!(connection.found.is_none());
    }
}

#[test]
fn bytes_that_were_not_judged_begin_the_evidence_anew() {
    let mut connection = Connection::new([5, 6]);
    for _ in 0..3 {
        connection.segment(0, &text(5, MASK));
    }
    connection.segment(1, &text(5, None));
    assert!(connection.found.is_some());
    // Half a frame of the other end: where its next one begins is not known.
    let mut connection = Connection::new([5, 6]);
    connection.segment(1, &text(5, None));
    connection.segment(1, &text(5, None)[..3]);
    for _ in 0..9 {
        connection.segment(0, &text(5, MASK));
    }
    assert!(connection.found.is_none());
    connection.segment(1, &text(5, None)[3..]);
    connection.segment(1, &text(5, None));
    assert!(connection.found.is_some());
}

#[test]
fn a_message_that_had_begun_before_is_no_broken_rule() {
    let mut connection = Connection::new([5, 6]);
    for _ in 0..3 {
        connection.segment(0, &frame(PING, true, b"", MASK));
        connection.segment(1, &frame(PING, true, b"", None));
    }
    connection.segment(0, &frame(CONTINUE, true, b"the rest", MASK));
    connection.segment(0, &text(3, MASK));
    let (_, walks) = connection.found.unwrap();
    let said = walks[0].summary();
    assert_eq!((said.violation, said.flags, said.messages), (0, 0, 2));
    // From then on the rule holds.
    connection.segment(0, &frame(CONTINUE, true, b"of nothing", MASK));
    let (_, walks) = connection.found.unwrap();
    assert_ne!(walks[0].summary().violation, 0);
}

#[test]
fn fragments_and_what_no_codec_sends_are_no_evidence() {
    for bytes in [
        frame(TEXT, false, b"begins", None),
        frame(CONTINUE, true, b"ends", None),
        // A length in more bytes than it needs, and one that is longer than the segment.
        b"\x81\x7e\0\x02hi".to_vec(),
        b"\x81\x7f\0\0\0\0\0\0\0\x02hi".to_vec(),
        b"\x81\x7f\x80\0\0\0\0\0\0\x02hi".to_vec(),
        [b"\x82\x7f\0\0\0\0\0\0\xff\xff".to_vec(), vec![0; 0xffff]].concat(),
        b"\x81\x03hi".to_vec(),
        b"\x81".to_vec(),
        // Reserved bits and opcodes, a compressed and a long control frame.
        b"\xa1\x02hi".to_vec(),
        b"\x83\x02hi".to_vec(),
        b"\xc9\x02hi".to_vec(),
        [&b"\x89\x7e\0\x80"[..], &[0; 128]].concat(),
        // Frames of both sides.
        [text(2, None), text(2, MASK)].concat(),
        text(0, None).repeat(FRAMES as usize + 1),
    ] {
        assert_eq!(whole_frames(bytes.as_slice()), None, "{bytes:x?}");
    }
    assert_eq!(whole_frames(b"\xc1\x02hi".as_slice()), Some(0), "permessage-deflate");
}

#[test]
fn three_segments_or_some_with_others_between_are_not_enough() {
    let mut connection = Connection::new([5, 6]);
    connection.segment(0, &text(5, MASK));
    connection.segment(1, &text(5, None));
    connection.segment(0, &text(5, MASK));
    assert!(connection.found.is_none());
    let one = Evidence::default().take(5, 7, true);
    assert_eq!(one.take(12, 7, true).segments, 2);
    assert_eq!(one.take(13, 7, true).segments, 1, "a byte between them was not judged");
    assert_eq!(one.take(12, 7, false).segments, 1, "another side's frames");
}
