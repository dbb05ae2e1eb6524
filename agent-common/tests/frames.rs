//! The frame walk against the frame codec of a WebSocket library: whatever the network does with the
//! segments, the walk says what the library says, or that it lost its place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a test that cannot go on fails"
)]

#[path = "wire/oracle.rs"]
mod oracle;
mod wire;

use oracle::{LOST, Truth, fits, in_order, truth, walk};
use proptest::prelude::*;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};
use wire::{Network, network};
use wstap_common::{
    frame::{STEPS, Violation, Walk},
    record::{HalfSummary, half_flags},
    stream::{Segment, Step},
};

/// One frame.
#[derive(Clone, Debug)]
struct Frame {
    opcode: OpCode,
    last: bool,
    payload: Vec<u8>,
}

impl Frame {
    fn control(kind: Control, payload: Vec<u8>) -> Self {
        Self { opcode: OpCode::Control(kind), last: true, payload }
    }

    fn encode(&self, mask: Option<[u8; 4]>, into: &mut Vec<u8>) {
        let header = FrameHeader {
            is_final: self.last,
            opcode: self.opcode,
            mask,
            ..FrameHeader::default()
        };
        header.format(self.payload.len() as u64, into).unwrap();
        let mask = mask.unwrap_or_default();
        into.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

fn payload(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        4 => prop_oneof![Just(0), Just(125), Just(126)],
        1 => prop_oneof![Just(65535), Just(65536), 0_usize..140_000],
        8 => 0_usize..30,
        8 => 0_usize..3000,
    ];
    (len.prop_map(move |len| len.min(max)), any::<u8>(), 0..4_u8).prop_map(|(len, seed, kind)| {
        let mut state = u32::from(seed) + 1;
        let random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        match kind {
            0 => vec![0; len],
            1 => vec![seed; len],
            2 => b"{\"type\":\"ping\",\"payload\":[1,2,3]}\r\n\r\n"
                .iter()
                .copied()
                .cycle()
                .take(len)
                .collect(),
            _ => std::iter::repeat_with(random).take(len).collect(),
        }
    })
}

fn control() -> impl Strategy<Value = Frame> {
    (any::<bool>(), payload(125)).prop_map(|(ping, payload)| {
        Frame::control(if ping { Control::Ping } else { Control::Pong }, payload)
    })
}

/// A message in fragments with control frames between them.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let part = || (payload(usize::MAX), prop::collection::vec(control(), 0..2));
    let parts = prop_oneof![3 => Just(1), 1 => 1_usize..4]
        .prop_flat_map(move |count| prop::collection::vec(part(), count));
    (any::<bool>(), parts).prop_map(|(text, parts)| {
        let first = if text { Data::Text } else { Data::Binary };
        let count = parts.len();
        let mut frames = Vec::new();
        for (index, (payload, controls)) in parts.into_iter().enumerate() {
            let opcode = OpCode::Data(if index == 0 { first } else { Data::Continue });
            frames.push(Frame { opcode, last: index + 1 == count, payload });
            frames.extend(controls);
        }
        frames
    })
}

fn close() -> impl Strategy<Value = Frame> {
    let code = prop_oneof![1000_u16..1004, 1007_u16..1015, 3000_u16..5000];
    prop::option::of((code, payload(123))).prop_map(|close| {
        let payload = close.map_or(Vec::new(), |(code, reason)| {
            [code.to_be_bytes().as_slice(), reason.as_slice()].concat()
        });
        Frame::control(Control::Close, payload)
    })
}

/// One direction's frames as bytes, and whether they are the client's.
fn half() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let frames = prop::collection::vec(
        prop_oneof![4 => message(), 1 => control().prop_map(|f| vec![f])],
        0..12,
    );
    (frames, prop::option::of(close()), any::<bool>(), any::<[u8; 4]>()).prop_map(
        |(frames, close, client, mask)| {
            let mut stream = Vec::new();
            for frame in frames.into_iter().flatten().chain(close) {
                frame.encode(client.then_some(mask), &mut stream);
            }
            (stream, client)
        },
    )
}

