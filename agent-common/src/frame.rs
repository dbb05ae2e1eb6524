//! The walk over WebSocket frames (RFC 6455 section 5.2) of one half of a connection.
//!
//! In: the half's segments after the 101, in any order. Out: counts, the close code, the first broken
//! rule. Bytes inside a frame are never read; of a close frame the code is.
//! Bounds: [`STEPS`] a segment; behind that, and behind bytes that were never seen, the walk has lost
//! its place and finds it again only on strong evidence.

use crate::{
    lock::TryLock,
    payload::Payload,
    record::{HalfSummary, half_flags},
    stream::{
        segment::{Segment, Step},
        sequence::{Place, place},
    },
};

/// A rule of RFC 6455 section 5 that a half can break. 0 on the wire means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Violation {
    /// A frame from the server is masked (section 5.1).
    MaskedFromServer = 1,
    /// A frame from the client is not masked (section 5.1).
    UnmaskedFromClient = 2,
    /// RSV2 or RSV3 is set, or RSV1 on a control frame (section 5.2; no registered extension does).
    /// RSV1 on a data frame is told by [`half_flags::RSV1`]: only user space knows the extensions.
    ReservedBits = 3,
    /// A reserved opcode (section 5.2).
    ReservedOpcode = 4,
    /// A control frame that is fragmented or longer than 125 bytes (section 5.5).
    BadControlFrame = 5,
    /// An HTTP head where a frame should be.
    HttpHead = 6,
    /// A close frame with half a code (section 5.5.1) or one that must not be sent (section 7.4).
    BadCloseFrame = 7,
    /// A continuation of no message, or a message within another (section 5.4).
    BadFragmentation = 8,
    /// A 64-bit length whose first bit is set (section 5.2).
    BadLength = 9,
}

impl Violation {
    /// The rule with this value on the wire.
    pub const fn from_wire(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::MaskedFromServer),
            2 => Some(Self::UnmaskedFromClient),
            3 => Some(Self::ReservedBits),
            4 => Some(Self::ReservedOpcode),
            5 => Some(Self::BadControlFrame),
            6 => Some(Self::HttpHead),
            7 => Some(Self::BadCloseFrame),
            8 => Some(Self::BadFragmentation),
            9 => Some(Self::BadLength),
            _ => None,
        }
    }

    /// What was done, in words that fit behind a colon.
    pub const fn what(self) -> &'static str {
        match self {
            Self::MaskedFromServer => "a frame from the server is masked",
            Self::UnmaskedFromClient => "a frame from the client is not masked",
            Self::ReservedBits => "a frame sets reserved bits and no extension was agreed",
            Self::ReservedOpcode => "a frame has a reserved opcode",
            Self::BadControlFrame => "a control frame is fragmented or longer than 125 bytes",
            Self::HttpHead => "an HTTP head stands where a frame should be",
            Self::BadCloseFrame => "a close frame has half a code, or one that must not be sent",
            Self::BadFragmentation => "the fragments of two messages are mixed",
            Self::BadLength => "a frame's length has its first bit set",
        }
    }
}

/// How many steps the walk takes in one segment: one for each frame whose header lies whole in the
/// segment, one for each byte of a header that is cut.
pub const STEPS: u32 = 80;

/// Segments in a row that must consist of whole plausible frames before a lost place is found again.
const EVIDENCE: u8 = 3;

/// [`Walk::evidence`]: the current segment does not consist of whole plausible frames.
const REFUTED: u8 = u8::MAX;

/// [`Walk::fragmented`]: what came before is not known.
const UNKNOWN: u8 = 2;

/// The most that [`Walk::quick`] gives; far from where sequence numbers come round.
const INSIDE: u64 = 1 << 30;

/// A frame's header and, of a close frame, the code: at most 14 bytes of header, and 2.
const HEADER: usize = 16;

/// As many bytes of it mean something; the rest is the end of a mask, and payload.
const MEANT: usize = 10;

