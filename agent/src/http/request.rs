//! Request heads: which are opening handshakes, and what those say.
//!
//! A handshake is a request with any `Sec-WebSocket-*` field, or one whose `Upgrade` names `websocket`. The
//! first kind counts because proxies drop the hop-by-hop `Upgrade` and leave the rest (RFC 9110 section 7.6.1).

use std::borrow::Cow;

use super::{
    Defect, Extent, Headers, MASKED, ParseError, RequestHead, Secret, Version,
    framing::{Framing, Start, head_end, message_start},
    head, keep_subprotocols, mask,
    secrets::without_user_information,
};

/// A request at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it says, if it is an opening handshake.
    pub handshake: Option<RequestHead>,
    /// Whether its answer has no content whatever its fields say (`HEAD`).
    pub answer_has_no_content: bool,
    /// Where it ends, counted from the first byte that was given.
    pub extent: Extent,
}

/// Reads the request at the start of `bytes`, behind a PROXY preamble and empty lines if there are any.
pub fn parse_request(bytes: &[u8]) -> Result<Request, ParseError> {
    let Start::At(start) = message_start(bytes) else { return Err(ParseError::Incomplete) };
    let rest = bytes.get(start..).unwrap_or_default();
    let length = head_end(rest).ok_or(ParseError::Incomplete)?;
    let (head, body) = rest.split_at_checked(length).ok_or(ParseError::Incomplete)?;
    let (handshake, method_is_head, framing) = read(head)?;
    let length = start + length;
    Ok(Request {
        handshake,
        answer_has_no_content: method_is_head,
        extent: framing.extent(length, body, Extent::Ends(length as u64)),
    })
}

/// Reads what is there of a handshake whose head was cut off; `None` when that much shows no handshake.
pub fn parse_truncated_request(bytes: &[u8]) -> Option<RequestHead> {
    let Start::At(start) = message_start(bytes) else { return None };
    let head = head::whole_lines(bytes.get(start..)?)?;
    let (handshake, ..) = read(&head).ok()?;
    Some(RequestHead { defect: Some(Defect::Truncated), ..handshake? })
}

type Parsed = (Option<RequestHead>, bool, Framing);

/// Reads a whole head, first by the grammar, then leniently.
fn read(head: &[u8]) -> Result<Parsed, ParseError> {
    parse(head, head, None).or_else(|_| {
        let (mut handshake, method_is_head, framing) =
            parse(&head::regular(head), head, Some(Defect::Irregular))?;
        if let Some(handshake) = &mut handshake {
            handshake.malformed = head::malformed(head);
        }
        Ok((handshake, method_is_head, framing))
    })
}

fn parse(view: &[u8], original: &[u8], defect: Option<Defect>) -> Result<Parsed, ParseError> {
    let mut room = head::room(view);
    let mut request = httparse::Request::new(&mut room);
    let config = head::config(defect.is_some());
    match config.parse_request(&mut request, view) {
        Ok(httparse::Status::Complete(length)) if length == view.len() => {}
        _ => return Err(ParseError::Malformed),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(ParseError::Malformed);
    };
    let mut framing = Framing::default();
    let mut is_handshake = false;
    for (name, value) in head::fields(request.headers, view, original) {
        framing.field(name, &value);
        is_handshake |= announces_handshake(name, &value);
    }
    let handshake = is_handshake.then(|| {
        let fields = head::fields(request.headers, view, original);
        let room = (request.headers.len(), view.len());
        request_head(method, target, version, room, fields, defect)
    });
    Ok((handshake, method == "HEAD", framing))
}

fn announces_handshake(name: &str, value: &str) -> bool {
    const PREFIX: &str = "sec-websocket-";
    if name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
        return true;
    }
    name.eq_ignore_ascii_case("upgrade")
        && value.split(',').any(|protocol| {
            let name = protocol.split('/').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("websocket")
        })
}

fn request_head<'a>(
    method: &str,
    target: &str,
    version: u8,
    (count, bytes): (usize, usize),
    fields: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
    defect: Option<Defect>,
) -> RequestHead {
    let mut headers = Headers::with_room(count, bytes);
    let mut keys: Vec<String> = Vec::new();
    let mut subprotocols = Vec::new();
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            keys.push(value.trim().to_owned());
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            keep_subprotocols(&mut subprotocols, &value);
        }
        if let Some(kept) = mask::request_field(name, &value) {
            headers.push(name, &kept);
        }
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let target = without_user_information(target);
    let bare = target.split('?').next().unwrap_or_default();
    RequestHead {
        method: method.into(),
        path: mask::path(origin_form(bare)).into(),
        names_session: names_session(query),
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
        headers,
        key: (!keys.is_empty()).then(|| Secret::new(keys.join(", "))),
        subprotocols,
        defect,
        malformed: Vec::new(),
    }
}

