//! Whether the word stands in a segment that every handshake has.

use core::mem::MaybeUninit;

use crate::payload::{Chunk, LARGE_CHUNK, Payload};

/// What [`signs`] is given: a [`LARGE_CHUNK`] at most, by words, and zeros behind it to the end of its [`GROUP`] at least.
pub type Buffer = [u64; LARGE_CHUNK / 8 + GROUP];

/// A payload in which the word is looked for.
pub trait WordScan: Payload {
    /// See [`names_websocket`].
    fn names_websocket(&self, offset: u32) -> bool {
        names_websocket(self, offset)
    }

    /// [`signs`] of the [`LARGE_CHUNK`] at `offset`, or of what there is of it.
    fn signs(&self, offset: u32) -> u32 {
        let mut chunk = MaybeUninit::<Chunk<LARGE_CHUNK>>::uninit();
        let (words, _) = self.chunk(offset, &mut chunk).0.as_chunks();
        let mut buffer: Buffer = [0; _];
        for (to, from) in buffer.iter_mut().zip(words) {
            *to = u64::from_ne_bytes(*from);
        }
        signs(&buffer, self.len().saturating_sub(offset).min(LARGE_CHUNK as u32))
    }
}

impl WordScan for [u8] {}

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
pub fn names_websocket<P: WordScan + ?Sized>(payload: &P, offset: u32) -> bool {
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
fn has_word(buffer: &Buffer, len: u32) -> bool {
    let (groups, _) = buffer.as_chunks();
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
pub fn signs(buffer: &Buffer, len: u32) -> u32 {
    let word = if has_word(buffer, len) { sign::WORD } else { 0 };
    let start = four(buffer, 0) ^ u32::from_le_bytes(*b"GET ");
    let end = four(buffer, len.wrapping_sub(4)) ^ u32::from_le_bytes(*b"\r\n\r\n");
    word | (is_zero(u64::from(start)) * sign::GET) | (is_zero(u64::from(end)) * sign::END)
}

/// The four bytes at an offset, which is taken modulo [`LARGE_CHUNK`].
#[inline(always)]
fn four(buffer: &Buffer, at: u32) -> u32 {
    // A mask and not a question: the kernel's verifier follows each both ways.
    let place = at as usize % LARGE_CHUNK / 8;
    let word = |place: usize| buffer.get(place).map_or(0, |word| u64::from_le(*word));
    let bits = at % 8 * 8;
    (word(place) >> bits | word(place + 1) << 1 << (63 - bits)) as u32
}

/// Whether the payload begins as a GET does and ends as a head does.
#[inline(always)]
pub fn is_get<P: WordScan + ?Sized>(payload: &P) -> bool {
    let last = payload.len().saturating_sub(LARGE_CHUNK as u32);
    let end = payload.signs(last);
    let start = if last == 0 { end } else { payload.signs(0) };
    start & sign::GET != 0 && end & sign::END != 0
}

/// Whether the payload [`is_get`], of [`SCAN`] bytes at most, and does not hold the word `websocket`: what nearly every
/// request is.
#[inline(always)]
pub fn is_plain_get<P: WordScan + ?Sized>(payload: &P) -> bool {
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