/// The walk's state, 64 bytes: a cache line, for whoever places it so. Written only by the hook of its direction.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Walk {
    last_ns: u64,
    close_ns: u64,
    /// Bytes of the current frame's payload still to come.
    remaining: u64,
    /// Sequence number of the next new byte.
    next: u32,
    /// A range that passed ahead of bytes still to come: `ahead_from..ahead_to`, empty when equal.
    ahead_from: u32,
    /// See `ahead_from`.
    ahead_to: u32,
    messages: u32,
    /// Neither is counted beyond what it holds.
    pings: u16,
    pongs: u16,
    /// Held by the segment that is being walked; outlives [`Self::begin`].
    pub lock: TryLock,
    /// What ended the walk: a [`Violation`] or a close code, which is 1000 or more; 0 for nothing yet.
    over: u16,
    /// The bytes of the current header so far.
    header: [u8; MEANT],
    /// Bits of [`half_flags`], and [`STARTED`], [`IN_LAST`], [`MOVED`].
    flags: u8,
    /// How many bytes of the current header came so far; `have <= HEADER`.
    have: u8,
    /// Good segments in a row while the place is lost, or [`REFUTED`].
    evidence: u8,
    /// 1 between the fragments of a message; [`UNKNOWN`] until the first data frame of a walk that
    /// began between two frames of an older connection.
    fragmented: u8,
}

/// [`Walk::flags`]: the walk began.
const STARTED: u8 = 0x40;
/// [`Walk::flags`]: the current segment is new and not yet behind the walk.
const MOVED: u8 = 0x20;
/// [`Walk::flags`]: the current frame is the last of a data message.
const IN_LAST: u8 = 0x80;

/// One frame's header.
struct Header {
    /// Bytes of the header (and of a close frame's code) that are needed to know all of it.
    need: u8,
    /// Payload bytes behind what `need` covers.
    rest: u64,
    violation: u8,
    opcode: u8,
    last: bool,
    rsv1: bool,
    /// What begins with it is hardly ever anything else.
    is_evidence: bool,
    close_code: u16,
}

impl Walk {
    /// A frame begins at `seq`.
    #[inline(always)]
    pub fn begin(&mut self, seq: u32) {
        // All but the lock, which another CPU may be asking for.
        self.last_ns = 0;
        self.close_ns = 0;
        self.remaining = 0;
        self.header = [0; MEANT];
        self.next = seq;
        self.ahead_from = 0;
        self.ahead_to = 0;
        self.messages = 0;
        self.pings = 0;
        self.pongs = 0;
        self.over = 0;
        self.flags = STARTED;
        self.have = 0;
        self.evidence = 0;
        self.fragmented = 0;
    }

    /// The walk joins at `seq` without knowing where a frame begins.
    #[inline(always)]
    pub fn join(&mut self, seq: u32) {
        self.begin(seq);
        self.lose();
    }

    /// A frame begins at `seq`, and what came before it was not seen.
    #[inline(always)]
    pub fn find(&mut self, seq: u32) {
        self.begin(seq);
        self.fragmented = UNKNOWN;
    }

    /// Sequence number of the next new byte.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Whether the segment whose frames begin at `seq` is next in line: then nobody need ask how far every
    /// byte has passed.
    #[inline(always)]
    pub const fn is_next(&self, seq: u32) -> bool {
        self.next == seq
    }

    /// The bytes before `next` passed, of those inside a frame that [`Self::quick`] told.
    #[inline(always)]
    pub fn catch_up(&mut self, next: u32) {
        let passed = u64::from(next.wrapping_sub(self.next));
        if passed <= INSIDE && passed <= self.remaining {
            self.pass(passed);
            self.next = next;
        }
    }

    /// How many messages are complete that the walk has not counted, before it has caught up with `next`: 0 or 1.
    #[inline(always)]
    pub const fn uncounted(&self, next: u32) -> u32 {
        // Without a branch: the kernel's verifier goes on from each.
        let left = self.remaining ^ next.wrapping_sub(self.next) as u64;
        let is_zero = (!left & left.wrapping_sub(1)) >> 63;
        is_zero as u32 & (self.flags / IN_LAST) as u32
    }

    /// Whether the walk began.
    pub const fn is_started(&self) -> bool {
        self.flags & STARTED != 0
    }

    /// A FIN or RST passed. `missed`: the walk did not see all bytes before it, and there may have been
    /// a close frame among them.
    pub fn ended(&mut self, missed: bool, rst: bool) {
        if !self.has_ended() && missed && !self.is_over() {
            self.lose();
        }
        self.flags |= if rst { half_flags::RST } else { half_flags::FIN };
    }

    /// Whether its FIN or RST passed.
    pub const fn has_ended(&self) -> bool {
        self.flags & (half_flags::FIN | half_flags::RST) != 0
    }

