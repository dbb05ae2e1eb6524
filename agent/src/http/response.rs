//! Response heads and the first bytes of their content.

use super::{
    BODY_PREFIX, Extent, Headers, ParseError, ResponseHead, Version,
    framing::{Framing, Start, head_end, message_start},
    head, keep_subprotocols, mask, masked,
};

/// A response at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What it says.
    pub head: ResponseHead,
    /// Whether it is interim (1xx other than 101): the final one follows (RFC 9110 section 15.2).
    pub interim: bool,
    /// Whether [`ResponseHead::body`] will not grow with more bytes.
    pub body_complete: bool,
    /// Where it ends, counted from the first byte that was given.
    pub extent: Extent,
}

/// Reads the response at the start of `bytes`. `no_content`: the request was a `HEAD`.
pub fn parse_response(bytes: &[u8], no_content: bool) -> Result<Response, ParseError> {
    let Start::At(start) = message_start(bytes) else { return Err(ParseError::Incomplete) };
    let rest = bytes.get(start..).unwrap_or_default();
    let length = head_end(rest).ok_or(ParseError::Incomplete)?;
    let (head, body) = rest.split_at_checked(length).ok_or(ParseError::Incomplete)?;
    let (mut head, framing) = read(head)?;
    // RFC 9112 section 6.3, rules 1 and 2.
    let no_content = no_content || matches!(head.status, 100..200 | 204 | 304);
    let end = start + length;
    let extent =
        if no_content { Extent::Ends(end as u64) } else { framing.extent(end, body, Extent::Open) };
    if !no_content {
        head.body = framing.content(body, BODY_PREFIX).into();
    }
    let ended = matches!(extent, Extent::Ends(end) if end <= bytes.len() as u64);
    let interim = is_interim(&head);
    let body_complete = ended || head.body.len() >= BODY_PREFIX;
    Ok(Response { head, interim, body_complete, extent })
}

/// Reads what is there of a final response whose head was cut off; `None` when that much shows none. It is taken to end
/// with the connection.
pub fn parse_truncated_response(bytes: &[u8]) -> Option<Response> {
    let Start::At(start) = message_start(bytes) else { return None };
    let head = head::whole_lines(bytes.get(start..)?)?;
    let (head, _) = read(&head).ok().filter(|(head, _)| !is_interim(head))?;
    Some(Response {
        head: ResponseHead { truncated: true, ..head },
        interim: false,
        body_complete: true,
        extent: Extent::Open,
    })
}

fn is_interim(head: &ResponseHead) -> bool {
    head.status != 101 && (100..200).contains(&head.status)
}

/// Reads a whole head, first by the grammar, then leniently.
fn read(head: &[u8]) -> Result<(ResponseHead, Framing), ParseError> {
    parse(head, head, false).or_else(|_| parse(&head::regular(head), head, true))
}

fn parse(
    view: &[u8],
    original: &[u8],
    lenient: bool,
) -> Result<(ResponseHead, Framing), ParseError> {
    let mut room = head::room(view);
    let mut response = httparse::Response::new(&mut room);
    match head::config(lenient).parse_response(&mut response, view) {
        Ok(httparse::Status::Complete(length)) if length == view.len() => {}
        _ => return Err(ParseError::Malformed),
    }
    let (Some(version), Some(status)) = (response.version, response.code) else {
        return Err(ParseError::Malformed);
    };
    let mut framing = Framing::default();
    let mut headers = Headers::with_room(response.headers.len(), view.len());
    let mut subprotocols = Vec::new();
    for (name, value) in head::fields(response.headers, view, original) {
        framing.field(name, &value);
        if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            keep_subprotocols(&mut subprotocols, &value);
        }
        if let Some(kept) = mask::response_field(name, &value) {
            headers.push(name, &kept);
        }
    }
    let head = ResponseHead {
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
        status,
        reason: masked(response.reason.unwrap_or_default()).into(),
        headers,
        subprotocols,
        body: Box::default(),
        truncated: false,
    };
    Ok((head, framing))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Response {
        parse_response(text.as_bytes(), false).expect("parses")
    }

    #[test]
    fn a_101_ends_with_its_head() {
        let text = "HTTP/1.0 101\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let response = whole(&format!("{text}\u{1}"));
        assert_eq!((response.head.status, response.head.version), (101, Version::Http10));
        assert_eq!(response.extent, Extent::Ends(text.len() as u64));
        assert!(response.body_complete);
        assert_eq!(response.head.subprotocols.len(), 1);
    }

    #[test]
    fn interim_responses_end_with_their_head() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let response = whole(&format!("{text}HTTP/1.1 403 \r\n\r\n"));
        assert!(response.interim);
        assert_eq!(response.extent, Extent::Ends(text.len() as u64));
        let response = whole("HTTP/1.1 403 \r\n\r\n");
        assert!(!response.interim);
        assert_eq!((response.head.status, &*response.head.reason), (403, ""));
    }

    #[test]
    fn content_is_kept_up_to_a_bound() {
        let response = whole("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nForb");
        assert_eq!((&*response.head.body, response.body_complete), (&b"Forb"[..], false));
        let chunked =
            whole("HTTP/1.1 400 B\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!((&*chunked.head.body, chunked.body_complete), (&b"hello"[..], true));
        let endless = whole(&format!("HTTP/1.1 500 E\r\n\r\n{}", "x".repeat(2000)));
        assert_eq!((endless.head.body.len(), endless.extent), (BODY_PREFIX, Extent::Open));
        assert!(endless.body_complete);
    }

    #[test]
    fn odd_but_readable_heads() {
        assert_eq!(whole("HTTP/1.1 403 Access denied\r\n\r\n").extent, Extent::Open);
        let odd = whole("HTTP/1.1  404 Not Found\nServer: a\n b\nServer : c\n\n");
        assert_eq!(odd.head.headers.all("server").collect::<Vec<_>>(), ["a\n b", "c"]);
        assert_eq!(
            parse_response(b"HTTP/1.1 404 N\r\nContent-Length: 9\r\n\r\n", true).unwrap().extent,
            Extent::Ends(37)
        );
        assert_eq!(parse_response(b"{\"type\":\"error\"}\n\n", false), Err(ParseError::Malformed));
    }

    #[test]
    fn of_a_head_that_was_cut_off_the_whole_lines_are_read() {
        let text = "HTTP/1.1 403 No\r\nServer: a\r\nDate: 1\r\nVia: 2\r\n\r\n";
        for (cut, status, fields) in [
            (12, None, 0),
            (17, Some(403), 0),
            (30, Some(403), 1),
            (text.len() - 3, Some(403), 2),
            (text.len() - 2, Some(403), 3),
        ] {
            assert_eq!(parse_response(&text.as_bytes()[..cut], false), Err(ParseError::Incomplete));
            let read = parse_truncated_response(&text.as_bytes()[..cut]);
            let found = read.as_ref().map(|read| read.head.headers.iter().count());
            assert_eq!(read.as_ref().map(|read| read.head.status), status, "{cut}");
            assert_eq!(found.unwrap_or(0), fields, "{cut}");
            assert!(read.is_none_or(|read| read.head.truncated && read.body_complete));
        }
        // Behind an interim response comes another one.
        assert_eq!(parse_truncated_response(b"HTTP/1.1 103 Early Hints\r\nLink: x"), None);
        assert!(parse_truncated_response(b"HTTP/1.1 101 \r\nUpgrade: x").is_some());
        assert_eq!(parse_truncated_response(b"{}\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_response(&bytes, false);
            let _ = parse_truncated_response(&bytes);
            let _ = parse_response(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat(), false);
        }
    }
}
