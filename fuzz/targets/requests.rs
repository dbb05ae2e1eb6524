//! The parser of requests, against httparse: what that reads is read, with the same method and the same fields, and is
//! regular; what that refuses is never told as regular.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstap::http::{self, Version};

/// Fields that are kept, and as they are sent, unless they look like a secret.
const KEPT: &[&str] =
    &["upgrade", "connection", "sec-websocket-version", "sec-websocket-extensions", "via"];

fuzz_target!(|data: &[u8]| {
    let mut fields = vec![httparse::EMPTY_HEADER; data.len() + 1];
    let mut request = httparse::Request::new(&mut fields);
    let strictly = request.parse(data);
    let told = http::parse_request(data);
    let handshake = told.as_ref().ok().and_then(|request| request.handshake.as_ref());
    let Ok(httparse::Status::Complete(_)) = strictly else {
        // A PROXY preamble is skipped here and refused there.
        let is_plain = !data.starts_with(b"PROXY ") && !data.starts_with(b"\r\n\r\n\0\r\nQUIT\n");
        assert!(!is_plain || handshake.is_none_or(|head| head.defect.is_some()), "{told:?}");
        return;
    };
    assert!(told.is_ok(), "httparse reads it: {told:?}");
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let Some(head) = handshake else { return };
    assert_eq!((Some(&*head.method), head.version, head.defect), (request.method, version, None));
    assert!(head.malformed.is_empty());
    for name in KEPT {
        let sent = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let sent: Vec<_> = sent.map(|field| String::from_utf8_lossy(field.value)).collect();
        let kept: Vec<_> = head.headers.all(name).collect();
        assert_eq!(kept.len(), sent.len(), "{name}");
        for (kept, sent) in kept.iter().zip(&sent) {
            assert!(
                kept == sent || kept.contains(http::MASKED),
                "{name}: {sent:?} became {kept:?}"
            );
        }
    }
});