    /// What the walk knows.
    #[inline(always)]
    pub const fn summary(&self) -> HalfSummary {
        let is_code = self.over > u8::MAX as u16;
        HalfSummary {
            last_ns: self.last_ns,
            close_ns: self.close_ns,
            messages: self.messages,
            pings: self.pings,
            pongs: self.pongs,
            close_code: if is_code { self.over } else { 0 },
            violation: if is_code { 0 } else { self.over as u8 },
            flags: self.flags & !(STARTED | IN_LAST | MOVED),
            reserved: 0,
        }
    }

    /// Takes a segment as the machine's step says; whether there is news: the first close frame or
    /// the first broken rule.
    pub fn segment<P: Payload + ?Sized>(
        &mut self,
        step: &Step,
        segment: &Segment,
        payload: &P,
        from_client: bool,
    ) -> bool {
        let mut at = self.enter(step, segment, payload.len());
        let mut steps = 0;
        while steps < STEPS && at < payload.len() {
            steps += 1;
            at = self.step(at, payload, from_client);
        }
        self.leave(at, payload.len())
    }

    /// As [`Self::segment`], of a segment that is next in line and lies inside a frame, or holds but one frame from its
    /// beginning on: most do. `None`, and nothing done, when it may be another.
    ///
    /// Gives how many of the next bytes lie inside the current frame. A segment of nothing else, next in line, need not be
    /// walked, if [`Self::catch_up`] makes up for it before another is.
    #[inline(always)]
    pub fn quick<P: Payload + ?Sized>(
        &mut self,
        seq: u32,
        bytes: &P,
        now_ns: u64,
        from_client: bool,
    ) -> Option<u32> {
        let len = bytes.len();
        let flags = self.flags & (STARTED | half_flags::UNSYNCHRONISED);
        let in_order = self.next == seq && self.ahead_from == self.ahead_to;
        if !in_order || flags != STARTED || self.have != 0 || self.is_over() {
            return None;
        }
        let mut payload = u64::from(len);
        if self.remaining == 0 {
            let first = if len >= MEANT as u32 {
                bytes.read(0)
            } else {
                bytes.read(0).map(|[b0, b1, b2, b3]| [b0, b1, b2, b3, 0, 0, 0, 0, 0, 0])
            };
            let header = read(&first?, from_client);
            // What is of a close frame's code may not have been read.
            if header.opcode == 8 || header.violation != 0 {
                return None;
            }
            let behind = len.checked_sub(u32::from(header.need))?;
            payload = u64::from(behind);
            if header.rest < payload || self.is_misplaced(&header) {
                return None;
            }
            self.take(&header);
        } else if self.remaining < payload {
            return None;
        }
        self.pass(payload);
        self.last_ns = now_ns;
        self.next = seq.wrapping_add(len);
        Some(self.remaining.min(INSIDE) as u32)
    }

    /// The first part of [`Self::segment`]: gives the offset where the steps begin; the payload's
    /// length when there is nothing to step over.
    #[inline(always)]
    pub fn enter(&mut self, step: &Step, segment: &Segment, len: u32) -> u32 {
        if step.begin {
            self.begin(segment.seq.wrapping_add(step.frames));
            if step.join {
                self.lose();
            }
        } else if step.join || self.flags & STARTED == 0 {
            self.join(segment.seq);
        }
        self.flags &= !MOVED;
        let (offset, seq) = (step.frames, segment.seq.wrapping_add(step.frames));
        if offset >= len {
            return len;
        }
        let at = match place(self.next, segment.received, seq, len - offset) {
            Place::Next(skip) => offset + skip,
            Place::Missed(gap) => {
                if !self.is_over() {
                    self.skip(gap);
                }
                offset
            }
            Place::Ahead => {
                self.ahead(seq, segment.seq.wrapping_add(len));
                return len;
            }
            Place::Noise => return len,
        };
        self.last_ns = segment.now_ns;
        self.next = segment.seq.wrapping_add(len);
        if self.is_over() {
            // Nothing that counts comes behind a close frame or a broken rule.
            return len;
        }
        self.flags |= MOVED;
        let left = u64::from(len - at);
        if self.remaining >= left && self.flags & half_flags::UNSYNCHRONISED == 0 {
            self.pass(left);
            return len;
        }
        at
    }

