//! Pasted texts: a request and a response as a browser's tools, curl or a log print them.

use std::{
    io::Read,
    time::{Duration, SystemTime},
};

use httparse::Status;

use super::{
    Error, Out, Report, devtools, failed,
    pairs::{Pair, feed},
};
use crate::handshake::Limits;

/// How long a text may be; what stands behind is not read.
const TEXT_MAX: u64 = 1024 * 1024;

impl Pair {
    /// What stands behind a handshake's head, where no status line follows, is an answer without a head: the request has no
    /// content.
    fn split_headless(&mut self) {
        let end = self.request.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) =
            end.filter(|_| self.response.is_empty() && self.request.starts_with(b"GET "))
        {
            self.response = self.request.split_off(end + 4);
            if self.response.trim_ascii().is_empty() {
                self.response.clear();
            }
        }
    }
}

pub(super) fn run(name: String, reader: impl Read, limits: Limits, out: Out<'_>) -> Report {
    let mut text = Vec::new();
    if let Err(source) = reader.take(TEXT_MAX).read_to_end(&mut text) {
        return failed(Error::Unreadable { name, source });
    }
    let text = String::from_utf8_lossy(&text);
    let mut pairs = pairs(&text);
    if pairs.is_empty() {
        pairs.extend(devtools::pair(&text));
    }
    if pairs.is_empty() {
        return failed(Error::Unrecognised { name });
    }
    // A text has no time of its own.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    for pair in &mut pairs {
        pair.time = now;
    }
    feed(&pairs, limits, out)
}

/// Finds requests, each with the response that follows it.
fn pairs(text: &str) -> Vec<Pair> {
    #[derive(PartialEq)]
    enum In {
        Nothing,
        Head,
        Content,
    }
    let mut pairs: Vec<Pair> = Vec::new();
    let mut place = In::Nothing;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\r', '\n']);
        // curl marks what it sends, what it receives, and what it says itself.
        let marked =
            line.strip_prefix(['>', '<']).map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
        if marked.is_none()
            && (line.starts_with("* ") || line.starts_with("} [") || line.starts_with("{ ["))
        {
            continue;
        }
        let content_mark = place == In::Content
            && marked.is_some_and(|rest| !is_status(rest) && !is_request(rest));
        let line = if content_mark { line } else { marked.unwrap_or(line) };
        if is_request(line) {
            pairs.push(Pair::default());
            place = In::Head;
        } else if is_status(line) && place != In::Nothing {
            if let Some(pair) = pairs.last_mut() {
                end_head(&mut pair.request);
                // An interim response stands before the final one.
                end_head(&mut pair.response);
            }
            place = In::Head;
        }
        let Some(pair) = pairs.last_mut() else { continue };
        let is_response = !pair.response.is_empty() || is_status(line);
        let into = if is_response { &mut pair.response } else { &mut pair.request };
        into.extend_from_slice(line.as_bytes());
        let kept = place != In::Content || whole.ends_with("\r\n");
        into.extend_from_slice(if kept { b"\r\n" } else { b"\n" });
        if line.trim().is_empty() {
            place = In::Content;
        }
    }
    for pair in &mut pairs {
        pair.split_headless();
        end_head(&mut pair.request);
        end_head(&mut pair.response);
        forget_chunks(&mut pair.response);
    }
    pairs
}

/// Browsers and curl print the content of a chunked response without its chunks: then the field that tells
/// of them does not belong to what is there.
fn forget_chunks(response: &mut Vec<u8>) {
    let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    let (head, content) = response.split_at(end);
    if matches!(httparse::parse_chunk_size(content.trim_ascii_start()), Ok(Status::Complete(_))) {
        return;
    }
    let of_chunks = |line: &&[u8]| {
        line.split(|byte| *byte == b':')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"transfer-encoding"))
    };
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines.filter(|line| !of_chunks(line)).collect();
    *response = [kept.concat().trim_ascii_end(), content].concat();
}

/// Adds the empty line that a paste easily loses.
fn end_head(head: &mut Vec<u8>) {
    if !head.is_empty() && !head.windows(4).any(|four| four == b"\r\n\r\n") {
        head.extend_from_slice(b"\r\n");
    }
}

fn is_request(line: &str) -> bool {
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    is_method
        && words.next().is_some()
        && words.next().is_some_and(|version| version.starts_with("HTTP/1."))
}

fn is_status(line: &str) -> bool {
    line.starts_with("HTTP/1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_and_a_curl_transcript_are_the_same() {
        let paste =
            "notes\n\nGET /ws HTTP/1.1\nHost: x\n\nHTTP/1.1 403 Forbidden\r\nServer: y\n\nno\n";
        let curl = "* Trying\n> GET /ws HTTP/1.1\n> Host: x\n> \n* sent\n< HTTP/1.1 403 Forbidden\n< Server: y\n< \nno\n";
        let expected = Pair {
            request: b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            response: b"HTTP/1.1 403 Forbidden\r\nServer: y\r\n\r\nno\n".to_vec(),
            ..Pair::default()
        };
        assert_eq!(pairs(paste), [expected]);
        assert_eq!(pairs(curl), pairs(paste));
        assert_eq!(
            pairs(paste.trim_end_matches("\n\nno\n"))[0].response,
            b"HTTP/1.1 403 Forbidden\r\nServer: y\r\n\r\n"
        );
        assert_eq!(pairs(&format!("{paste}{paste}")).len(), 2);
        let chunked = |content: &str| {
            format!(
                "GET / HTTP/1.1\n\nHTTP/1.1 400 B\nTransfer-Encoding: chunked\nA: b\n\n{content}"
            )
        };
        assert_eq!(
            pairs(&chunked("no\n"))[0].response,
            b"HTTP/1.1 400 B\r\nA: b\r\n\r\nno\n",
            "printed without its chunks"
        );
        let raw = "2\r\nno\r\n0\r\n\r\n";
        assert!(pairs(&chunked(raw))[0].response.ends_with(raw.as_bytes()));
        assert_eq!(pairs("GET me a coffee\nHTTP/2 200\n"), []);
    }
}
