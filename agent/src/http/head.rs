//! Reading a head leniently: a strict pass by `httparse`, then one over a copy in which the bytes that
//! broke the grammar are replaced, with the values taken from the original.

use std::borrow::Cow;

use httparse::{Header, ParserConfig};

/// Parser settings; the lenient ones skip lines that are no fields at all.
pub(super) fn config(lenient: bool) -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .ignore_invalid_headers_in_requests(lenient)
        .ignore_invalid_headers_in_responses(lenient)
        .allow_spaces_after_header_name_in_responses(lenient)
        .allow_multiple_spaces_in_request_line_delimiters(lenient)
        .allow_multiple_spaces_in_response_status_delimiters(lenient);
    config
}

/// Room for every field that a head can have: one a line. [`crate::assemble::STREAM_MAX`] bounds the lines.
pub(super) fn room<'a>(head: &[u8]) -> Vec<Header<'a>> {
    vec![httparse::EMPTY_HEADER; memchr::memchr_iter(b'\n', head).count() + 1]
}

/// The whole lines of a head that was cut off, ended by an empty one; `None` when there is none.
pub(super) fn whole_lines(cut: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memrchr(b'\n', cut)? + 1;
    Some([cut.get(..end)?, b"\r\n"].concat())
}

/// Each field's name as sent and its value as text. `view` is what was parsed, `original` what was on the wire:
/// the same length.
pub(super) fn fields<'a>(
    found: &'a [Header<'a>],
    view: &'a [u8],
    original: &'a [u8],
) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
    found.iter().map(move |field| {
        let at = (field.value.as_ptr() as usize).wrapping_sub(view.as_ptr() as usize);
        let value = at.checked_add(field.value.len()).and_then(|end| original.get(at..end));
        (field.name, text(value.unwrap_or(field.value)))
    })
}

/// A value as text. The check of the whole is much quicker than the replacing, which is hardly ever wanted.
fn text(value: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(value),
    }
}

/// The fields of a handshake that are looked for in lines that are no fields.
const HANDSHAKE: &[&str] = &[
    "connection",
    "host",
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
];

/// Which of them stand in a line of the head that is no field by the grammar, or in what a lone CR or a folded line
/// adds to another field. Each line is read once, as far as its colon.
pub(super) fn malformed(head: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    for line in lines {
        for (i, piece) in
            line.strip_suffix(b"\r").unwrap_or(line).split(|b| *b == b'\r').enumerate()
        {
            let colon = memchr::memchr(b':', piece);
            let name = piece.get(..colon.unwrap_or(piece.len())).unwrap_or_default();
            let is_field = i == 0 && colon.is_some() && is_token(name);
            // A word of a folded value is no field.
            let is_fold = i == 0 && name.first().is_some_and(|first| matches!(first, b' ' | b'\t'));
            if is_field || name.is_empty() || (is_fold && colon.is_none()) {
                continue;
            }
            let words = name.split(|byte| !is_token_char(*byte)).filter(|word| !word.is_empty());
            for word in words {
                let known =
                    HANDSHAKE.iter().find(|known| word.eq_ignore_ascii_case(known.as_bytes()));
                if let Some(known) = known.filter(|known| !found.contains(*known)) {
                    found.push(*known);
                }
            }
        }
    }
    found
}

/// Whether it is a field's name (RFC 9110 section 5.6.2).
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_char(*byte))
}

fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A copy of a head's bytes that `httparse` can read: folded lines (RFC 9112 section 5.2) are joined, a colon is moved
/// to the name that white space parts it from, and control characters are replaced, byte for byte, so that offsets stay
/// true.
pub(super) fn regular(head: &[u8]) -> Vec<u8> {
    const STAND_IN: u8 = b'_';
    let mut copy = head.to_vec();
    let mut first_line = true;
    for (at, pair) in head.windows(2).enumerate() {
        let &[byte, next] = pair else { continue };
        let fold = byte == b'\n' && !first_line && matches!(next, b' ' | b'\t');
        first_line &= byte != b'\n';
        let lone_cr = byte == b'\r' && next != b'\n';
        let control = byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t');
        if (fold || lone_cr || control)
            && let Some(byte) = copy.get_mut(at)
        {
            *byte = STAND_IN;
        }
        let before = at.checked_sub(1);
        if fold && let Some(cr @ b'\r') = before.and_then(|before| copy.get_mut(before)) {
            *cr = STAND_IN;
        }
    }
    let mut at = 0;
    while let Some(line) = copy.get_mut(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        if at > 0
            && let Some(line) = line.get_mut(..length)
        {
            close_up(line);
        }
        at += length;
    }
    copy
}

/// `Name : value` as `Name:  value`.
fn close_up(line: &mut [u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return };
    let (name, _) = line.split_at(colon);
    let length = name.trim_ascii_end().len();
    if length < colon && is_token(name.get(..length).unwrap_or_default()) {
        line.swap(length, colon);
        if let Some(gap @ b'\t') = line.get_mut(colon) {
            *gap = b' ';
        }
    }
}
