//! HTTP/1.x heads as values: what a handshake's request and response said, reduced to what the
//! diagnosis may know.
//!
//! In: contiguous bytes of one direction of a connection. Out: [`RequestHead`], [`ResponseHead`].
//! Secrets end here: headers that are not on the allow-list, query strings, credentials and tokens are
//! dropped or masked while parsing, so that no later stage can leak them.

mod framing;
mod head;
pub mod mark;
mod mask;
mod request;
mod response;
mod secrets;
mod text;

pub use framing::Extent;
pub use request::{Request, parse_request, parse_truncated_request};
pub use response::{Response, parse_response, parse_truncated_response};
pub use secrets::masked;
pub use text::{ANSWER_TEXT, answer_text, headless_text, title};

/// Why the bytes at a message's start are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More bytes may make it one.
    #[error("the head is not complete")]
    Incomplete,
    /// No further bytes can make it one.
    #[error("the bytes are not an HTTP/1.x head")]
    Malformed,
}

/// A value that must be compared and must never be shown: `Debug` prints `<masked>`, there is no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself: for comparing and hashing only, never for output.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASKED)
    }
}

/// What stands for a value that is there and must not be shown.
pub const MASKED: &str = "<masked>";

/// The most characters of a value that a client chose, in an event; a longer one is cut and ends in `…`.
pub const MAX_VALUE: usize = 1024;

/// The value, cut to [`MAX_VALUE`] characters.
pub fn bounded(value: &str) -> String {
    // A character has at least a byte.
    if value.len() <= MAX_VALUE || value.chars().count() <= MAX_VALUE {
        return value.to_owned();
    }
    value.chars().take(MAX_VALUE).chain(['…']).collect()
}

/// At most so many subprotocols of a head are kept: each is a piece of memory, and 64 KiB could name 32,000. Where there
/// are so many, there may have been more.
pub const SUBPROTOCOLS: usize = 64;

/// Adds the elements of one `Sec-WebSocket-Protocol` value, as far as there is room for them.
fn keep_subprotocols(kept: &mut Vec<Secret>, value: &str) {
    let tokens = value.split(',').map(str::trim).filter(|token| !token.is_empty());
    kept.extend(tokens.take(SUBPROTOCOLS - kept.len().min(SUBPROTOCOLS)).map(Secret::new));
}

/// How many bytes subprotocols take.
fn held(subprotocols: &[Secret]) -> usize {
    subprotocols.iter().map(|token| size_of::<Secret>() + token.0.len()).sum()
}

/// What was wrong with a head that could be read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// It breaks the grammar of RFC 9112 (a folded line, control characters, an invalid name): the fields that
    /// could be read are there. A folded value keeps its line break.
    Irregular,
    /// Its end was not seen: a field that is absent here may have been sent.
    Truncated,
}

/// The version of an HTTP/1.x message (RFC 9112 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`.
    Http11,
}

/// The allow-listed header fields of one message, in the order in which they came.
///
/// Names are lower case; a repeated field stays repeated.
#[derive(Clone, Default)]
pub struct Headers {
    /// Every name and value, one behind the other: a head is read for every handshake, and a piece of memory
    /// for each field was a quarter of what that cost.
    text: String,
    /// Where in `text` each name starts, its value starts, and that ends.
    fields: Vec<(usize, usize, usize)>,
}

impl Headers {
    /// None, with room for the usual of a head with so many fields and bytes. (What is dropped, a long cookie, must not
    /// take memory for as long as the head is kept.)
    fn with_room(fields: usize, bytes: usize) -> Self {
        let text = String::with_capacity(bytes.min(1024));
        Self { text, fields: Vec::with_capacity(fields.min(32)) }
    }

