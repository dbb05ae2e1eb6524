//! The request of a handshake, byte by byte: what a client sends, and in which form.

use base64::Engine as _;

use crate::audit::{
    mark::{self, random},
    target::Target,
};

/// How the request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The example of RFC 6455 section 1.2.
    #[default]
    Plain,
    /// Firefox: `Connection: keep-alive, Upgrade` and its usual fields.
    Firefox,
    /// Chrome's order and fields.
    Chrome,
    /// Field names in lower case, as HTTP/2-minded clients write them.
    LowerCase,
}

/// What a handshake sends beyond what every one must.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// The page's origin; `None`: no such field.
    pub origin: Option<String>,
    /// How it is written.
    pub form: Form,
    /// The subprotocols that are offered.
    pub subprotocols: Vec<String>,
    /// Whether permessage-deflate is offered.
    pub deflate: bool,
    /// Fields of this probe.
    pub extra: Vec<(&'static str, String)>,
    /// The head is filled up to so many bytes.
    pub bytes: usize,
}

/// What every handshake of an audit carries because the user says so.
#[derive(Clone, Default)]
pub struct Given {
    /// `--header`.
    pub headers: Vec<(String, String)>,
    /// The value of `Cookie`.
    pub cookie: Option<String>,
}

/// The offer of permessage-deflate (RFC 7692): without context takeover each message stands for itself.
pub const DEFLATE: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A request as it is sent.
#[derive(Clone)]
pub struct Request {
    /// Name and value of each field, in order. Values may be secret.
    pub fields: Vec<(String, String)>,
    /// The target of the request line. May hold a secret.
    pub target: String,
    /// `Sec-WebSocket-Key`.
    pub key: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Request {
    /// The value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The longest field that fills a head, in bytes: below what servers take in one line (nginx and Apache 8 KiB).
const FILLER: usize = 3000;

/// Writes a request.
pub fn write(target: &Target, given: &Given, handshake: &Handshake, mark: &str) -> Request {
    let key = key();
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
    add("Host", &target.authority());
    match handshake.form {
        Form::Firefox => {
            add(
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            );
            add("Accept", "*/*");
            add("Accept-Language", "en-US,en;q=0.5");
            add("Accept-Encoding", "gzip, deflate, br, zstd");
        }
        Form::Chrome => {
            add("Connection", "Upgrade");
            add("Pragma", "no-cache");
            add("Cache-Control", "no-cache");
            add(
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/143.0.0.0 Safari/537.36",
            );
            add("Upgrade", "websocket");
        }
        Form::Plain | Form::LowerCase => {
            add("User-Agent", concat!("wstap-audit/", env!("CARGO_PKG_VERSION")));
            add("Upgrade", "websocket");
            add("Connection", "Upgrade");
        }
    }
    if let Some(origin) = &handshake.origin {
        add("Origin", origin);
    }
    add("Sec-WebSocket-Version", "13");
    if handshake.form == Form::Chrome {
        add("Accept-Encoding", "gzip, deflate, br, zstd");
        add("Accept-Language", "en-US,en;q=0.9");
    }
    add("Sec-WebSocket-Key", &key);
    if handshake.deflate {
        add("Sec-WebSocket-Extensions", DEFLATE);
    }
    if !handshake.subprotocols.is_empty() {
        add("Sec-WebSocket-Protocol", &handshake.subprotocols.join(", "));
    }
    if handshake.form == Form::Firefox {
        add("Connection", "keep-alive, Upgrade");
        add("Sec-Fetch-Dest", "websocket");
        add("Sec-Fetch-Mode", "websocket");
        add("Sec-Fetch-Site", "same-origin");
        add("Pragma", "no-cache");
        add("Cache-Control", "no-cache");
        add("Upgrade", "websocket");
    }
    if let Some(cookie) = &given.cookie {
        add("Cookie", cookie);
    }
    for (name, value) in &given.headers {
        add(name, value);
    }
    for (name, value) in &handshake.extra {
        add(name, value);
    }
    add(mark::FIELD, mark);
    if handshake.form == Form::LowerCase {
        for (name, _) in &mut fields {
            name.make_ascii_lowercase();
        }
    }
    let line = target.request_target();
    fill(&line, &mut fields, handshake.bytes);
    Request { bytes: bytes(&line, &fields), target: line, key, fields }
}

/// Adds fields until the head has so many bytes.
fn fill(target: &str, fields: &mut Vec<(String, String)>, wanted: usize) {
    let mut number = 0;
    loop {
        let have = bytes(target, fields).len();
        // Name, colon, space and line end of one more.
        let overhead = "X-Filler-00: \r\n".len();
        let Some(left) = wanted.checked_sub(have + overhead).filter(|left| *left > 0) else {
            return;
        };
        fields.push((format!("X-Filler-{number:02}"), "x".repeat(left.min(FILLER))));
        number += 1;
    }
}

fn bytes(target: &str, fields: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("GET {target} HTTP/1.1\r\n");
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// 16 random bytes in base64 (RFC 6455 section 4.1).
pub fn key() -> String {
    let bytes = [random().to_be_bytes(), random().to_be_bytes()].concat();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_request;

    #[test]
    fn every_form_is_a_sound_handshake() {
        let target = Target::parse("wss://app.example:8443/ws?a=b").unwrap();
        for form in [Form::Plain, Form::Firefox, Form::Chrome, Form::LowerCase] {
            let handshake = Handshake {
                origin: Some("https://app.example:8443".into()),
                form,
                deflate: true,
                ..Handshake::default()
            };
            let request = write(&target, &Given::default(), &handshake, "a.b.c");
            let head = parse_request(&request.bytes).unwrap().handshake.unwrap();
            assert!(head.headers.has_token("connection", "upgrade"), "{form:?}");
            assert!(head.headers.has_token("upgrade", "websocket"), "{form:?}");
            assert_eq!(head.headers.first("host"), Some("app.example:8443"));
            assert_eq!(head.defect, None);
        }
    }

    #[test]
    fn a_head_is_filled_to_the_byte() {
        let target = Target::parse("ws://a/").unwrap();
        for bytes in [8 * 1024, 16 * 1024] {
            let handshake = Handshake { bytes, ..Handshake::default() };
            let request = write(&target, &Given::default(), &handshake, "m");
            assert!(request.bytes.len() <= bytes && request.bytes.len() + 20 > bytes);
        }
    }

    #[test]
    fn keys_are_sixteen_bytes_and_differ() {
        assert_eq!(key().len(), 24);
        assert_ne!(key(), key());
    }
}
