//! What the words of an answer speak of, whoever the server is: reason phrase, reject headers, first text.
//!
//! Only words that a server chose count. What a status code's own phrase says, its code says too.

use std::ops::{BitOr, BitOrAssign};

use crate::http::{ResponseHead, title};

/// What words can speak of, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::diagnose) struct Topics(u32);

impl Topics {
    pub(in crate::diagnose) const NONE: Self = Self(0);
    pub(in crate::diagnose) const ORIGIN: Self = Self(1);
    pub(in crate::diagnose) const HOST: Self = Self(1 << 1);
    pub(in crate::diagnose) const CREDENTIALS: Self = Self(1 << 2);
    pub(in crate::diagnose) const SUBPROTOCOL: Self = Self(1 << 3);
    pub(in crate::diagnose) const VERSION: Self = Self(1 << 4);
    pub(in crate::diagnose) const UPGRADE: Self = Self(1 << 5);
    pub(in crate::diagnose) const CONNECTION: Self = Self(1 << 6);
    pub(in crate::diagnose) const KEY: Self = Self(1 << 7);
    pub(in crate::diagnose) const PATH: Self = Self(1 << 8);
    pub(in crate::diagnose) const LIMIT: Self = Self(1 << 9);
    pub(in crate::diagnose) const MAINTENANCE: Self = Self(1 << 10);
    pub(in crate::diagnose) const SIZE: Self = Self(1 << 11);
    pub(in crate::diagnose) const METHOD: Self = Self(1 << 12);
    pub(in crate::diagnose) const SESSION: Self = Self(1 << 13);
    pub(in crate::diagnose) const PERMISSION: Self = Self(1 << 14);
    pub(in crate::diagnose) const UPSTREAM: Self = Self(1 << 15);
    pub(in crate::diagnose) const HTTP_VERSION: Self = Self(1 << 16);

