//! Where a head ends, and what its status line says.

use core::mem::MaybeUninit;

use crate::{
    payload::{CHUNK, Chunk, Payload},
    stream::segment::REST_CAP,
};

/// A payload in which heads are looked for.
pub trait HeadScan: Payload {
    /// See [`head_end`].
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        head_end(self, offset, tail, which)
    }

    /// See [`chunk_head_end`].
    fn chunk_head_end(&self, offset: u32, which: Which, found: u32) -> u32 {
        chunk_head_end(self, offset, which, found)
    }

    /// See [`head_end_near`].
    fn head_end_near(&self, offset: u32) -> u32 {
        head_end_near(self, offset)
    }

    /// See [`status_line`].
    fn status_line(&self, offset: u32, line: u32, tail: u32) -> u64 {
        status_line(self, offset, line, tail)
    }
}

impl HeadScan for [u8] {}

/// Whether the payload's last four bytes end a head.
#[inline(always)]
pub fn ends_head<P: Payload + ?Sized>(payload: &P) -> bool {
    let len = payload.len();
    len >= 4 && payload.read::<4>(len - 4) == Some(*b"\r\n\r\n")
}

/// The length of `HTTP/1.1 101`.
pub const STATUS_LINE: u8 = 12;

/// Reads a status line from `offset` on, as far as this segment has it: `line` bytes of it were read, and
/// `tail` are the last four of them. Gives both anew, `line` in the upper half; what is no HTTP/1 status line
/// has 0 for a tail.
#[inline(always)]
pub fn status_line<P: HeadScan + ?Sized>(payload: &P, offset: u32, line: u32, tail: u32) -> u64 {
    if line == 0
        && let Some([h, t1, t2, p, slash, one, dot, _, code @ ..]) = payload.read::<12>(offset)
    {
        let is_http = [h, t1, t2, p, slash, one, dot] == *b"HTTP/1.";
        let tail = if is_http { u32::from_be_bytes(code) } else { 0 };
        return u64::from(STATUS_LINE) << 32 | u64::from(tail);
    }
    let (mut line, mut tail) = (line, tail);
    let mut ahead = 0;
    while ahead < u32::from(STATUS_LINE) && line < u32::from(STATUS_LINE) {
        let Some([byte]) = payload.read::<1>(offset + ahead) else { break };
        tail = tail << 8 | u32::from(byte);
        line += 1;
        ahead += 1;
    }
    u64::from(line) << 32 | u64::from(tail)
}

/// How many bytes [`head_end`] looks at.
pub const HEAD_END_SCAN: u32 = REST_CAP;

/// Which of several head ends [`head_end`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first: where a response's frames begin.
    First,
    /// The last: pipelined requests before the handshake end with one too.
    Last,
}

/// The offset behind a CR LF CR LF in the first [`HEAD_END_SCAN`] bytes from `offset`; 0 for none.
///
/// `tail` holds the last four bytes of the head before this segment, so that an end that straddles
/// segments is found.
#[inline(always)]
pub fn head_end<P: HeadScan + ?Sized>(payload: &P, offset: u32, tail: u32, which: Which) -> u32 {
    let mut found = straddling(payload, offset, tail);
    let mut at = offset;
    let mut round = 0;
    while round < HEAD_END_SCAN / CHUNK as u32 && at < payload.len() {
        if found != 0 && which == Which::First {
            return found;
        }
        found = payload.chunk_head_end(at, which, found);
        at += CHUNK as u32;
        round += 1;
    }
    found
}

/// As [`head_end`], of the head ends that begin in the chunk at `offset`; `found` when there is none in it.
// VERIFIER: an argument, since it is unknown from the beginning then: 5.10 and 6.1 followed each step with a 0 and with
// any number.
#[inline(always)]
pub fn chunk_head_end<P: HeadScan + ?Sized>(
    payload: &P,
    offset: u32,
    which: Which,
    found: u32,
) -> u32 {
    let mut room = MaybeUninit::<Chunk<CHUNK>>::uninit();
    let (words, _) = payload.chunk(offset, &mut room).0.as_chunks::<4>();
    let (mut found, mut at) = (found, offset);
    for bytes in words {
        if has_cr(u32::from_le_bytes(*bytes)) {
            let end = payload.head_end_near(at);
            if end != 0 {
                found = end;
                if which == Which::First {
                    return found;
                }
            }
        }
        at += 4;
    }
    found
}

/// The offset behind a CR LF CR LF that begins in the segment before; 0 for none.
#[inline(always)]
fn straddling<P: HeadScan + ?Sized>(payload: &P, offset: u32, tail: u32) -> u32 {
    let mut tail = tail;
    let mut ahead = 0;
    while ahead < 3 {
        let Some([byte]) = payload.read(offset + ahead) else { return 0 };
        tail = tail << 8 | u32::from(byte);
        ahead += 1;
        if tail == CRLF_CRLF {
            return offset + ahead;
        }
    }
    0
}

/// Whether one of the four bytes is CR (the exact zero-byte test on the difference).
#[inline(always)]
const fn has_cr(word: u32) -> bool {
    let differs = word ^ 0x0d0d_0d0d;
    differs.wrapping_sub(0x0101_0101) & !differs & 0x8080_8080 != 0
}

/// The offset behind a CR LF CR LF that begins in the four bytes at `offset`; 0 for none.
#[inline(always)]
pub fn head_end_near<P: HeadScan + ?Sized>(payload: &P, offset: u32) -> u32 {
    let mut behind = 0;
    while behind < 4 {
        if payload.read::<4>(offset + behind) == Some(*b"\r\n\r\n") {
            return offset + behind + 4;
        }
        behind += 1;
    }
    0
}

/// The four bytes that end a head, as [`push_tail`] collects them.
pub const CRLF_CRLF: u32 = u32::from_be_bytes(*b"\r\n\r\n");

/// Shifts the payload's last bytes, at most four, into `tail`.
#[inline(always)]
pub fn push_tail<P: HeadScan + ?Sized>(tail: u32, payload: &P, offset: u32) -> u32 {
    let len = payload.len();
    match len.wrapping_sub(offset) {
        0 => tail,
        1 => payload.read::<1>(offset).map_or(tail, |[a]| tail << 8 | u32::from(a)),
        2 => payload
            .read::<2>(offset)
            .map_or(tail, |b| tail << 16 | u32::from(u16::from_be_bytes(b))),
        3 => payload
            .read::<3>(offset)
            .map_or(tail, |[a, b, c]| tail << 24 | u32::from_be_bytes([0, a, b, c])),
        _ => payload.read::<4>(len - 4).map_or(tail, u32::from_be_bytes),
    }
}