    /// The last part of [`Self::segment`], where the steps came to `at`; whether there is news.
    #[inline(always)]
    pub fn leave(&mut self, at: u32, len: u32) -> bool {
        if self.flags & MOVED == 0 {
            return false;
        }
        self.flags &= !MOVED;
        if at < len {
            self.lose();
        } else if self.flags & half_flags::UNSYNCHRONISED != 0 {
            self.weigh();
        }
        self.join_ahead();
        self.is_over()
    }

    const fn is_over(&self) -> bool {
        self.over != 0
    }

    /// A continuation of no message, or a message within another.
    const fn is_misplaced(&self, header: &Header) -> bool {
        header.opcode < 8
            && self.fragmented != UNKNOWN
            && (header.opcode == 0) != (self.fragmented != 0)
    }

    /// One step: over the rest of a payload, over a whole header and its payload, or over one byte of a
    /// header. Gives the offset behind it.
    #[inline(always)]
    pub fn step<P: Payload + ?Sized>(&mut self, at: u32, payload: &P, from_client: bool) -> u32 {
        let left = payload.len().saturating_sub(at);
        if self.is_over() || self.evidence == REFUTED {
            return payload.len();
        }
        if self.remaining > 0 {
            let part = self.remaining.min(u64::from(left));
            self.pass(part);
            return at + part as u32;
        }
        let whole = if self.have == 0 { payload.read::<HEADER>(at) } else { None };
        let bytes = if let Some([b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ..]) = whole {
            [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9]
        } else {
            let Some([byte]) = payload.read::<1>(at) else { return payload.len() };
            let have = usize::from(self.have) & (HEADER - 1);
            if let Some(into) = self.header.get_mut(have) {
                *into = byte;
            }
            self.have = have as u8 + 1;
            self.header
        };
        let header = read(&bytes, from_client);
        let behind = match whole {
            Some(_) => u32::from(header.need),
            None if self.have < 2 || self.have < header.need => return at + 1,
            None => 1,
        };
        self.take(&header);
        let part = self.remaining.min(u64::from(left.saturating_sub(behind)));
        self.pass(part);
        at + behind + part as u32
    }

    /// A whole header was read.
    #[inline(always)]
    fn take(&mut self, header: &Header) {
        self.have = 0;
        let lost = self.flags & half_flags::LOST_PLACE != 0;
        let unsynchronised = self.flags & half_flags::UNSYNCHRONISED != 0;
        if header.violation != 0 || (self.is_misplaced(header) && !lost) {
            if lost {
                // Not at a frame's beginning, or found again at the wrong place.
                self.lose();
                self.evidence = REFUTED;
            } else if header.violation != 0 {
                self.over = u16::from(header.violation);
            } else {
                self.over = Violation::BadFragmentation as u16;
            }
            return;
        }
        if unsynchronised && !header.is_evidence {
            self.evidence = REFUTED;
            return;
        }
        self.remaining = header.rest;
        if unsynchronised {
            return;
        }
        match header.opcode {
            8 => {
                self.over = header.close_code;
                self.close_ns = self.last_ns;
            }
            9 => self.pings = self.pings.saturating_add(1),
            10.. => self.pongs = self.pongs.saturating_add(1),
            _ => {
                self.fragmented = u8::from(!header.last);
                if header.rsv1 {
                    self.flags |= half_flags::RSV1;
                }
                if header.last {
                    self.flags |= IN_LAST;
                    self.pass(0);
                }
            }
        }
    }

    /// Payload bytes pass.
    #[inline(always)]
    fn pass(&mut self, bytes: u64) {
        self.remaining -= bytes;
        if self.remaining == 0 && self.flags & IN_LAST != 0 {
            self.flags &= !IN_LAST;
            self.messages = self.messages.saturating_add(1);
        }
    }

    /// Bytes that were never seen, or that passed before their turn.
    #[inline(always)]
    fn skip(&mut self, gap: u32) {
        if self.remaining >= u64::from(gap) && self.have == 0 {
            self.pass(u64::from(gap));
        } else {
            self.lose();
        }
    }

    /// The place is lost.
    #[inline(always)]
    fn lose(&mut self) {
        self.flags = (self.flags | half_flags::LOST_PLACE | half_flags::UNSYNCHRONISED) & !IN_LAST;
        self.remaining = 0;
        self.have = 0;
        self.evidence = 0;
    }

