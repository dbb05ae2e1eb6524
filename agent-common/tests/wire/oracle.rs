//! What a half's bytes mean, read at leisure by a WebSocket library's frame codec and the rules of RFC 6455
//! section 5 beside it, and what the walk says of them when a network has carried them.

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};
use wstap_common::{
    frame::{STEPS, Walk},
    record::{HalfSummary, half_flags},
    stream::{Segment, Step},
};

use zerocopy::IntoBytes as _;

use super::wire::{Passing, Receiver};

/// What the library reads in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) messages: u32,
    pub(crate) pings: u16,
    pub(crate) pongs: u16,
    /// 0 for none.
    pub(crate) close: u16,
    /// A rule is broken.
    pub(crate) broken: bool,
    /// Where each frame begins.
    pub(crate) begins: Vec<usize>,
}

/// Reads one half's stream up to the first close frame or broken rule.
pub(crate) fn truth(stream: &[u8], from_client: bool) -> Truth {
    let mut truth = Truth::default();
    let mut cursor = Cursor::new(stream);
    let mut fragmented = false;
    loop {
        let begin = cursor.position() as usize;
        let header = FrameHeader::parse(&mut cursor);
        if stream.len() > begin {
            truth.begins.push(begin);
        }
        let Ok(header) = header else {
            truth.broken = true;
            return truth;
        };
        let Some((header, len)) = header else { return truth };
        let rest = &stream[cursor.position() as usize..];
        let short = stream[begin + 1] & 0x7f;
        // Of a close frame the code belongs to what has to be there.
        let is_close = header.opcode == OpCode::Control(Control::Close);
        if is_close && (2..=125).contains(&short) && rest.len() < 2 {
            return truth;
        }
        let control = matches!(header.opcode, OpCode::Control(_));
        truth.broken = header.mask.is_some() != from_client
            || header.rsv2
            || header.rsv3
            || (control && (header.rsv1 || !header.is_final || short > 125))
            || len > i64::MAX as u64
            || match header.opcode {
                OpCode::Data(Data::Continue) => !fragmented,
                OpCode::Data(_) => fragmented,
                OpCode::Control(_) => false,
            };
        if truth.broken {
            return truth;
        }
        match header.opcode {
            OpCode::Data(_) => {
                fragmented = !header.is_final;
                truth.messages += u32::from(header.is_final && rest.len() as u64 >= len);
            }
            OpCode::Control(Control::Close) => {
                let mask = header.mask.unwrap_or_default();
                match *rest {
                    _ if len == 0 => truth.close = 1005,
                    [a, b, ..] if len >= 2 => {
                        let code = u16::from_be_bytes([a ^ mask[0], b ^ mask[1]]);
                        // 1014 was registered after the library's list was made.
                        truth.broken = code != 1014 && !CloseCode::from(code).is_allowed();
                        truth.close = if truth.broken { 0 } else { code };
                    }
                    _ => truth.broken = true,
                }
                return truth;
            }
            OpCode::Control(Control::Ping) => truth.pings += 1,
            OpCode::Control(_) => truth.pongs += 1,
        }
        if rest.len() as u64 <= len {
            return truth;
        }
        cursor.set_position(cursor.position() + len);
    }
}

/// A walk, and two beside it that must say the same at every segment: one takes the quick way wherever there is one, and
/// the other is also spared what lies inside a frame.
#[derive(Default)]
struct Walks {
    walk: Walk,
    quick: Walk,
    spared: Walk,
    /// Where the bytes begin that the walk is spared, and how many they are.
    inside: (u32, u32),
}

impl Walks {
    fn segment(&mut self, step: &Step, segment: &Segment, bytes: &[u8], client: bool) {
        let (quick_told, _) = quick(&mut self.quick, step, segment, bytes, client);
        let told = self.walk.segment(step, segment, bytes, client);
        assert_eq!(told, quick_told, "{step:?} {segment:?}");
        self.agree(&self.quick);

        let ((next, count), len) = (self.inside, bytes.len() as u32);
        if segment.seq == next && len <= count {
            self.inside = (next.wrapping_add(len), count - len);
        } else {
            self.spared.catch_up(next);
            let (spared_told, inside) = quick(&mut self.spared, step, segment, bytes, client);
            assert_eq!(told, spared_told, "{step:?} {segment:?}");
            self.inside = (self.spared.next(), inside);
        }
        let mut caught_up = self.spared;
        caught_up.catch_up(self.inside.0);
        self.agree(&caught_up);
        let counted = self.spared.summary().messages + self.spared.uncounted(self.inside.0);
        assert_eq!(counted, caught_up.summary().messages);
    }

