//! The half that answers.

use super::{
    halves::{
        RequestHalf, ResponseHalf, request_word,
        response_word::{INTERIM, REST, STATUS, SWITCHING, TUNNEL, epoch, phase},
    },
    scan::{self, STATUS_LINE, Scan, Which},
    segment::{NO_FRAMES, REST_CAP, Segment, Step},
    sequence::{Place, place},
};

/// How many answers' heads of one segment are looked at: interim ones (RFC 9110 section 15.2) and the one
/// behind them. Behind more than three in one segment a 101 is not followed.
const ROUNDS: u32 = 4;

/// The last four bytes of [`STATUS_LINE`] of a 101.
const CODE_101: u32 = u32::from_be_bytes(*b" 101");
/// The first two of them of every interim answer.
const CODE_1XX: u32 = CODE_101 >> 16;

impl ResponseHalf {
    /// Takes a segment of the answer to a candidate of which nothing is told; `other` is the request half's word. False,
    /// and nothing is changed, of one that may be an interim answer or a 101, or out of order.
    #[inline(always)]
    pub fn pass<P: Scan + ?Sized>(&mut self, other: u32, segment: &Segment, payload: &P) -> bool {
        let begins = request_word::epoch(other) != epoch(self.word);
        let is_next = segment.seq == segment.received && (begins || segment.seq == self.next);
        let Some([head @ .., code, _, _]) = payload.read::<12>(0) else { return false };
        let is_head = matches!(&head, b"HTTP/1.1 " | b"HTTP/1.0 ");
        if !is_next
            || (begins && (!is_head || code == b'1'))
            || (!begins && (is_head || phase(self.word) != REST))
        {
            return false;
        }
        self.word = REST << 16 | u32::from(request_word::epoch(other));
        self.next = segment.seq.wrapping_add(payload.len());
        self.sent = REST_CAP;
        self.tail = 0;
        true
    }

    fn enter(&mut self, phase: u32) {
        self.word = phase << 16 | u32::from(epoch(self.word));
    }

    /// An answer begins.
    fn begin(&mut self, epoch: u16) {
        self.word = STATUS << 16 | u32::from(epoch);
        self.sent = 0;
        self.restart();
    }

    /// A status line begins.
    fn restart(&mut self) {
        self.line = 0;
        self.tail = 0;
    }

    /// Bytes of the answer were never seen.
    fn missed(&mut self) {
        self.tail = 0;
        if phase(self.word) == STATUS {
            self.restart();
        }
    }
}

/// Takes one segment with data; `other` is the request half's word.
#[inline(always)]
pub fn response<P: Scan + ?Sized>(
    half: &mut ResponseHalf,
    other: u32,
    segment: &Segment,
    payload: &P,
) -> Step {
    let len = payload.len();
    let pending = RequestHalf::is_candidate(other);
    let begins = pending && request_word::epoch(other) != epoch(half.word);
    if ResponseHalf::is_tunnel(half.word) && !begins {
        return Step { frames: 0, ..Step::NONE };
    }
    if request_word::phase(other) == request_word::BUSY {
        let interim = payload.read::<10>(0).is_some_and(|line| matches!(&line, b"HTTP/1.1 1"));
        if !interim {
            half.answers = half.answers.wrapping_add(1);
        }
    }
    if !pending {
        return Step::NONE;
    }
    if begins {
        // Segments that nobody waits for are not looked at, so `next` is only now known.
        half.next = segment.received;
    }
    let place = place(half.next, segment.received, segment.seq, len);
    let (skip, ahead) = match place {
        Place::Next(skip) => (skip, false),
        Place::Missed(_) => (0, false),
        Place::Ahead => (0, true),
        Place::Noise => return Step::NONE,
    };
    if !ahead {
        half.next = segment.seq.wrapping_add(len);
    }
    if begins {
        half.begin(request_word::epoch(other));
    } else if phase(half.word) == REST && payload.read::<7>(skip) == Some(*b"HTTP/1.") {
        // The answer to the next of several pipelined requests.
        half.begin(epoch(half.word));
    }
    if ahead {
        return ship(half, 0, len);
    }
    if matches!(place, Place::Missed(_)) {
        half.missed();
        if phase(half.word) == SWITCHING {
            // The head's end may be among what was missed.
            half.enter(TUNNEL);
            return open(half, skip, len, skip, true);
        }
    }
    head(half, skip, payload)
}

/// The 101's head ended: the frames begin at `frames`, or, with `join`, somewhere.
#[inline(always)]
fn open(half: &mut ResponseHalf, from: u32, to: u32, frames: u32, join: bool) -> Step {
    Step { opened: true, begin: true, join, frames, ..ship(half, from, to) }
}

/// Sends `from..to` of the segment, as far as the cap allows.
#[inline(always)]
fn ship(half: &mut ResponseHalf, from: u32, to: u32) -> Step {
    let room = REST_CAP.saturating_sub(half.sent);
    let new = to.wrapping_sub(from);
    let len = if new < room { new } else { room };
    half.sent += len;
    Step { from, len, frames: NO_FRAMES, ..Step::NONE }
}

/// A segment of an answer, in order.
#[inline(always)]
fn head<P: Scan + ?Sized>(half: &mut ResponseHalf, skip: u32, payload: &P) -> Step {
    let len = payload.len();
    let mut at = skip;
    if phase(half.word) == INTERIM {
        if half.tail != scan::CRLF_CRLF {
            let end = payload.head_end(at, half.tail, Which::First);
            if end == 0 {
                half.tail = scan::push_tail(half.tail, payload, at);
                return ship(half, skip, len);
            }
            at = end;
        }
        half.restart();
        half.enter(STATUS);
    }
    let mut round = 0;
    while round < ROUNDS && phase(half.word) == STATUS {
        round += 1;
        let read = payload.status_line(at, u32::from(half.line), half.tail);
        let line = (read >> 32) as u8;
        at += u32::from(line.wrapping_sub(half.line));
        half.line = line;
        half.tail = read as u32;
        if line < STATUS_LINE {
            break;
        }
        let code = half.tail;
        half.tail = 0;
        match code {
            CODE_101 => half.enter(SWITCHING),
            _ if code >> 16 == CODE_1XX => {
                let end = payload.head_end(at, 0, Which::First);
                if end == 0 {
                    half.tail = scan::push_tail(0, payload, at);
                    half.enter(INTERIM);
                } else {
                    at = end;
                    half.restart();
                }
            }
            _ => half.enter(REST),
        }
    }
    if phase(half.word) != SWITCHING {
        return ship(half, skip, len);
    }
    let end = payload.head_end(at, half.tail, Which::First);
    // The end lies behind what is looked at.
    let join = end == 0 && len.wrapping_sub(at) > scan::HEAD_END_SCAN;
    if end == 0 && !join {
        half.tail = scan::push_tail(half.tail, payload, at);
        return ship(half, skip, len);
    }
    half.enter(TUNNEL);
    if join { open(half, skip, len, at, true) } else { open(half, skip, end, end, false) }
}
