//! What the first bytes of a segment are, and whether a handshake's own words stand in it.

use core::mem::MaybeUninit;

use crate::payload::{CHUNK, Chunk, LARGE_CHUNK, Payload, Room};

/// What a segment at a request boundary begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Start {
    /// Nothing that a request begins with.
    Other = 0,
    /// A request without content (GET, HEAD, OPTIONS), or an empty line before one.
    Plain = 1,
    /// A request that may have content (POST, PUT, ...).
    Content = 2,
    /// Fewer bytes than a method has, all of which fit one.
    Short = 3,
    /// What a PROXY protocol preamble begins with; the request may stand behind it.
    Preamble = 4,
}

/// Classifies the first bytes of a segment at `offset`.
///
/// The check is the four-byte compare that every data segment of every connection pays.
#[inline(always)]
pub fn start<P: Payload + ?Sized>(payload: &P, offset: u32) -> Start {
    let left = payload.len().wrapping_sub(offset);
    let Some(four) = payload.read::<4>(offset) else {
        return short(payload, offset, left);
    };
    match &four {
        b"GET " | b"HEAD" | b"OPTI" => Start::Plain,
        b"POST" | b"PUT " | b"PATC" | b"DELE" | b"CONN" | b"TRAC" => Start::Content,
        b"PROX" | b"\r\n\r\n" => Start::Preamble,
        // An empty line before the request line (RFC 9112 section 2.2).
        b"\r\nGE" | b"\nGET" => Start::Plain,
        b"\r\nPO" | b"\r\nPU" | b"\r\nPA" => Start::Content,
        _ => Start::Other,
    }
}

/// Segments of one to three bytes: a client that writes byte by byte.
#[inline(always)]
fn short<P: Payload + ?Sized>(payload: &P, offset: u32, left: u32) -> Start {
    let fits = match left {
        1 => payload.read::<1>(offset).is_some_and(|[a]| is_first(a)),
        2 => payload.read::<2>(offset).is_some_and(|[a, b]| {
            matches!(
                &[a, b],
                b"GE" | b"HE" | b"OP" | b"PO" | b"PU" | b"PA" | b"DE" | b"PR" | b"\r\n"
            )
        }),
        3 => payload.read::<3>(offset).is_some_and(|[a, b, c]| {
            matches!(&[a, b, c], b"GET" | b"HEA" | b"OPT" | b"POS" | b"PUT" | b"PAT" | b"DEL")
                || matches!(&[a, b, c], b"PRO" | b"\r\nG" | b"\r\nP" | b"\r\n\r")
        }),
        _ => false,
    };
    if fits { Start::Short } else { Start::Other }
}

const fn is_first(byte: u8) -> bool {
    matches!(byte, b'G' | b'H' | b'O' | b'P' | b'D' | b'\r' | b'\n')
}

/// Whether the segment is a PROXY protocol preamble and nothing else (proxy-protocol.txt sections
/// 2.1 and 2.2): the request comes in a later segment, at a boundary of its own.
#[inline(always)]
pub fn is_lone_preamble<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let left = payload.len().wrapping_sub(offset);
    match payload.read::<16>(offset) {
        Some([b'P', b'R', b'O', b'X', b'Y', b' ', ..]) => {
            left <= 107
                && payload.read::<2>(payload.len() - 2) == Some(*b"\r\n")
                && !ends_head(payload)
        }
        Some([13, 10, 13, 10, 0, 13, 10, b'Q', b'U', b'I', b'T', 10, _, _, high, low]) => {
            left == 16 + u32::from(u16::from_be_bytes([high, low]))
        }
        _ => false,
    }
}

/// Whether the payload's last four bytes end a head.
#[inline(always)]
pub fn ends_head<P: Payload + ?Sized>(payload: &P) -> bool {
    let len = payload.len();
    len >= 4 && payload.read::<4>(len - 4) == Some(*b"\r\n\r\n")
}

/// How many bytes of a segment [`names_websocket`] looks at.
pub const SCAN: u32 = 4096;

/// The length of the word without its last byte: consecutive reads have so many bytes in common.
const OVERLAP: u32 = 8;
const STRIDE: u32 = LARGE_CHUNK as u32 - OVERLAP;

/// Whether `websocket` stands in the first [`SCAN`] bytes from `offset`, in any case, as far as [`signs`] tells.
///
/// Every header that makes a request a handshake has the word: `Sec-WebSocket-*` in its name,
/// `Upgrade: websocket` in its value, so one word is the trigger for all of them, also when a hop has
/// stripped `Upgrade`. Whether it really is one of these headers, the parser in user space decides.
#[inline(always)]
pub fn names_websocket<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let mut at = offset;
    let mut round = 0;
    while round < SCAN.div_ceil(STRIDE) && at < payload.len() {
        if payload.signs(at) & sign::WORD != 0 {
            return true;
        }
        at += STRIDE;
        round += 1;
    }
    false
}

/// How many words of eight bytes are looked at in a row.
// More of them and LLVM reads them all first, onto a stack that has no room for them.
pub const GROUP: usize = 4;

/// The bit that makes a letter lower case, in each byte of a word.
const CASE: u64 = every(0x20);

