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

/// A copy of a head's bytes that `httparse` can read: folded lines (RFC 9112 section 5.2) are joined and control
/// characters replaced, byte for byte, so that offsets stay true.
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
    copy
}