    /// Adds a field; `name` is folded to lower case.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        if let Some(name) = self.text.get_mut(start..) {
            name.make_ascii_lowercase();
        }
        let middle = self.text.len();
        self.text.push_str(value);
        self.fields.push((start, middle, self.text.len()));
    }

    /// The value of the first field called `name` (lower case), if there is one.
    pub fn first(&self, name: &str) -> Option<&str> {
        let (_, middle, end) = self.fields.iter().find(|field| self.is(field, name))?;
        Some(self.part(*middle, *end))
    }

    /// The values of all fields called `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let named = self.fields.iter().filter(move |field| self.is(field, name));
        named.map(|(_, middle, end)| self.part(*middle, *end))
    }

    /// How many bytes they take.
    fn held(&self) -> usize {
        self.text.capacity() + self.fields.capacity() * size_of::<(usize, usize, usize)>()
    }

    fn is(&self, &(start, middle, _): &(usize, usize, usize), name: &str) -> bool {
        // The length first: every rule asks for names that are mostly not there.
        middle - start == name.len() && self.part(start, middle) == name
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Whether any field called `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The elements of the comma-separated lists of all fields called `name` (RFC 9110 section 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    /// Whether the comma-separated list `name` holds `token`, compared without case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(token))
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|&(start, middle, end)| (self.part(start, middle), self.part(middle, end)))
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The head of an opening handshake's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, as sent.
    pub method: Box<str>,
    /// The path of the target without its query; an absolute-form target is reduced to its path.
    pub path: Box<str>,
    /// Whether the query names a session (`sid=`, as engine.io's does). The value itself is dropped.
    pub names_session: bool,
    /// The version in the request line.
    pub version: Version,
    /// The allow-listed fields. Fields whose value is secret but whose presence matters (`cookie`,
    /// `authorization`, `sec-websocket-key`) are there with the value [`MASKED`], and so are tokens in
    /// `sec-websocket-protocol` that look like credentials.
    pub headers: Headers,
    /// `Sec-WebSocket-Key` as sent, for the accept check and for joining legs; repeated fields are joined by `, `.
    pub key: Option<Secret>,
    /// The subprotocols as offered, unmasked, in order: for comparing with the answer's. At most [`SUBPROTOCOLS`].
    pub subprotocols: Vec<Secret>,
    /// What was wrong with the head, if it is not a regular one.
    pub defect: Option<Defect>,
    /// The fields of a handshake that the head may hold in a form that breaks RFC 9112 section 5 (`Upgrade : websocket`,
    /// `Upgrade websocket`, a lone CR for the line's end): lower case, each once. Of such a field the value is among
    /// `headers` if it could be read; servers refuse the request (section 5.1 wants 400), read the field or do not see
    /// it. So none of them is absent.
    pub malformed: Vec<&'static str>,
}

impl RequestHead {
    /// How many bytes it takes.
    pub fn held(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.0.len());
        let texts = self.method.len() + self.path.len() + key;
        size_of::<Self>() + texts + self.headers.held() + held(&self.subprotocols)
    }
}

/// The head of the answer, and the first bytes of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The version in the status line.
    pub version: Version,
    /// The status code.
    pub status: u16,
    /// The reason phrase, possibly empty.
    pub reason: Box<str>,
    /// The allow-listed fields.
    pub headers: Headers,
    /// The subprotocols that the answer names, unmasked (more than one is a fault of its own). At most [`SUBPROTOCOLS`].
    pub subprotocols: Vec<Secret>,
    /// At most [`BODY_PREFIX`] bytes of the content (a chunked body's chunk-size line is skipped).
    /// For fingerprints only: it never reaches a sink.
    pub body: Box<[u8]>,
    /// Its end was not seen: a field that is absent here may have been sent, and the content was.
    pub truncated: bool,
}

impl ResponseHead {
    /// How many bytes it takes.
    pub fn held(&self) -> usize {
        let texts = self.reason.len() + self.body.len();
        size_of::<Self>() + texts + self.headers.held() + held(&self.subprotocols)
    }
}

/// How many bytes of a response's content are kept for fingerprints.
pub const BODY_PREFIX: usize = 512;
