//! What the first bytes of a segment are, and whether a handshake's own words stand in it.

use core::mem::MaybeUninit;

use crate::payload::{CHUNK, Chunk, LARGE_CHUNK, Payload};

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

/// The word's four aligned windows, lower case.
const WINDOWS: [u32; 4] = [
    u32::from_le_bytes(*b"webs"),
    u32::from_le_bytes(*b"ebso"),
    u32::from_le_bytes(*b"bsoc"),
    u32::from_le_bytes(*b"sock"),
];

/// The length of the word without its last byte: consecutive chunks have so many bytes in common.
const OVERLAP: u32 = 8;
const STRIDE: u32 = CHUNK as u32 - OVERLAP;

/// Whether `websocket` stands in the first [`SCAN`] bytes from `offset`, in any case.
///
/// Every header that makes a request a handshake has the word: `Sec-WebSocket-*` in its name,
/// `Upgrade: websocket` in its value, so one word is the trigger for all of them, also when a hop has
/// stripped `Upgrade`. Whether it really is one of these headers, the parser in user space decides.
#[inline(always)]
pub fn names_websocket<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let mut at = offset;
    let mut round = 0;
    while round < SCAN.div_ceil(STRIDE) && at < payload.len() {
        if payload.chunk_has_ends(at) && payload.chunk_names_websocket(at) {
            return true;
        }
        at += STRIDE;
        round += 1;
    }
    false
}

/// Whether the word `websocket` has one of its four-byte windows in the chunk at `offset`.
///
/// Nine bytes hold an aligned window of four wherever they stand, so one step for every four bytes finds them.
#[inline(always)]
pub fn chunk_names_websocket<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let mut room = MaybeUninit::<Chunk<CHUNK>>::uninit();
    let (words, _) = payload.chunk(offset, &mut room).0.as_chunks::<4>();
    let mut at = offset;
    for bytes in words {
        let word = u32::from_le_bytes(*bytes) | 0x2020_2020;
        if WINDOWS.contains(&word) && payload.is_websocket(at) {
            return true;
        }
        at += 4;
    }
    false
}

/// Whether the chunk at `offset` may hold the word ([`has_ends`]).
#[inline(always)]
pub fn chunk_has_ends<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let mut room = MaybeUninit::<Chunk<CHUNK>>::uninit();
    has_ends(payload.chunk(offset, &mut room).0.as_chunks().0)
}

/// Whether there may be a `w` and, eight bytes on, a `t`, in any case, as the word has them.
///
/// They are the same byte of two words in a row, so eight places are looked at together, without a branch.
#[inline(always)]
fn has_ends(words: &[[u8; 8]]) -> bool {
    const CASE: u64 = u64::from_le_bytes([0x20; 8]);
    const FIRST: u64 = u64::from_le_bytes([b'w'; 8]);
    const LAST: u64 = u64::from_le_bytes([b't'; 8]);
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // More of them in a row and LLVM reads them all first, onto a stack that has no room for them.
    const GROUP: usize = 4;
    const TOP: u64 = u64::from_le_bytes([0x80; 8]);
    let (groups, _) = words.as_chunks::<GROUP>();
    let mut before = 0;
    for group in groups {
        let mut found = 0;
        for bytes in group {
            let word = u64::from_le_bytes(*bytes) | CASE;
            // A byte that is zero in both borrows from its top bit. Others whose top bit is set only cost the search.
            found |= ((before ^ FIRST) | (word ^ LAST)).wrapping_sub(ONES);
            before = word;
        }
        if found & TOP != 0 {
            return true;
        }
    }
    false
}

/// Whether the payload begins as a GET does and ends as a head does.
#[inline(always)]
pub fn is_get<P: Payload + ?Sized>(payload: &P) -> bool {
    payload.read::<4>(0) == Some(*b"GET ") && ends_head(payload)
}

/// What [`signs`] finds.
pub mod sign {
    /// The payload begins as a GET does.
    pub const GET: u32 = 1;
    /// The chunk ends as a head does.
    pub const END: u32 = 2;
    /// It may hold the word `websocket`.
    pub const WORD: u32 = 4;
}

/// The [`sign`]s in the [`LARGE_CHUNK`] at `offset`: [`sign::WORD`] alone, or others, the end only where it is full.
#[inline(always)]
pub fn signs<P: Payload + ?Sized>(payload: &P, offset: u32) -> u32 {
    const GET: u64 = u64::from_le_bytes(*b"GET \0\0\0\0");
    const END: u64 = u64::from_le_bytes(*b"\0\0\0\0\r\n\r\n");
    let mut room = MaybeUninit::<Chunk<LARGE_CHUNK>>::uninit();
    let (words, _) = payload.chunk(offset, &mut room).0.as_chunks();
    if has_ends(words) {
        return sign::WORD;
    }
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return 0 };
    let is_get = is_zero((u64::from_le_bytes(*first) ^ GET) << 32 | u64::from(offset));
    let is_end = is_zero((u64::from_le_bytes(*last) ^ END) >> 32);
    (is_get * sign::GET) | (is_end * sign::END)
}

/// 1 for zero, 0 for all else. Without a branch, each of which the kernel's verifier follows both ways.
#[inline(always)]
const fn is_zero(number: u64) -> u32 {
    ((!number & number.wrapping_sub(1)) >> 63) as u32
}

/// Whether the payload [`is_get`], of [`SCAN`] bytes at most, and does not hold the word `websocket`: what nearly every
/// request is. In few reads, since each costs more than the look at what it read.
#[inline(always)]
pub fn is_plain_get<P: Payload + ?Sized>(payload: &P) -> bool {
    let last = payload.len().saturating_sub(LARGE_CHUNK as u32);
    let mut found = 0;
    let mut at = 0;
    while at < last {
        // An end that is not the payload's own is none.
        found |= payload.signs(at) & !sign::END;
        if found == 0 || at >= SCAN {
            return false;
        }
        if found & sign::WORD != 0 {
            break;
        }
        at += LARGE_CHUNK as u32 - OVERLAP;
    }
    if found & sign::WORD == 0 {
        at = last;
        found |= payload.signs(at);
    }
    // VERIFIER: not asked first, or LLVM leaves the loop without a bound that 5.10 can see.
    if payload.len() > SCAN {
        return false;
    }
    if found & sign::WORD != 0 {
        // As any long cookie may, of which half have a `w` and a `t` at that distance.
        return is_get(payload) && !payload.names_websocket(at);
    }
    found == sign::GET | sign::END || (found == sign::GET && last == 0 && ends_head(payload))
}

/// Whether the word `websocket`, in any case, has one of its first four bytes at `offset`.
#[inline(always)]
pub fn is_websocket<P: Payload + ?Sized>(payload: &P, offset: u32) -> bool {
    let mut before = 0;
    while before < 4 {
        if let Some([a, b, c, d, e, f, g, h, last]) = payload.read(offset.wrapping_sub(before)) {
            let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 0x2020_2020_2020_2020;
            if first == u64::from_le_bytes(*b"websocke") && last | 0x20 == b't' {
                return true;
            }
        }
        before += 1;
    }
    false
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
