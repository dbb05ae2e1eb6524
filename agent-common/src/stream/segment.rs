//! One segment with data, and what it asks of the hook.

/// How many bytes of a request's head are sent to user space at most: 64 KiB of head and what a
/// segment brings beside it. What comes behind is dropped and the record says `TRUNCATED`.
pub const HEAD_CAP: u32 = 64 * 1024 + 4096;

/// How many bytes of an answer are sent to user space at most: its head and the beginning of its
/// content. What comes behind is not needed.
pub const REST_CAP: u32 = 8192;

/// What one segment of a half asks of the hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Offset of the first byte to send to user space.
    pub from: u32,
    /// How many bytes to send; 0 for none.
    pub len: u32,
    /// The head is longer than the cap.
    pub truncated: bool,
    /// Offset from which this segment's bytes are frames; [`NO_FRAMES`] when none are.
    pub frames: u32,
    /// The walk is made and begins here, at a known frame boundary.
    pub begin: bool,
    /// The walk begins here, without knowing where a frame begins, also when `begin` is set.
    pub join: bool,
    /// The answer is a 101 and its head ends at `frames`.
    pub opened: bool,
}

/// [`Step::frames`] of a segment without frames.
pub const NO_FRAMES: u32 = u32::MAX;

impl Step {
    /// Nothing to do.
    pub const NONE: Self = Self {
        from: 0,
        len: 0,
        truncated: false,
        frames: NO_FRAMES,
        begin: false,
        join: false,
        opened: false,
    };
}

/// One segment with data, as both halves see it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Sequence number of its first byte.
    pub seq: u32,
    /// How far every byte has passed, as far as TCP knows (RFC 9293): of what comes in, RCV.NXT; of
    /// what goes out, SND.NXT, which is `seq` itself for new bytes.
    pub received: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub now_ns: u64,
}
