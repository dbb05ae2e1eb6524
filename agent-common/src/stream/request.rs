//! The half that requests travel in.

use super::{
    halves::{
        RequestHalf, ResponseHalf,
        request_word::{BUSY, EARLY, HEAD, IDLE, TUNNEL, epoch, phase},
        response_word,
    },
    scan::{self, Scan, Start, Which},
    segment::{HEAD_CAP, Segment, Step},
    sequence::{Place, place},
};

impl RequestHalf {
    /// Whether a segment is the next one, and the last request was answered. `other` is the response half's word.
    #[inline(always)]
    pub fn awaits(&self, other: u32, segment: &Segment) -> bool {
        let answered = response_word::epoch(other) == epoch(self.word);
        let is_free = Self::is_idle(self.word) || (answered && Self::is_candidate(self.word));
        is_free
            && segment.seq == self.next
            && segment.seq == segment.received
            && !ResponseHalf::is_tunnel(other)
    }

    /// Takes a segment that it [awaits](Self::awaits) and that [is a plain GET](scan::is_plain_get), as [`request`] does.
    #[inline(always)]
    pub fn pass(&mut self, segment: &Segment, len: u32) {
        self.next = segment.seq.wrapping_add(len);
        self.enter(IDLE);
    }

    /// Takes a segment that it [awaits](Self::awaits) and that [is a GET](scan::is_get) for a handshake, whatever it is.
    #[inline(always)]
    pub fn presume(&mut self, segment: &Segment, len: u32) {
        self.begin();
        self.next = segment.seq.wrapping_add(len);
        self.sent = len;
        self.tail = scan::CRLF_CRLF;
    }

    /// Whether a step of it tells the first bytes of its candidate.
    pub const fn begins(&self, step: &Step) -> bool {
        self.sent == step.len
    }

    fn enter(&mut self, phase: u32) {
        self.word = phase << 16 | u32::from(epoch(self.word));
    }

    /// A candidate begins: it gets an epoch of its own.
    fn begin(&mut self) {
        self.word = HEAD << 16 | u32::from(epoch(self.word).wrapping_add(1));
        self.sent = 0;
        self.tail = 0;
    }
}

/// Takes one segment with data; `other` is the response half's word and `answers` its counter.
#[inline(always)]
pub fn request<P: Scan + ?Sized>(
    half: &mut RequestHalf,
    other: u32,
    answers: u32,
    segment: &Segment,
    payload: &P,
) -> Step {
    let len = payload.len();
    let answered = response_word::epoch(other) == epoch(half.word);
    if answered && ResponseHalf::is_tunnel(other) {
        return tunnel(half, segment, len);
    }
    let (skip, ahead) = match place(half.next, segment.received, segment.seq, len) {
        Place::Next(skip) => (skip, false),
        Place::Missed(_) => {
            half.tail = 0;
            (0, false)
        }
        Place::Ahead => (0, true),
        Place::Noise => return Step::NONE,
    };
    if !ahead {
        half.next = segment.seq.wrapping_add(len);
    }
    if RequestHalf::is_candidate(half.word) && !answered {
        return head(half, skip, ahead, payload);
    }
    if phase(half.word) == BUSY && answers == half.busy_since {
        return Step::NONE;
    }
    if phase(half.word) != IDLE {
        half.enter(IDLE);
    }
    if ahead {
        // The bytes before it may be a request's beginning that was reordered or lost on the way.
        half.begin();
        return head(half, 0, true, payload);
    }
    match scan::start(payload, skip) {
        Start::Other => Step::NONE,
        // Of HTTP/2 the preface is told, and by the machine's own rules what the server answers to it.
        Start::Short | Start::Preface => {
            half.begin();
            head(half, skip, false, payload)
        }
        start => {
            if start == Start::Preamble && scan::is_lone_preamble(payload, skip) {
                return Step::NONE;
            }
            if !payload.names_websocket(skip) {
                if start == Start::Content {
                    half.busy_since = answers;
                    half.enter(BUSY);
                    return Step::NONE;
                }
                if scan::ends_head(payload) && len - skip <= scan::SCAN {
                    return Step::NONE;
                }
            }
            half.begin();
            head(half, skip, false, payload)
        }
    }
}

/// A segment of a candidate's head, or behind it.
#[inline(always)]
fn head<P: Scan + ?Sized>(half: &mut RequestHalf, skip: u32, ahead: bool, payload: &P) -> Step {
    let len = payload.len();
    let room = HEAD_CAP.saturating_sub(half.sent);
    let new = len.wrapping_sub(skip);
    let mut step = Step { from: skip, len: if new < room { new } else { room }, ..Step::NONE };
    step.truncated = new > room;
    half.sent += step.len;
    if ahead {
        return step;
    }
    if phase(half.word) == EARLY {
        if scan::ends_head(payload) {
            // Not frames: an ordinary request came first, and this is the end of the handshake's own
            // head, pipelined behind it.
            half.tail = scan::CRLF_CRLF;
            half.enter(HEAD);
        } else {
            step.frames = skip;
        }
        return step;
    }
    let before = half.tail;
    half.tail = scan::push_tail(before, payload, skip);
    if half.tail == scan::CRLF_CRLF {
        return step;
    }
    let fin = payload.read::<1>(skip).is_some_and(|[first]| first & 0x80 != 0);
    if before == scan::CRLF_CRLF && fin {
        // No request begins with such a byte.
        step.frames = skip;
    } else {
        // Frames behind the head come at most a few in the same segment: look near its end.
        let far = new > scan::HEAD_END_SCAN;
        let behind = if far { len - scan::HEAD_END_SCAN } else { skip };
        let end = payload.head_end(behind, if far { 0 } else { before }, Which::Last);
        if end == 0 {
            return step;
        }
        step.frames = end;
    }
    step.begin = true;
    half.enter(EARLY);
    step
}

/// A segment after a 101.
#[inline(always)]
fn tunnel(half: &mut RequestHalf, segment: &Segment, len: u32) -> Step {
    let mut step = Step { frames: 0, ..Step::NONE };
    if matches!(phase(half.word), TUNNEL | EARLY) {
        half.enter(TUNNEL);
        return step;
    }
    match place(half.next, segment.received, segment.seq, len) {
        // The head ended where the next byte begins, so a frame begins there.
        Place::Next(skip) if phase(half.word) == HEAD && half.tail == scan::CRLF_CRLF => {
            step.frames = skip;
            step.begin = true;
        }
        Place::Next(_) | Place::Missed(_) => step.join = true,
        // What begins the walk is still to come.
        Place::Ahead | Place::Noise => return Step::NONE,
    }
    half.enter(TUNNEL);
    step
}