    /// Whether any of `other` is in it.
    pub(in crate::diagnose) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(in crate::diagnose) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(in crate::diagnose) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub(in crate::diagnose) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Topics {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Topics {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

/// At most so many words of an answer are looked at: what comes behind is no message.
const WORDS: usize = 96;

/// Headers in which servers give a reason.
const REASONS: &[&str] =
    &["x-websocket-reject-reason", "x-reject-reason", "x-error-message", "x-error", "x-reason"];

/// What `response` says by itself: its reason phrase when it is not the code's own, reject headers, and the text of its
/// content: of HTML without its markup, and of a page that was served (2xx) its title only.
pub(in crate::diagnose) fn message(response: &ResponseHead) -> String {
    let mut out = String::new();
    if !is_phrase(&response.reason) {
        out.push_str(&response.reason);
    }
    for name in REASONS {
        if let Some(value) = response.headers.first(name) {
            out.push('\n');
            out.push_str(value);
        }
    }
    let text = String::from_utf8_lossy(&response.body);
    out.push('\n');
    if text.trim_start().starts_with('<') {
        let title_only = (200..300).contains(&response.status);
        out.push_str(&if title_only { title(&text).unwrap_or_default() } else { stripped(&text) });
    } else {
        out.push_str(&text);
    }
    out
}

/// The text of an HTML page that begins with `html`, without markup, styles and scripts.
fn stripped(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(rest.get(..open).unwrap_or_default());
        out.push(' ');
        let tag = rest.get(open..).unwrap_or_default();
        let hidden = ["script", "style"].into_iter().find(|name| {
            tag.get(1..=name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let close =
            hidden.map_or(">", |name| if name == "script" { "</script>" } else { "</style>" });
        match tag.find(close) {
            Some(at) => rest = tag.get(at + close.len()..).unwrap_or_default(),
            None => return out,
        }
    }
    out.push_str(rest);
    out
}

/// Phrases that belong to a status code (RFC 9110 section 15), in lower case: they say no more than the code.
const PHRASES: &[&str] = &[
    "",
    "bad gateway",
    "bad request",
    "conflict",
    "error",
    "forbidden",
    "found",
    "gateway time-out",
    "gateway timeout",
    "gone",
    "http error",
    "internal error",
    "internal server error",
    "method not allowed",
    "moved permanently",
    "not acceptable",
    "not found",
    "not implemented",
    "ok",
    "page not found",
    "permanent redirect",
    "proxy error",
    "request timeout",
    "see other",
    "server error",
    "service unavailable",
    "switching protocols",
    "temporary redirect",
    "too many requests",
    "unauthorized",
    "upgrade required",
];

/// Whether `text` is no more than a status code's own words, with or without the code.
pub(in crate::diagnose) fn is_phrase(text: &str) -> bool {
    let bare = text.trim_matches(|c: char| !c.is_ascii_alphabetic());
    PHRASES.iter().any(|phrase| phrase.eq_ignore_ascii_case(bare))
}

/// The text of an answer that has no head: what is not printable becomes a space.
pub(in crate::diagnose) fn of_bytes(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.trim_start().starts_with('<') { stripped(&text) } else { text.into_owned() }
}

/// The status that a text without a head names at its beginning: `Error 404: Not Found`.
pub(in crate::diagnose) fn named_status(bytes: &[u8]) -> Option<u16> {
    let text = of_bytes(bytes.get(..64).unwrap_or(bytes));
    let mut numbers = text.split(|c: char| !c.is_ascii_alphanumeric()).take(8);
    let number =
        numbers.find(|word| word.len() == 3 && word.bytes().all(|c| c.is_ascii_digit()))?;
    number.parse().ok().filter(|status| (400..600).contains(status))
}

/// Whether `text` is 401's phrase.
pub(in crate::diagnose) fn is_unauthorized(text: &str) -> bool {
    text.trim_matches(|c: char| !c.is_ascii_alphabetic()).eq_ignore_ascii_case("unauthorized")
}

/// What `text` speaks of. `offered`: the subprotocols that the request offers.
pub(in crate::diagnose) fn topics(text: &str, offered: &[&str]) -> Topics {
    let lower = text.to_lowercase();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words: Vec<&str> = lower
        .split(|c: char| !is_word(c))
        .map(|word| word.trim_matches('-'))
        .filter(|word| !word.is_empty())
        .take(WORDS)
        .collect();
    let mut found = Topics::NONE;
    for at in 0..words.len() {
        found |= of_word(&Near { words: &words, at }, offered);
    }
    found
}

/// A word and those around it.
struct Near<'a> {
    words: &'a [&'a str],
    at: usize,
}

/// Words that deny something.
const DENIALS: &[&str] = &[
    "bad",
    "blocked",
    "cannot",
    "disallowed",
    "invalid",
    "malformed",
    "mismatch",
    "missing",
    "no",
    "not",
    "unacceptable",
    "unexpected",
    "unknown",
    "unmatched",
    "unrecognized",
    "unsupported",
    "without",
    "wrong",
];

impl Near<'_> {
    /// The word `by` places away.
    fn word(&self, by: isize) -> &str {
        self.at
            .checked_add_signed(by)
            .and_then(|at| self.words.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Whether one of `wanted` stands within three words.
    fn has(&self, wanted: &[&str]) -> bool {
        let from = self.at.saturating_sub(3);
        let near = self.words.iter().skip(from).take(self.at - from + 4);
        near.enumerate().any(|(i, word)| from + i != self.at && wanted.contains(word))
    }

    fn denied(&self) -> bool {
        self.has(DENIALS)
    }
}

#[rustfmt::skip]
fn of_word(near: &Near<'_>, offered: &[&str]) -> Topics {
    let (before, word, after) = (near.word(-1), near.word(0), near.word(1));
    match word {
        "cors" => Topics::ORIGIN,
        "sec-websocket-protocol" | "subprotocol" | "subprotocols" | "sub-protocol" | "sub-protocols" => Topics::SUBPROTOCOL,
        "sec-websocket-version" => Topics::VERSION,
        "sec-websocket-key" | "websocket-key" => Topics::KEY,
        "key" if matches!(before, "websocket" | "handshake") => Topics::KEY,
        "upgrade" | "upgraded" | "upgrades" | "upgrading" if !matches!(after, "your" | "plan" | "now") => Topics::UPGRADE,
        "websocket" | "websockets" if matches!(before, "a" | "only") && near.has(&["not", "only", "expected"]) => Topics::UPGRADE,
        "connection" if after == "header" || (matches!(before, "invalid" | "missing") && near.has(&["upgrade"])) => Topics::CONNECTION,
        "version" if matches!(before, "http") => Topics::HTTP_VERSION,
        "version" | "versions" if near.has(&["websocket", "websockets", "protocol", "unsupported", "handshake"]) => Topics::VERSION,
        "protocol" | "protocols" => protocol(near, offered),
        "token" | "tokens" if !matches!(before, "unexpected" | "upgrade" | "connection" | "websocket") => Topics::CREDENTIALS,
        "api" if after == "key" => Topics::CREDENTIALS,
        "log" | "sign" | "logged" | "signed" if after == "in" => Topics::CREDENTIALS,
        "apikey" | "api-key" | "authenticate" | "authenticated" | "authentication" | "authorization"
        | "authorisation" | "authorized" | "bearer" | "credential" | "credentials" | "csrf" | "jwt" | "login" | "password"
        | "signature" | "unauthenticated" | "unauthorized" | "unauthorised" | "xsrf" => Topics::CREDENTIALS,
        "host" | "hostname" | "hosts" if near.denied() => Topics::HOST,
        "route" | "routes" | "endpoint" | "handler" | "path" | "url" | "uri" | "channel" | "room" | "namespace" | "topic"
            if near.denied() && !near.has(&["key", "version"]) => Topics::PATH,
        "get" if before == "cannot" => Topics::PATH,
        "limit" | "limits" | "quota" | "throttled" | "throttling" | "overloaded" | "concurrent" | "ratelimit" | "rate-limit"
            if !near.has(&["size", "field", "header"]) => Topics::LIMIT,
        "many" | "maximum" if near.has(&["connections", "clients", "users", "requests", "sessions", "sockets"]) => Topics::LIMIT,
        "busy" => Topics::LIMIT,
        "maintenance" | "draining" | "restarting" | "starting" | "offline" => Topics::MAINTENANCE,
        "down" if before == "shutting" => Topics::MAINTENANCE,
        "large" | "long" | "big" if before == "too" => Topics::SIZE,
        "method" if near.denied() || near.has(&["only", "get"]) => Topics::METHOD,
        "session" | "sid" if near.has(&["unknown", "invalid", "no", "not"]) => Topics::SESSION,
        "session" if near.has(&["expired"]) => Topics::CREDENTIALS,
        "banned" | "blacklisted" | "disabled" | "inactive" | "permission" | "permissions" | "revoked" | "subscription"
        | "suspended" | "tenant" => Topics::PERMISSION,
        "upstream" | "backend" | "econnrefused" | "econnreset" | "unreachable" => Topics::UPSTREAM,
        "refused" if before == "connection" => Topics::UPSTREAM,
        "proxy" if near.has(&["trying"]) => Topics::UPSTREAM,
        _ if word.contains("origin") => origin(word, after),
        _ => Topics::NONE,
    }
}

/// `origin` as a word or as a part of a name; not an origin server's, and not "original".
fn origin(word: &str, after: &str) -> Topics {
    let part = word.split('-').any(|part| matches!(part, "origin" | "origins"));
    let joined = word.ends_with("origin") || word.starts_with("originnot");
    let other =
        word.starts_with("transform") || matches!(after, "server" | "servers" | "dns" | "web");
    if (part || joined) && !other { Topics::ORIGIN } else { Topics::NONE }
}

/// "protocol" is HTTP's, the version's, or a subprotocol.
#[rustfmt::skip]
fn protocol(near: &Near<'_>, offered: &[&str]) -> Topics {
    let (before, after) = (near.word(-1), near.word(1));
    if matches!(after, "version" | "versions") {
        // The word behind it tells, and so does the number behind that one.
        let number = near.word(2).bytes().all(|digit| digit.is_ascii_digit()) && !near.word(2).is_empty();
        return if number || near.denied() { Topics::VERSION } else { Topics::NONE };
    }
    if matches!(before, "http" | "https" | "tls" | "ssl" | "transfer" | "switching") || matches!(after, "violation" | "error" | "upgrade") {
        return Topics::NONE;
    }
    let named = offered.iter().any(|name| name.eq_ignore_ascii_case(before) || name.eq_ignore_ascii_case(after));
    let spoken = near.denied()
        || near.has(&["support", "supported", "supports", "selected", "acceptable", "requested", "required", "matching", "common", "expected", "offered"]);
    if named || spoken { Topics::SUBPROTOCOL } else { Topics::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_whoever_says_them() {
        for (text, wanted) in [
            ("Cross origin websockets not allowed", Topics::ORIGIN),
            ("{\"code\":\"origin_not_allowed\"}", Topics::ORIGIN),
            ("Forbidden origin", Topics::ORIGIN),
            ("Not allowed by CORS", Topics::ORIGIN),
            ("the origin server timed out; the original page", Topics::NONE),
            ("client does not support 'binary' protocol", Topics::SUBPROTOCOL),
            ("Invalid protocol selected", Topics::SUBPROTOCOL),
            ("No supported subprotocol", Topics::SUBPROTOCOL),
            ("failed to handle websocket: Unsupported protocol version 6", Topics::VERSION),
            ("Unsupported WebSocket version", Topics::VERSION),
            ("Switching Protocols", Topics::NONE),
            ("Protocol upgrade required", Topics::UPGRADE),
            ("token expired", Topics::CREDENTIALS),
            ("{\"error\":\"invalid_token\"}", Topics::CREDENTIALS),
            ("Unexpected token < in JSON", Topics::NONE),
            ("Can \"Upgrade\" only to \"WebSocket\".", Topics::UPGRADE),
            ("Please upgrade your browser", Topics::NONE),
            ("Sec-WebSocket-Key is missing", Topics::KEY),
            ("tenant is suspended", Topics::PERMISSION),
            ("down for maintenance", Topics::MAINTENANCE),
            ("403 Request Entity Too Large", Topics::SIZE),
            ("maximum number of clients reached", Topics::LIMIT),
            ("rate limit exceeded", Topics::LIMIT),
            ("Cannot GET /nope", Topics::PATH),
            ("invalid Host header", Topics::HOST),
            ("Session ID unknown", Topics::SESSION),
            ("Not Found", Topics::NONE),
            ("hello, world", Topics::NONE),
        ] {
            assert_eq!(topics(text, &[]), wanted, "{text}");
        }
        assert_eq!(topics("the sip protocol", &["sip"]), Topics::SUBPROTOCOL);
    }

    #[test]
    fn a_pages_markup_is_no_message() {
        let html =
            "<html><head><title>404 Not Found</title><style>a{origin:1}</style></head><h1>No</h1>";
        assert_eq!(title(html).as_deref(), Some("404 Not Found"));
        assert_eq!(topics(&stripped(html), &[]), Topics::NONE);
        for phrase in ["Not Found", "404: Not Found", "403 Forbidden", ""] {
            assert!(is_phrase(phrase), "{phrase}");
        }
        assert!(!is_phrase("403 token expired"));
    }
}