/// Whether `websocket` stands, in any case, in the first `len` bytes. Hardly ever what only looks like it ([`is_word`]).
///
/// First a `w` is looked for and, eight bytes on, a `t`: they are the same byte of two words in a row, so eight places
/// are looked at together, without a branch.
#[inline(always)]
fn has_word(room: &Room, len: u32) -> bool {
    let (groups, _) = room.as_chunks();
    let (mut before, mut at) = (0, 0);
    for group in groups {
        if at >= len {
            break;
        }
        let mut found = 0;
        let first = before;
        for word in group {
            let word = u64::from_le(*word) | CASE;
            // A byte that is zero in both borrows from its top bit. Others whose top bit is set only cost the next look.
            found |= ((before ^ every(b'w')) | (word ^ every(b't'))).wrapping_sub(every(1));
            before = word;
        }
        if found & every(0x80) != 0 && is_word(first, group) {
            return true;
        }
        at += GROUP as u32 * 8;
    }
    false
}

/// Whether the word ends in the group and begins in it or in `before`: whether five of its letters stand where they should.
/// As any long cookie may have two of them.
#[inline(always)]
fn is_word(before: u64, group: &[u64; GROUP]) -> bool {
    let (mut before, mut found) = (before, 0);
    for word in group {
        let word = u64::from_le(*word) | CASE;
        let mut differs = (before ^ every(b'w')) | (word ^ every(b't'));
        for (letter, behind) in [(b'b', 2), (b's', 3), (b'k', 6)] {
            // In each byte of a word what stands so far behind it.
            let letters = before >> (behind * 8) | word << (64 - behind * 8);
            differs |= letters ^ every(letter);
        }
        // A byte that is zero borrows from its top bit and does not have it.
        found |= differs.wrapping_sub(every(1)) & !differs;
        before = word;
    }
    found & every(0x80) != 0
}

/// The byte, eight times.
const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// 1 for zero, 0 for all else. Without a branch, each of which the kernel's verifier follows both ways.
#[inline(always)]
const fn is_zero(number: u64) -> u32 {
    ((!number & number.wrapping_sub(1)) >> 63) as u32
}

/// What [`signs`] finds.
pub mod sign {
    /// The bytes begin as a GET does.
    pub const GET: u32 = 1;
    /// They end as a head does.
    pub const END: u32 = 2;
    /// They hold the word `websocket`, in any case, or hardly ever what looks like it.
    pub const WORD: u32 = 4;
}

/// The [`sign`]s of the first `len` bytes, [`LARGE_CHUNK`] at most.
#[inline(always)]
pub fn signs(room: &Room, len: u32) -> u32 {
    let word = if has_word(room, len) { sign::WORD } else { 0 };
    let start = four(room, 0) ^ u32::from_le_bytes(*b"GET ");
    let end = four(room, len.wrapping_sub(4)) ^ u32::from_le_bytes(*b"\r\n\r\n");
    word | (is_zero(u64::from(start)) * sign::GET) | (is_zero(u64::from(end)) * sign::END)
}

/// The four bytes at an offset, which is taken modulo [`LARGE_CHUNK`].
#[inline(always)]
fn four(room: &Room, at: u32) -> u32 {
    // A mask and not a question: the kernel's verifier follows each both ways.
    let place = at as usize % LARGE_CHUNK / 8;
    let word = |place: usize| room.get(place).map_or(0, |word| u64::from_le(*word));
    let bits = at % 8 * 8;
    (word(place) >> bits | word(place + 1) << 1 << (63 - bits)) as u32
}

/// Whether the payload begins as a GET does and ends as a head does.
#[inline(always)]
pub fn is_get<P: Payload + ?Sized>(payload: &P) -> bool {
    let last = payload.len().saturating_sub(LARGE_CHUNK as u32);
    let end = payload.signs(last);
    let start = if last == 0 { end } else { payload.signs(0) };
    start & sign::GET != 0 && end & sign::END != 0
}

/// Whether the payload [`is_get`], of [`SCAN`] bytes at most, and does not hold the word `websocket`: what nearly every
/// request is.
#[inline(always)]
pub fn is_plain_get<P: Payload + ?Sized>(payload: &P) -> bool {
    let last = payload.len().saturating_sub(LARGE_CHUNK as u32);
    let mut found = 0;
    let mut at = 0;
    while at < last {
        // An end that is not the payload's own is none.
        found |= payload.signs(at) & !sign::END;
        if found != sign::GET || at >= SCAN {
            return false;
        }
        at += STRIDE;
    }
    found |= payload.signs(last);
    // VERIFIER: not asked first, or LLVM leaves the loop without a bound that 5.10 can see.
    payload.len() <= SCAN && found == sign::GET | sign::END
}

/// The length of `HTTP/1.1 101`.
pub const STATUS_LINE: u8 = 12;

/// Reads a status line from `offset` on, as far as this segment has it: `line` bytes of it were read, and
/// `tail` are the last four of them. Gives both anew, `line` in the upper half; what is no HTTP/1 status line
/// has 0 for a tail.
#[inline(always)]
pub fn status_line<P: Payload + ?Sized>(payload: &P, offset: u32, line: u32, tail: u32) -> u64 {
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
pub const HEAD_END_SCAN: u32 = super::REST_CAP;

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
pub fn head_end<P: Payload + ?Sized>(payload: &P, offset: u32, tail: u32, which: Which) -> u32 {
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
pub fn chunk_head_end<P: Payload + ?Sized>(
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
fn straddling<P: Payload + ?Sized>(payload: &P, offset: u32, tail: u32) -> u32 {
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
pub fn head_end_near<P: Payload + ?Sized>(payload: &P, offset: u32) -> u32 {
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
pub fn push_tail<P: Payload + ?Sized>(tail: u32, payload: &P, offset: u32) -> u32 {
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