    fn agree(&self, other: &Walk) {
        let said = |walk: &Walk| (walk.next(), walk.summary());
        let ((next, summary), other) = (said(&self.walk), said(other));
        assert_eq!((next, summary.as_bytes()), (other.0, other.1.as_bytes()));
    }
}

/// The segment by the quick way, or else the general one: whether there is news, and what lies inside a frame.
fn quick(
    walk: &mut Walk,
    step: &Step,
    segment: &Segment,
    bytes: &[u8],
    client: bool,
) -> (bool, u32) {
    let all_frames = Step { frames: 0, ..Step::NONE };
    let taken = if *step == all_frames {
        walk.quick(segment.seq, bytes, segment.now_ns, client)
    } else {
        None
    };
    match taken {
        Some(inside) => (false, inside),
        None => (walk.segment(step, segment, bytes, client), 0),
    }
}

/// The walk of what passed; the stream begins at sequence number `first`, at a frame's beginning, in
/// the segment that has `glued` bytes of a head before it.
pub(crate) fn walk(
    stream: &[u8],
    passing: &[Passing],
    client: bool,
    first: u32,
    glued: usize,
    incoming: bool,
) -> HalfSummary {
    let mut walks = Walks::default();
    let mut receiver = Receiver::new(stream.len());
    let head = [b'x'; 2000];
    let mut begun = false;
    for segment in passing {
        let bytes = &stream[segment.from..segment.to];
        let received = if incoming { receiver.next() } else { segment.from };
        // The walk is there from the segment that ends the head.
        if segment.seen && (begun || segment.from == 0) {
            let glued = if begun { 0 } else { glued };
            let seq = first.wrapping_add(segment.from as u32).wrapping_sub(glued as u32);
            let received = first.wrapping_add(received as u32).wrapping_sub(glued as u32);
            let payload = [&head[..glued], bytes].concat();
            let step = Step { frames: glued as u32, begin: !begun, ..Step::NONE };
            let data = Segment { seq, received, now_ns: 7 };
            walks.segment(&step, &data, payload.as_slice(), client);
            begun = true;
        }
        receiver.take(*segment);
    }
    let mut walk = walks.walk;
    let next = if begun { walk.next() } else { first };
    walk.ended(next != first.wrapping_add(stream.len() as u32), false);
    walk.summary()
}

/// Whether no segment makes the walk take more steps than it may.
pub(crate) fn fits(passing: &[Passing], begins: &[usize]) -> bool {
    passing.iter().all(|segment| {
        let frames = begins.iter().filter(|at| (segment.from..segment.to).contains(*at)).count();
        // A payload's rest, the cut header at each end, and the whole frames.
        frames + 32 <= STEPS as usize
    })
}

/// Whether each segment begins where what passed ends, or before.
pub(crate) fn in_order(passing: &[Passing]) -> bool {
    let mut ahead = 0;
    passing.iter().all(|segment| {
        let fits = segment.seen && segment.from <= ahead;
        ahead = ahead.max(segment.to);
        fits
    })
}

pub(crate) const LOST: u8 = half_flags::LOST_PLACE | half_flags::UNSYNCHRONISED;

/// What is wrong with what the walk said, if anything: it must be the truth, or the walk says that it lost
/// its place.
pub(crate) fn disagreement(said: &HalfSummary, truth: &Truth) -> Result<(), String> {
    let told = (said.messages, said.pings, said.pongs, said.close_code, said.violation != 0);
    let real = (truth.messages, truth.pings, truth.pongs, truth.close, truth.broken);
    let fits = if said.flags & LOST == 0 {
        told == real && said.close_ns == if truth.close == 0 { 0 } else { 7 }
    } else {
        // A rule is told only by a walk that never lost its place before.
        said.violation == 0 || truth.broken
    };
    if fits { Ok(()) } else { Err(format!("told {told:?} ({:#x}), but {real:?}", said.flags)) }
}