    /// A segment passed while the place was lost: did it consist of whole plausible frames?
    #[inline(always)]
    fn weigh(&mut self) {
        let whole = self.remaining == 0 && self.have == 0 && self.evidence != REFUTED;
        self.remaining = 0;
        self.have = 0;
        self.evidence = if whole { self.evidence + 1 } else { 0 };
        if self.evidence >= EVIDENCE {
            self.flags &= !half_flags::UNSYNCHRONISED;
        }
    }

    /// A segment passed ahead of its turn: its range is remembered, its bytes are gone.
    #[inline(always)]
    fn ahead(&mut self, from: u32, to: u32) {
        if self.ahead_from == self.ahead_to {
            self.ahead_from = from;
            self.ahead_to = to;
        } else if from == self.ahead_to {
            self.ahead_to = to;
        } else if to == self.ahead_from {
            self.ahead_from = from;
        }
    }

    /// The bytes before a remembered range have come: the range's turn is over too.
    #[inline(always)]
    fn join_ahead(&mut self) {
        let before = self.ahead_from.wrapping_sub(self.next);
        if self.ahead_from == self.ahead_to || before.cast_signed() > 0 {
            return;
        }
        let gap = self.ahead_to.wrapping_sub(self.next);
        self.ahead_from = self.ahead_to;
        if gap.cast_signed() > 0 {
            self.next = self.ahead_to;
            if !self.is_over() {
                self.skip(gap);
            }
        }
    }
}

/// Reads a header from its first bytes. Until `need` bytes are there only `need` is meaningful, and
/// it only from the second byte on.
#[inline(always)]
fn read(bytes: &[u8; MEANT], from_client: bool) -> Header {
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9] = *bytes;
    let opcode = b0 & 0x0f;
    let masked = b1 & 0x80 != 0;
    let short = b1 & 0x7f;
    let (extended, payload) = match short {
        126 => (2, u64::from(u16::from_be_bytes([b2, b3]))),
        127 => (8, u64::from_be_bytes([b2, b3, b4, b5, b6, b7, b8, b9])),
        _ => (0, u64::from(short)),
    };
    let mut need = 2 + extended + if masked { 4 } else { 0 };
    let mut rest = payload;
    let mut close_code = 0;
    let mut violation = violation(b0, short, masked, from_client, [b0, b1, b2, b3]);
    if opcode == 8 {
        close_code = 1005;
        if matches!(short, 2..=125) {
            close_code = if masked {
                u16::from_be_bytes([b6 ^ b2, b7 ^ b3])
            } else {
                u16::from_be_bytes([b2, b3])
            };
            need += 2;
            rest -= 2;
        }
        let sendable = matches!(close_code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        if violation == 0 && (short == 1 || (short > 1 && !sendable)) {
            violation = Violation::BadCloseFrame as u8;
        }
    }
    let minimal = match short {
        126 => payload > 125,
        127 => payload > 65535,
        _ => true,
    };
    Header {
        need,
        rest,
        violation,
        opcode,
        last: b0 & 0x80 != 0,
        rsv1: b0 & 0x40 != 0,
        is_evidence: minimal && matches!(opcode, 1 | 2 | 9 | 10),
        close_code,
    }
}

/// The first rule that a header breaks, 0 for none.
#[inline(always)]
fn violation(b0: u8, short: u8, masked: bool, from_client: bool, four: [u8; 4]) -> u8 {
    let opcode = b0 & 0x0f;
    let control = opcode >= 8;
    if four == *b"HTTP" {
        return Violation::HttpHead as u8;
    }
    if matches!(opcode, 3..=7 | 11..=15) {
        return Violation::ReservedOpcode as u8;
    }
    if b0 & 0x30 != 0 || (control && b0 & 0x40 != 0) {
        return Violation::ReservedBits as u8;
    }
    if masked != from_client {
        return if from_client { Violation::UnmaskedFromClient } else { Violation::MaskedFromServer }
            as u8;
    }
    if control && (b0 & 0x80 == 0 || short > 125) {
        return Violation::BadControlFrame as u8;
    }
    if short == 127 && four[2] & 0x80 != 0 {
        return Violation::BadLength as u8;
    }
    0
}

const _: () = assert!(size_of::<Walk>() == 64, "one cache line");
