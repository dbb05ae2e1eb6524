//! Where an HTTP/1.x message starts and where it ends.
//!
//! In: contiguous bytes. Out: offsets. Nothing here looks at what a head says beyond its framing.

use httparse::Status;

/// Where the first message in some bytes starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At this offset, behind a PROXY protocol preamble and empty lines.
    At(usize),
    /// The preamble is not complete.
    Incomplete,
}

/// Where a message ends, as an offset from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Here; the offset may lie beyond the bytes that are there.
    Ends(u64),
    /// A chunked body whose end is not among the bytes that are there.
    Chunked,
    /// With the connection.
    Open,
}

/// The longest PROXY protocol version 1 line (section 2.1 of its specification).
const PROXY_V1_MAX: usize = 107;
/// The signature of the PROXY protocol version 2 (section 2.2 of its specification).
const PROXY_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Skips a PROXY protocol preamble and the empty lines that RFC 9112 section 2.2 wants tolerated.
pub(super) fn message_start(bytes: &[u8]) -> Start {
    let Some(after_preamble) = preamble(bytes) else { return Start::Incomplete };
    let rest = bytes.get(after_preamble..).unwrap_or_default();
    let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if empty == rest.len() { Start::Incomplete } else { Start::At(after_preamble + empty) }
}

/// The length of the PROXY preamble, 0 when there is none, `None` when it is not complete.
fn preamble(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < PROXY_V2.len() && PROXY_V2.starts_with(bytes) {
        // Could still become the signature, which begins like empty lines.
        return None;
    }
    if bytes.starts_with(PROXY_V2) {
        let length = bytes.get(14..16)?;
        let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        return (bytes.len() >= 16 + length).then_some(16 + length);
    }
    if bytes.starts_with(b"PROXY ") {
        let line = bytes.iter().take(PROXY_V1_MAX).position(|b| *b == b'\n');
        return match line {
            Some(end) => Some(end + 1),
            None if bytes.len() < PROXY_V1_MAX => None,
            None => Some(0),
        };
    }
    Some(0)
}

/// The offset behind the empty line that ends a head.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(line) = memchr::memchr(b'\n', bytes.get(at..)?) {
        at += line + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// What a head says about its body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    /// The last `Content-Length`, if it is a number.
    pub(super) length: Option<u64>,
    /// Whether `Transfer-Encoding` ends in `chunked`.
    pub(super) chunked: bool,
}

impl Framing {
    /// Takes notice of a field.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("content-length") {
            self.length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value.rsplit(',').next().unwrap_or_default();
            self.chunked = last.trim().eq_ignore_ascii_case("chunked");
        }
    }

    /// Where the message ends (RFC 9112 section 6.3), for a head of `head` bytes with `body` behind it.
    pub(super) fn extent(self, head: usize, body: &[u8], without_length: Extent) -> Extent {
        if self.chunked {
            return match chunks(body, |_| {}) {
                Some(length) => Extent::Ends(head as u64 + length as u64),
                None => Extent::Chunked,
            };
        }
        self.length
            .map_or(without_length, |length| Extent::Ends((head as u64).saturating_add(length)))
    }

    /// At most `limit` bytes of the content that `body` holds.
    pub(super) fn content(self, body: &[u8], limit: usize) -> Vec<u8> {
        let mut content = Vec::new();
        if self.chunked {
            chunks(body, |data| {
                let room = limit - content.len();
                content.extend_from_slice(data.get(..room).unwrap_or(data));
            });
        } else {
            let length = self
                .length
                .map_or(limit, |length| limit.min(usize::try_from(length).unwrap_or(limit)));
            content.extend_from_slice(body.get(..length).unwrap_or(body));
        }
        content
    }
}

/// Walks a chunked body; gives its length once its end is among the bytes.
fn chunks(body: &[u8], mut data: impl FnMut(&[u8])) -> Option<usize> {
    let mut at = 0usize;
    loop {
        let rest = body.get(at..)?;
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(rest) else {
            return None;
        };
        at += line;
        if size == 0 {
            // Trailer fields end in an empty line; mostly there are none.
            let trailer = body.get(at..)?;
            return match trailer {
                [b'\r', b'\n', ..] => Some(at + 2),
                [b'\n', ..] => Some(at + 1),
                _ => head_end(trailer).map(|length| at + length),
            };
        }
        let size = usize::try_from(size).ok()?;
        let rest = body.get(at..)?;
        data(rest.get(..size).unwrap_or(rest));
        at = at.checked_add(size)?;
        match body.get(at..)? {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preambles_and_empty_lines_are_skipped() {
        assert_eq!(message_start(b"GET / HTTP/1.1\r\n"), Start::At(0));
        assert_eq!(message_start(b"\r\n\nGET"), Start::At(3));
        assert_eq!(message_start(b"\r\n"), Start::Incomplete);
        assert_eq!(message_start(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET"), Start::At(32));
        assert_eq!(message_start(b"PROXY TCP4 1.2.3.4"), Start::Incomplete);
        let mut v2 = PROXY_V2.to_vec();
        v2.extend([0x21, 0x11, 0, 12]);
        assert_eq!(message_start(&v2), Start::Incomplete);
        v2.extend([b'\n'; 12]);
        v2.extend(b"GET");
        assert_eq!(message_start(&v2), Start::At(28));
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nbody";
        for cut in 0..head.len() {
            assert_eq!(head_end(&head[..cut]), (cut >= 27).then_some(27), "{cut}");
        }
        assert_eq!(head_end(b"GET / HTTP/1.1\nHost: x\n\n"), Some(24));
    }

    #[test]
    fn chunked_bodies() {
        let framing = Framing { length: None, chunked: true };
        let body = b"5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\n\r\nGET";
        assert_eq!(framing.extent(10, body, Extent::Open), Extent::Ends(10 + 27));
        assert_eq!(framing.content(body, 6), b"hello ");
        for cut in 0..27 {
            assert_eq!(framing.extent(10, &body[..cut], Extent::Open), Extent::Chunked, "{cut}");
        }
        assert_eq!(framing.content(b"ff\r\nhel", 6), b"hel");
    }
}