/// As [`oracle::disagreement`], of streams that break no rule; what is told while the place is lost is a
/// lower bound, since no payload here looks like frames for long.
fn agrees(said: &HalfSummary, truth: &Truth) -> Result<(), TestCaseError> {
    prop_assert!(!truth.broken && said.violation == 0, "a rule that nobody broke");
    oracle::disagreement(said, truth).map_err(TestCaseError::fail)?;
    prop_assert!(said.messages <= truth.messages);
    prop_assert!(said.pings <= truth.pings && said.pongs <= truth.pongs);
    prop_assert!(said.close_code == 0 || said.close_code == truth.close, "{}", said.close_code);
    if truth.close != said.close_code {
        prop_assert!(said.flags & half_flags::LOST_PLACE != 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_order_the_walk_says_what_the_library_says(
        (stream, client) in half(),
        cuts in wire::cuts(),
        first: u32,
        glued in 0_usize..2000,
        incoming: bool,
    ) {
        let truth = truth(&stream, client);
        let passing = Network::in_order(cuts).carry(stream.len());
        let said = walk(&stream, &passing, client, first, glued, incoming);
        if fits(&passing, &truth.begins) {
            prop_assert_eq!(said.flags & LOST, 0);
        }
        agrees(&said, &truth)?;
    }

    #[test]
    fn repeated_and_reordered_segments_change_nothing_or_lose_the_place(
        (stream, client) in half(),
        network in network(false),
        first: u32,
        incoming: bool,
    ) {
        let truth = truth(&stream, client);
        let mut passing = network.carry(stream.len());
        if !incoming {
            // A sender passes its bytes in order, and some of them again.
            passing.sort_by_key(|segment| segment.to);
        }
        let said = walk(&stream, &passing, client, first, 0, incoming);
        if in_order(&passing) && fits(&passing, &truth.begins) {
            prop_assert_eq!(said.flags & LOST, 0);
        }
        agrees(&said, &truth)?;
    }

    #[test]
    fn bytes_that_were_never_seen_make_nothing_up(
        (stream, client) in half(),
        network in network(true),
        first: u32,
        incoming: bool,
    ) {
        let truth = truth(&stream, client);
        let mut passing = network.carry(stream.len());
        if !incoming {
            passing.sort_by_key(|segment| segment.to);
        }
        let said = walk(&stream, &passing, client, first, 0, incoming);
        if said.flags & LOST == 0 {
            // Only payload was missed.
            prop_assert_eq!(said.messages, truth.messages);
        }
        agrees(&said, &truth)?;
    }

    #[test]
    fn a_walk_that_joins_in_the_middle_makes_nothing_up(
        (stream, client) in half(),
        at: prop::sample::Index,
        cuts in wire::cuts(),
    ) {
        let truth = truth(&stream, client);
        let from = at.index(stream.len() + 1);
        let mut walk = Walk::default();
        for segment in Network::in_order(cuts).carry(stream.len() - from) {
            let (seq, bytes) = (segment.from as u32, &stream[from..][segment.from..segment.to]);
            let step = Step { frames: 0, join: segment.from == 0, ..Step::NONE };
            walk.segment(&step, &Segment { seq, received: seq, now_ns: 7 }, bytes, client);
        }
        let said = walk.summary();
        prop_assert!(from == stream.len() || said.flags & half_flags::LOST_PLACE != 0);
        if from < stream.len() {
            agrees(&said, &truth)?;
        }
    }

    #[test]
    fn any_bytes_are_taken(
        segments in prop::collection::vec((any::<u32>(), any::<u32>(), payload(3000), any::<(bool, bool)>(), 0_u32..20), 1..20),
        near: bool,
        client: bool,
    ) {
        let mut walk = Walk::default();
        let mut bytes = 0;
        for (seq, received, payload, (begin, join), frames) in segments {
            let (seq, received) = if near { (seq % 5000, received % 5000) } else { (seq, received) };
            let step = Step { frames, begin, join, ..Step::NONE };
            let told = walk.segment(&step, &Segment { seq, received, now_ns: 7 }, payload.as_slice(), client);
            bytes += payload.len() as u32;
            let said = walk.summary();
            prop_assert!(!told || said.close_code != 0 || said.violation != 0);
            prop_assert!(said.messages <= bytes && u32::from(said.pings) + u32::from(said.pongs) <= bytes);
            prop_assert!(said.violation == 0 || Violation::from_wire(said.violation).is_some());
        }
    }
}

/// What one segment of bytes at a frame's beginning says.
fn of(bytes: &[u8], client: bool) -> HalfSummary {
    let step = Step { frames: 0, begin: true, ..Step::NONE };
    let mut walk = Walk::default();
    walk.segment(&step, &Segment { seq: 0, received: 0, now_ns: 7 }, bytes, client);
    walk.summary()
}

#[test]
fn each_rule_that_is_broken_is_named_however_the_header_is_cut() {
    for (bytes, client, rule) in [
        (&b"\x81\x80abcd"[..], false, Violation::MaskedFromServer),
        (b"\x81\x02hi", true, Violation::UnmaskedFromClient),
        (b"\xa1\x02hi", false, Violation::ReservedBits),
        (b"\x91\x02hi", false, Violation::ReservedBits),
        (b"\xc9\x02hi", false, Violation::ReservedBits),
        (b"\x83\x02hi", false, Violation::ReservedOpcode),
        (b"\x8b\x02hi", false, Violation::ReservedOpcode),
        (b"\x09\x02hi", false, Violation::BadControlFrame),
        (b"\x89\x7e\x00\x80", false, Violation::BadControlFrame),
        (b"HTTP/1.1 502 Bad Gateway", false, Violation::HttpHead),
        (b"\x88\x02\x00\x00", false, Violation::BadCloseFrame),
        (b"\x88\x02\x03\xed", false, Violation::BadCloseFrame),
        (b"\x88\x02\x13\x88", false, Violation::BadCloseFrame),
        (b"\x88\x01\x03", false, Violation::BadCloseFrame),
        (b"\x80\x02hi", false, Violation::BadFragmentation),
        (b"\x01\x02hi\x81\x02hi", false, Violation::BadFragmentation),
    ] {
        let said = of(bytes, client);
        assert_eq!(Violation::from_wire(said.violation), Some(rule), "{bytes:x?}");
        assert_eq!(said.close_code, 0);
        let mut walk = Walk::default();
        for (at, byte) in bytes.iter().enumerate() {
            let step = Step { frames: 0, begin: at == 0, ..Step::NONE };
            let segment = Segment { seq: at as u32, received: at as u32, now_ns: 7 };
            walk.segment(&step, &segment, [*byte].as_slice(), client);
        }
        assert_eq!(walk.summary().violation, rule as u8, "{bytes:x?}, byte by byte");
    }
}

#[test]
fn a_close_frame_behind_bytes_that_were_never_seen_is_not_made_up_from_payload() {
    // A big message of which a part was never seen; what follows looks like close frames.
    let mut walk = Walk::default();
    let mut pass = |seq: u32, bytes: &[u8], begin| {
        let step = Step { frames: 0, begin, ..Step::NONE };
        walk.segment(&step, &Segment { seq, received: seq, now_ns: 7 }, bytes, false);
    };
    pass(0, b"\x81\x05hello", true);
    for at in 0..20 {
        pass(100 + at * 4, b"\x88\x02\x03\xe8", false);
    }
    let said = walk.summary();
    assert_eq!(said.close_code, 0);
    assert_ne!(said.flags & half_flags::UNSYNCHRONISED, 0);
}

#[test]
fn a_lost_place_is_found_again_behind_whole_frames() {
    let mut walk = Walk::default();
    let mut seq = 0;
    let mut pass = |gap: u32, bytes: &[u8], begin| {
        let step = Step { frames: 0, begin, ..Step::NONE };
        seq += gap;
        walk.segment(&step, &Segment { seq, received: seq, now_ns: 7 }, bytes, false);
        seq += bytes.len() as u32;
        walk.summary()
    };
    pass(0, b"\x81\x05hello", true);
    assert_ne!(pass(9, b"\x81\x05hello", false).flags & half_flags::UNSYNCHRONISED, 0);
    for _ in 0..3 {
        pass(0, b"\x81\x05hello\x82\x00", false);
    }
    let said = pass(0, b"\x88\x02\x03\xe9", false);
    assert_eq!(said.flags & LOST, half_flags::LOST_PLACE);
    assert_eq!(said.close_code, 1001);
}

#[test]
fn a_fin_ahead_of_the_walk_says_that_the_end_was_not_seen() {
    let mut walk = Walk::default();
    let step = Step { frames: 0, begin: true, ..Step::NONE };
    walk.segment(
        &step,
        &Segment { seq: 0, received: 0, now_ns: 7 },
        b"\x81\x02hi".as_slice(),
        false,
    );
    walk.ended(true, false);
    walk.ended(false, true);
    let said = walk.summary();
    assert_eq!(said.flags, LOST | half_flags::FIN | half_flags::RST);
}

/// A walk that takes segments in order.
#[derive(Default)]
struct InOrder {
    walk: Walk,
    seq: u32,
}

impl InOrder {
    fn pass(&mut self, bytes: &[u8]) -> HalfSummary {
        let step = Step { frames: 0, begin: !self.walk.is_started(), ..Step::NONE };
        let segment = Segment { seq: self.seq, received: self.seq, now_ns: 7 };
        self.walk.segment(&step, &segment, bytes, false);
        self.seq += bytes.len() as u32;
        self.walk.summary()
    }
}

#[test]
fn a_burst_of_more_frames_than_steps_is_no_evidence_of_a_frames_beginning() {
    let frame = b"\x81\x02hi";
    let burst = frame.repeat(STEPS as usize + 1);
    let mut half = InOrder::default();
    // The last few are read byte by byte.
    assert_eq!(half.pass(&frame.repeat(STEPS as usize - 10)).flags, 0);
    assert_eq!(half.pass(&burst).flags, LOST);
    assert_eq!(half.pass(frame).flags, LOST);
    assert_eq!(half.pass(frame).flags, LOST);
    // Again: what came before it counts no longer.
    assert_eq!(half.pass(&burst).flags, LOST);
    assert_eq!(half.pass(frame).flags, LOST);
    assert_eq!(half.pass(frame).flags, LOST);
    assert_eq!(half.pass(frame).flags, half_flags::LOST_PLACE);
    assert_eq!(half.pass(b"\x88\x02\x03\xe9").close_code, 1001);
}

/// A segment that comes while another is in the walk: what is said in the end.
fn at_once(first: &[u8], at_once: &[u8], behind: &[u8]) -> (HalfSummary, u32) {
    let add = |word: &mut u32, number: u32| *word = word.wrapping_add(number);
    let mut half = InOrder::default();
    half.pass(b"\x81\x02hi");
    assert!(half.walk.lock.try_lock(add));
    assert!(!half.walk.lock.try_lock(add), "the second is not walked");
    half.pass(first);
    half.walk.lock.unlock(add);
    half.seq += at_once.len() as u32;
    assert!(half.walk.lock.try_lock(add), "nobody is in it");
    let said = half.pass(behind);
    half.walk.lock.unlock(add);
    (said, half.walk.next())
}

#[test]
fn of_two_segments_in_the_walk_at_once_one_is_as_if_it_was_not_seen() {
    let frame = b"\x81\x05hello";
    // A frame's beginning may be among what was not walked.
    let (said, next) = at_once(frame, b"\x81\x05hel", b"lo\x88\x02\x03\xe8");
    assert_eq!((said.messages, said.close_code, said.violation, said.flags), (2, 0, 0, LOST));
    assert_eq!(next, 4 + 7 + 5 + 6);
    // It was payload.
    let (said, _) = at_once(b"\x81\x0fhello", b"hello", b"hello\x81\x02hi");
    assert_eq!((said.messages, said.flags), (3, 0));
}

#[test]
fn the_quick_way_is_for_what_is_next_in_line_and_one_frame() {
    let long = |len: usize| [b"\x82\x7e\x10\x00".as_slice(), &vec![b'x'; len]].concat();
    let masked = [b"\x82\xa0abcd".as_slice(), &[0; 32]].concat();
    for (before, bytes, client, taken) in [
        (&b"\x81\x05hello"[..], &b"\x81\x05hello"[..], false, true),
        (b"", &masked, true, true),
        (b"", b"\x89\x02hi", false, true),
        (b"", b"\xc1\x02hi", false, true),
        // The beginning of a frame, its middle and its end.
        (b"", &long(1000), false, true),
        (&long(1000), &[b'x'; 1000], false, true),
        (&long(1000), &[b'x'; 3096], false, true),
        (b"", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", false, true),
        // Others, and other frames behind them.
        (&long(1000), &[b'x'; 3097], false, false),
        (b"", b"\x81\x02hi\x81\x02hi", false, false),
        (b"\x81", b"\x05hello", false, false),
        (b"", b"\x88\x02\x03\xe8", false, false),
        (b"\x88\x02\x03\xe8", b"\x81\x02hi", false, false),
        (b"", b"\x80\x02hi", false, false),
        (b"", b"\x81\x02hi", true, false),
        (b"", b"\x81\x80a", true, false),
        (b"", b"\x8a\x00", false, false),
    ] {
        let mut walk = Walk::default();
        walk.begin(0);
        let step = Step { frames: 0, ..Step::NONE };
        let segment = Segment { seq: 0, received: 0, now_ns: 7 };
        walk.segment(&step, &segment, before, client);
        let (seq, len) = (walk.next(), bytes.len() as u32);
        let other = walk.quick(seq.wrapping_add(1), bytes, 8, client);
        assert!(other.is_none(), "not next in line");
        let inside = walk.quick(seq, bytes, 8, client);
        assert_eq!(inside.is_some(), taken, "{before:x?} {bytes:x?}");
        assert_eq!(walk.next(), if taken { seq + len } else { seq });
    }
    // Without a place, and with bytes that passed ahead.
    let mut half = InOrder::default();
    half.pass(b"\x81\x02hi");
    half.walk.ended(true, false);
    assert!(half.walk.quick(half.seq, b"\x81\x02hi".as_slice(), 8, false).is_none());
    let mut half = InOrder::default();
    half.pass(&long(1000));
    let ahead = Segment { seq: half.seq + 10, received: half.seq, now_ns: 7 };
    half.walk.segment(&Step { frames: 0, ..Step::NONE }, &ahead, b"x".as_slice(), false);
    assert!(half.walk.quick(half.seq, b"xxxx".as_slice(), 8, false).is_none());
}

#[test]
fn a_walk_that_begins_keeps_whose_turn_it_is() {
    let add = |word: &mut u32, number: u32| *word = word.wrapping_add(number);
    let mut walk = Walk::default();
    assert!(walk.lock.try_lock(add));
    walk.begin(5);
    assert!(!walk.lock.try_lock(add));
    walk.lock.unlock(add);
    assert!(walk.lock.try_lock(add));
}

#[test]
fn a_range_that_passed_ahead_counts_once_what_was_before_it_has_come() {
    let message = [b"\x82\x7e\x0b\xb8".as_slice(), &[b'x'; 3000]].concat();
    let mut walk = Walk::default();
    let mut pass = |from: usize, to: usize, received: usize| {
        let step = Step { frames: 0, begin: from == 0, ..Step::NONE };
        let segment = Segment { seq: from as u32, received: received as u32, now_ns: 7 };
        walk.segment(&step, &segment, &message[from..to], false);
        (walk.next(), walk.summary())
    };
    pass(0, 1000, 0);
    // The end of the message overtakes its middle.
    assert_eq!(pass(2000, message.len(), 1000).0, 1000);
    let (next, said) = pass(1000, 2000, 1000);
    assert_eq!(next as usize, message.len(), "a FIN there has missed nothing");
    assert_eq!((said.messages, said.flags), (1, 0));
}

#[test]
fn a_place_that_was_lost_within_a_fragmented_message_is_found_again() {
    let mut half = InOrder::default();
    assert_eq!(half.pass(b"\x01\x05hello").flags, 0);
    half.seq += 9;
    // How the message went on is not known: another one is no broken rule.
    for _ in 0..3 {
        half.pass(b"\x81\x05hello");
    }
    assert_eq!(half.pass(b"\x81\x02hi").flags, half_flags::LOST_PLACE);
    assert_eq!(half.pass(b"\x88\x02\x03\xe9").close_code, 1001);
}

#[test]
fn the_rests_of_messages_are_no_evidence_and_the_longest_lengths_are() {
    let mut half = InOrder::default();
    half.pass(b"\x81\x05hello");
    half.seq += 9;
    for _ in 0..9 {
        assert_eq!(half.pass(b"\x80\x05hello").flags & LOST, LOST);
    }
    let whole = [b"\x82\x7f\0\0\0\0\0\x01\0\0".to_vec(), vec![0; 1 << 16]].concat();
    let short = [b"\x82\x7f\0\0\0\0\0\0\xff\xff".to_vec(), vec![0; 0xffff]].concat();
    for _ in 0..4 {
        assert_eq!(half.pass(&short).flags & LOST, LOST, "a length in more bytes than it needs");
    }
    for _ in 0..3 {
        half.pass(&whole);
    }
    assert_eq!(half.pass(b"\x81\x02hi").flags, half_flags::LOST_PLACE);
}

#[test]
fn a_segment_that_ends_within_a_frame_is_no_evidence() {
    let mut half = InOrder::default();
    half.pass(b"\x81\x05hello");
    half.seq += 9;
    for _ in 0..4 {
        half.pass(b"\x81\x02hi");
        half.pass(b"\x81\x02hi");
        assert_eq!(half.pass(b"\x81\x09hi").flags, LOST);
    }
}

#[test]
fn nothing_counts_behind_a_close_frame() {
    let mut half = InOrder::default();
    let told = half.pass(b"\x88\x02\x03\xe9");
    half.pass(b"\x89\0\x81\x02hi\x88\x02\x03\xe8");
    let said = half.pass(b"HTTP/1.1 502 Bad Gateway");
    assert_eq!((said.close_code, said.violation), (1001, 0));
    assert_eq!((said.pings, said.messages, said.flags), (0, 0, told.flags));
}

#[test]
fn an_rst_behind_a_fin_says_nothing_of_what_was_seen_before() {
    let mut half = InOrder::default();
    half.pass(b"\x81\x02hi");
    half.walk.ended(false, false);
    half.walk.ended(true, true);
    assert_eq!(half.walk.summary().flags, half_flags::FIN | half_flags::RST);
}

#[test]
fn rsv1_is_told_of_data_frames() {
    assert_eq!(of(b"\xc1\x02hi", false).flags, half_flags::RSV1);
    assert_eq!(of(b"\x81\x02hi", false).flags, 0);
}

#[test]
fn a_message_in_which_the_place_was_lost_does_not_count() {
    let mut half = InOrder::default();
    half.pass(b"\x81\x05hello\x81\x14wor");
    half.seq += 90;
    for _ in 0..3 {
        half.pass(b"\x81\x05hello");
    }
    // A fragment is no message.
    assert_eq!(half.pass(b"\x01\x02hi").messages, 1);
    assert_eq!(half.pass(b"\x80\x02hi").messages, 2);
}

#[test]
fn ranges_that_passed_ahead_one_behind_the_other_are_one() {
    let stream = [&b"\x81\x1e"[..], &[b'x'; 30]].concat();
    let mut walk = Walk::default();
    for (from, to) in [(0, 10), (20, 25), (25, 32), (10, 20)] {
        let step = Step { frames: 0, begin: from == 0, ..Step::NONE };
        // All that was received up to then: in order only the first and the last are.
        let received = if from == 0 { 0 } else { 10 };
        let segment = Segment { seq: from as u32, received, now_ns: 7 };
        walk.segment(&step, &segment, &stream[from..to], false);
    }
    let said = walk.summary();
    assert_eq!((said.messages, said.flags, walk.next()), (1, 0, 32));
}