/// The path of a target without its query: that of an absolute-form target (RFC 9112 section 3.2.2) is what
/// follows the authority.
fn origin_form(bare: &str) -> &str {
    match bare.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').and_then(|path| rest.get(path..)).unwrap_or("/")
        }
        _ if bare.contains('@') && !bare.starts_with('/') => MASKED,
        _ => bare,
    }
}

fn names_session(query: &str) -> bool {
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').any(|pair| pair.split('=').next() == Some("sid"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::SUBPROTOCOLS;

    fn handshake(bytes: &[u8]) -> RequestHead {
        parse_request(bytes).expect("parses").handshake.expect("is a handshake")
    }

    const GET: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn a_handshake_is_read() {
        let head = handshake(GET.as_bytes());
        assert_eq!(&*head.path, "/chat");
        assert_eq!(head.headers.first("host"), Some("x"));
        assert_eq!(head.key, Some(Secret::new("dGhlIHNhbXBsZSBub25jZQ==")));
        assert_eq!(head.defect, None);
        assert!(!format!("{head:?}").contains("dGhl"), "the key never shows");
    }

    #[test]
    fn any_handshake_field_announces_one_and_nothing_else_does() {
        for yes in
            ["sec-websocket-key: x", "SEC-WEBSOCKET-VERSION: 13", "Upgrade: h2c, WebSocket/13"]
        {
            assert!(
                parse_request(format!("GET / HTTP/1.1\r\n{yes}\r\n\r\n").as_bytes())
                    .unwrap()
                    .handshake
                    .is_some()
            );
        }
        for no in [
            "Upgrade: h2c",
            "Upgrade: SPDY/3.1",
            "Upgrade: notwebsocket",
            "X-Note: Upgrade: websocket",
            "Connection: Upgrade",
            "Access-Control-Request-Headers: sec-websocket-key",
        ] {
            let bytes = format!(
                "POST / HTTP/1.1\r\n{no}\r\nContent-Length: 22\r\n\r\nUpgrade: websocket\r\n\r\n"
            );
            let request = parse_request(bytes.as_bytes()).unwrap();
            assert_eq!(request.handshake, None, "{no}");
            assert_eq!(request.extent, Extent::Ends(bytes.len() as u64), "{no}");
        }
    }

    #[test]
    fn an_upgrade_behind_an_ordinary_request_is_found() {
        let first = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let both = format!("{first}{GET}");
        let Extent::Ends(end) = parse_request(both.as_bytes()).unwrap().extent else {
            panic!("has an end")
        };
        assert_eq!(end, first.len() as u64);
        assert_eq!(&*handshake(&both.as_bytes()[end as usize..]).path, "/chat");
    }

    #[test]
    fn odd_but_readable_heads() {
        let head = handshake(
            b"\r\nget http://u:p@h:1/p?sid=1&x HTTP/1.0\nsec-websocket-key: a\nhost: h\n\n",
        );
        assert_eq!((&*head.path, head.version, head.names_session), ("/p", Version::Http10, true));

        let folded = handshake(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\nOrigin:\r\n http://a\r\n .b\r\nHost: h\r\n\r\n");
        assert_eq!(folded.defect, Some(Defect::Irregular));
        assert_eq!(folded.headers.first("origin"), Some("\r\n http://a\r\n .b"));
        assert_eq!(folded.headers.first("host"), Some("h"));

        let control = handshake(
            b"GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\nOrigin: a\x00\rb\r\n:\r\nbad line\r\n\r\n",
        );
        assert_eq!(control.headers.first("origin"), Some("a\0\rb"));

        let proxied = [b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", GET.as_bytes()].concat();
        assert_eq!(handshake(&proxied), handshake(GET.as_bytes()));
    }

    #[test]
    fn a_field_that_breaks_the_grammar_is_not_absent() {
        for (field, broken, is_read) in [
            ("Upgrade: websocket", "Upgrade : websocket", true),
            ("Upgrade: websocket", "Upgrade\t: websocket", true),
            ("Upgrade: websocket", "Upgrade websocket", false),
            ("Upgrade: websocket", "Upgrade\0: websocket", false),
            ("Upgrade: websocket", "X: y\rUpgrade: websocket", false),
            ("Upgrade: websocket", "X: y\r\n Upgrade: websocket", false),
            ("Connection: Upgrade", "Connection \t : Upgrade", true),
            ("Sec-WebSocket-Key:", "Sec-WebSocket-Key :", true),
            ("Sec-WebSocket-Version:", "(Sec-WebSocket-Version):", false),
        ] {
            let head = handshake(GET.replace(field, broken).as_bytes());
            let name = field.split(':').next().unwrap().to_ascii_lowercase();
            assert_eq!(head.malformed, [&*name], "{broken:?}");
            assert_eq!(head.defect, Some(Defect::Irregular));
            assert_eq!(head.headers.has(&name), is_read, "{broken:?}: {head:?}");
        }
        let spaced = handshake(GET.replace("Upgrade: ", "Upgrade : ").as_bytes());
        assert_eq!(spaced.headers.first("upgrade"), Some("websocket"));
        assert_eq!(spaced.key, handshake(GET.as_bytes()).key);
        // Nothing is malformed that only has a long value.
        let folded = GET.replace("Connection: Upgrade", "Connection: keep-alive,\r\n Upgrade");
        assert_eq!(handshake(folded.as_bytes()).malformed, [""; 0]);
        assert_eq!(handshake(GET.as_bytes()).malformed, [""; 0]);
    }

    #[test]
    fn large_heads_and_many_fields() {
        let many = "a: b\r\n".repeat(9000);
        let head = format!("GET / HTTP/1.1\r\n{many}Sec-WebSocket-Key: a\r\n\r\n");
        handshake(head.as_bytes());
        let cut =
            parse_truncated_request(&head.as_bytes()[..head.len() - 2]).expect("shows a handshake");
        assert_eq!(cut.defect, Some(Defect::Truncated));
        assert_eq!(parse_truncated_request(&head.as_bytes()[..1000]), None);
    }

    #[test]
    fn what_a_head_takes_is_bounded() {
        let tokens = "a,".repeat(30_000);
        let field = "Sec-WebSocket-Protocol";
        let head = handshake(
            format!("GET / HTTP/1.1\r\n{field}: {tokens}\r\n{field}: b\r\n\r\n").as_bytes(),
        );
        assert_eq!(head.subprotocols.len(), SUBPROTOCOLS);
        assert!(head.held() < 8192, "{}", head.held());
        let long = "b".repeat(60_000);
        let head =
            handshake(format!("GET / HTTP/1.1\r\n{field}: a\r\nVia: {long}\r\n\r\n").as_bytes());
        assert!((60_000..150_000).contains(&head.held()), "{}", head.held());
    }

    #[test]
    fn secrets_do_not_pass() {
        let head = handshake(
            b"GET http://u:hunter2@h/p?token=hunter2 HTTP/1.1\r\nCookie: hunter2\r\nAuthorization: hunter2\r\n\
            X-Any: hunter2\r\nReferer: http://h/?hunter2\r\nOrigin: http://u:hunter2@h\r\n\
            Sec-WebSocket-Key: hunter2\r\nSec-WebSocket-Protocol: bearer, hunter2\r\n\r\n",
        );
        assert!(!format!("{head:?}").contains("hunter2"), "{head:?}");
        assert_eq!(head.subprotocols.len(), 2);
    }

    #[test]
    fn what_is_not_http_is_malformed() {
        for bytes in [
            "\x16\x03\x01\n\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(parse_request(bytes.as_bytes()), Err(ParseError::Malformed), "{bytes:?}");
        }
        assert_eq!(parse_request(b"GET / HTTP/1.1\r\nHost"), Err(ParseError::Incomplete));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&bytes);
            let _ = parse_truncated_request(&bytes);
        }

        #[test]
        fn no_damaged_head_panics(at in 0..GET.len(), byte: u8, cut in 0..GET.len()) {
            let mut bytes = GET.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse_request(&bytes);
            let _ = parse_truncated_request(&bytes[..cut]);
        }

        #[test]
        fn a_cut_head_is_incomplete(cut in 0..GET.len()) {
            prop_assert_eq!(parse_request(&GET.as_bytes()[..cut]), Err(ParseError::Incomplete));
        }
    }
}
