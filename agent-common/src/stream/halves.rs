//! The state of both halves, and the word of each that the other half's hook may read: its phase and its epoch.

/// The request half's state, 20 bytes. Written only by the hook of its direction.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RequestHalf {
    /// Sequence number of the next new byte.
    pub next: u32,
    /// What the response half may read: the phase in bits 16 to 23, the epoch (how many candidate
    /// requests there were, modulo 2^16) below.
    pub word: u32,
    /// How many bytes of the current head were sent to user space.
    pub(super) sent: u32,
    /// The last four bytes of the head so far.
    pub(super) tail: u32,
    /// [`ResponseHalf::answers`] of the other half when an ordinary request with content began.
    pub(super) busy_since: u32,
}

/// The response half's state, 24 bytes. Written only by the hook of its direction.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ResponseHalf {
    /// Sequence number of the next new byte; meaningless while nobody waits for an answer.
    pub next: u32,
    /// What the request half may read: the phase in bits 16 to 23, below it the epoch of the last
    /// candidate whose answer began.
    pub word: u32,
    /// How often an answer began while an ordinary request's content was on its way.
    pub answers: u32,
    /// How many bytes of the current answer were sent to user space.
    pub(super) sent: u32,
    /// The last four bytes of the status line or of the head so far.
    pub(super) tail: u32,
    /// How many bytes of `HTTP/1.1 101` were read.
    pub(super) line: u8,
    pub(super) reserved: [u8; 3],
}

/// The word of the half that requests travel in.
pub(super) mod request_word {
    /// Between requests.
    pub(in crate::stream) const IDLE: u32 = 0;
    /// In the head of a candidate, until its answer begins.
    pub(in crate::stream) const HEAD: u32 = 1;
    /// In the content of an ordinary request, until its answer begins.
    pub(in crate::stream) const BUSY: u32 = 2;
    /// Behind the head of a candidate whose answer has not begun: early frames (or another request).
    pub(in crate::stream) const EARLY: u32 = 3;
    /// After a 101.
    pub(in crate::stream) const TUNNEL: u32 = 4;

    /// The phase in a request half's word.
    pub(in crate::stream) const fn phase(word: u32) -> u32 {
        word >> 16
    }

    /// The epoch in a request half's word.
    pub(in crate::stream) const fn epoch(word: u32) -> u16 {
        word as u16
    }
}

/// The word of the half that answers.
pub(super) mod response_word {
    /// In the status line of an answer. Phase 0 is a connection that never had a candidate.
    pub(in crate::stream) const STATUS: u32 = 1;
    /// In the head of an interim answer (1xx but 101).
    pub(in crate::stream) const INTERIM: u32 = 2;
    /// In the head of a 101.
    pub(in crate::stream) const SWITCHING: u32 = 3;
    /// In any other answer.
    pub(in crate::stream) const REST: u32 = 4;
    /// After a 101.
    pub(in crate::stream) const TUNNEL: u32 = 5;

    /// The epoch in a response half's word.
    pub(in crate::stream) const fn epoch(word: u32) -> u16 {
        word as u16
    }

    pub(in crate::stream) const fn phase(word: u32) -> u32 {
        word >> 16
    }
}

impl RequestHalf {
    /// The state of a connection whose first segment begins at `seq`.
    pub const fn new(seq: u32) -> Self {
        Self { next: seq, word: 0, sent: 0, tail: 0, busy_since: 0 }
    }

    /// The state of a connection that carries frames and whose 101 was not seen.
    pub const fn found() -> Self {
        Self { word: request_word::TUNNEL << 16, ..Self::new(0) }
    }

    /// Whether no request is under way that anyone waits for: segments of the other half then tell
    /// nothing.
    pub const fn is_idle(word: u32) -> bool {
        request_word::phase(word) == request_word::IDLE
    }

    /// Whether the half is behind a 101.
    pub const fn is_tunnel(word: u32) -> bool {
        request_word::phase(word) == request_word::TUNNEL
    }

    /// Whether a candidate's head was seen and no request since, answered or not.
    pub const fn is_candidate(word: u32) -> bool {
        request_word::phase(word) == request_word::HEAD
            || request_word::phase(word) == request_word::EARLY
    }
}

impl ResponseHalf {
    /// As [`RequestHalf::found`].
    pub const fn found() -> Self {
        Self {
            next: 0,
            word: response_word::TUNNEL << 16,
            answers: 0,
            sent: 0,
            tail: 0,
            line: 0,
            reserved: [0; 3],
        }
    }

    /// Whether the half is behind a 101.
    pub const fn is_tunnel(word: u32) -> bool {
        response_word::phase(word) == response_word::TUNNEL
    }
}
