//! What the first bytes of a segment are.

use super::head::ends_head;
use crate::payload::Payload;

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
    /// What the preface of an HTTP/2 client begins with (RFC 9113 section 3.4).
    Preface = 5,
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
        b"PRI " => Start::Preface,
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
