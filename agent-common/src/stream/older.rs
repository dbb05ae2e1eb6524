//! Connections whose 101 nobody here saw: recognised by the frames that they carry.
//!
//! One frame proves little: a few bytes of anything may look like it. So the evidence is what other
//! protocols do not do: [`ENOUGH`] segments that each consist of whole frames, one right behind the
//! other, masked one way and not masked the other (RFC 6455 section 5.1), and at that moment no byte on
//! its way that was not judged. Then a frame begins at the next byte of either half.

use crate::payload::Payload;

/// How many segments must have carried whole frames, both ways taken together, and at least one each
/// way.
pub const ENOUGH: u8 = 4;

/// How many frames of a segment are looked at; one with more is no evidence.
pub const FRAMES: u32 = 8;

/// A bit of what [`whole_frame`] gives: the frame is masked.
pub const MASKED: u32 = 1 << 31;

/// What one direction of a connection carried lately. Written only by the hook of its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Evidence {
    /// Sequence number behind the last segment that counts.
    pub next: u32,
    /// How many segments in a row consisted of whole frames; at most [`ENOUGH`] are counted.
    pub segments: u8,
    /// Whether their frames are masked, 0 or 1.
    pub masked: u8,
    /// Zero.
    pub reserved: u16,
}

impl Evidence {
    /// A segment `seq..seq + len` consisted of whole frames.
    #[inline(always)]
    #[must_use]
    pub const fn take(self, seq: u32, len: u32, masked: bool) -> Self {
        let follows = self.next == seq && (self.masked != 0) == masked;
        let before = if follows { self.segments } else { 0 };
        Self {
            next: seq.wrapping_add(len),
            segments: if before < ENOUGH { before + 1 } else { ENOUGH },
            masked: masked as u8,
            reserved: 0,
        }
    }

    /// Whether this half and the `other` one, whose next byte is `next`, carry frames; this half's
    /// last segment has just passed.
    #[inline(always)]
    pub const fn is_enough(self, other: Self, next: u32) -> bool {
        other.segments > 0
            && other.next == next
            && other.masked != self.masked
            && self.segments + other.segments >= ENOUGH
    }
}

/// A payload in which whole frames are looked for.
pub trait FrameScan: Payload {
    /// See [`whole_frame`].
    fn whole_frame(&self, offset: u32) -> u32 {
        whole_frame(self, offset)
    }
}

impl FrameScan for [u8] {}

/// Whether the segment consists of whole frames of one side: [`MASKED`] or 0 when it does.
#[inline(always)]
pub fn whole_frames<P: FrameScan + ?Sized>(payload: &P) -> Option<u32> {
    let mut at = 0;
    let mut sides = 0;
    let mut round = 0;
    while round < FRAMES && at < payload.len() {
        let frame = payload.whole_frame(at);
        if frame == 0 {
            return None;
        }
        sides |= if frame & MASKED == 0 { 1 } else { 2 };
        at = frame & !MASKED;
        round += 1;
    }
    match sides {
        1 if at == payload.len() => Some(0),
        2 if at == payload.len() => Some(MASKED),
        _ => None,
    }
}

/// The offset behind the frame that begins at `at`, with [`MASKED`]; 0 when there is none, or not all
/// of it, or one of a kind that proves little: a fragment.
#[inline(always)]
pub fn whole_frame<P: Payload + ?Sized>(payload: &P, at: u32) -> u32 {
    // What other protocols begin with ends here, at the first byte: text has its first bit clear.
    let Some([first, second]) = payload.read::<2>(at) else { return 0 };
    let (opcode, short) = (first & 0x0f, second & 0x7f);
    if first & 0xb0 != 0x80 || !matches!(opcode, 1 | 2 | 8 | 9 | 10) {
        return 0;
    }
    if opcode >= 8 && (first & 0x40 != 0 || short > 125) {
        return 0;
    }
    let (header, length) = match short {
        126 => match payload.read::<2>(at + 2) {
            Some(length) => (4, u32::from(u16::from_be_bytes(length))),
            None => return 0,
        },
        // A segment has less than 2^32 bytes.
        127 => match payload.read::<8>(at + 2) {
            Some([0, 0, 0, 0, length @ ..]) => (10, u32::from_be_bytes(length)),
            _ => return 0,
        },
        short => (2, u32::from(short)),
    };
    if (short == 126 && length < 126) || (short == 127 && length <= 0xffff) {
        return 0;
    }
    let masked = second & 0x80 != 0;
    let header = header + if masked { 4 } else { 0 };
    let left = payload.len().wrapping_sub(at);
    if left < header || left - header < length {
        return 0;
    }
    let end = at + header + length;
    if masked { end | MASKED } else { end }
}
