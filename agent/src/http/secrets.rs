//! What a secret looks like, wherever in a value it stands.
//!
//! In: text that somebody else chose. Out: the same with what looks like a secret masked. The allow-list of fields
//! ([`super::mask`]) says what is shown at all; this says what of it is not, also where no field of that kind should
//! have it, because a head can be malformed in every way.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use super::MASKED;

/// A kind of secret.
struct Kind {
    /// Whether a value may hold one: most hold none, and this is cheap.
    may_hold: fn(&str) -> bool,
    /// Finds it; what the group `keep` matched stays in front of the mask, and `end` behind it.
    pattern: Regex,
}

type Said<'a> = (fn(&str) -> bool, &'a str);

fn kinds(kinds: &[Said<'_>]) -> Vec<Kind> {
    // The patterns are constants: a test compiles them.
    let compiled = |(may_hold, pattern): &Said<'_>| {
        Regex::new(pattern).ok().map(|pattern| Kind { may_hold: *may_hold, pattern })
    };
    kinds.iter().filter_map(compiled).collect()
}

/// User information of a URL (RFC 3986 section 3.2.1).
static USER_INFORMATION: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    kinds(&[
        // However many slashes the scheme has; also with a password that has to be encoded and is not, as long as what
        // is behind the colon is no port.
        (
            has_at,
            r#"(?<keep>:/+|//+)[^\s,"<>/?#:]*:(?:[^\s,"<>0-9]|[0-9]{1,5}[^\s,"<>0-9/?#]|[0-9]{6})[^\s,"<>]*(?<end>@|%40)"#,
        ),
        (has_at, r#"(?<keep>:/+|//+)[^\s,"<>/?#]*(?<end>@|%40)"#),
        // And without a scheme: `user:password@host` in a host, a list or a path.
        (has_at, r#"(?<keep>^|[\s,"<>/(=;?])[^\s,"<>/(=;?]+(?<end>@|%40)"#),
    ])
});

/// All else.
static OTHERS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    kinds(&[
        // The query of a URL.
        (|text| text.contains('?'), r#"(?<keep>\?)[^\s,"]+"#),
        // A field of its own that a folded line or a lone CR put into another one's value, and all behind it.
        (has_break, r"(?s)(?<keep>[\r\n][ \t]*[^\s:]+[ \t]*:)(?:[^/]|/[^/]).*"),
        // `token=...`, `"token":"..."` and their like.
        (
            has_equals,
            &format!(
                r#"(?<keep>{NAMES}(?:["']?\s*(?:=|(?i-u:%3d))|["']\s*:)\s*["']?)[^\s,;&\#"'<>]+"#
            ),
        ),
        // Credentials behind their scheme (RFC 9110 section 11.4).
        (
            |text| text.contains([' ', '\t', '+']) || text.contains("%20"),
            r"(?<keep>(?i-u:\b(?:bearer|basic|digest|negotiate|ntlm))(?:[\s+]|%20)+)[^\s,;<>]+",
        ),
        // A JSON web token (RFC 7519), and keys that their makers gave a name.
        (|text| text.contains("eyJ"), r"eyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9_.=-]*"),
        (
            |text| text.len() >= 16,
            r"(?-u:\b(?:[spr]k_(?:live|test)_\w{8,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|xox[abeprs]-[\w-]{8,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}|glpat-[\w-]{12,}))",
        ),
    ])
});

/// How names of secrets end.
const NAMES: &str = r"(?i-u:token|secret|passw(?:or)?d|pwd|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|websocket-key|session(?:[-_]?id)?|\bsid|\bsig|signature|jwt|\bauth|authorization|authentication|cookie|credentials?|ticket)";

fn has_at(text: &str) -> bool {
    text.contains('@') || text.contains("%40")
}

fn has_break(text: &str) -> bool {
    text.contains(['\r', '\n'])
}

fn has_equals(text: &str) -> bool {
    text.contains('=') || text.contains("%3") || text.contains("\":") || text.contains("':")
}

/// The text with everything that looks like a secret masked.
pub fn masked(text: &str) -> Cow<'_, str> {
    and_then(without_user_information(text), without_others)
}

/// The text with the user information of URLs masked.
pub(super) fn without_user_information(text: &str) -> Cow<'_, str> {
    hide(&USER_INFORMATION, text)
}

/// The text with all else masked that looks like a secret.
pub(super) fn without_others(text: &str) -> Cow<'_, str> {
    hide(&OTHERS, text)
}

fn and_then(text: Cow<'_, str>, then: impl Fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => then(text),
        Cow::Owned(text) => then(&text).into_owned().into(),
    }
}

fn hide<'a>(kinds: &[Kind], text: &'a str) -> Cow<'a, str> {
    let mut seen = Cow::Borrowed(text);
    for kind in kinds.iter().filter(|kind| (kind.may_hold)(text)) {
        let hidden = kind.pattern.replace_all(&seen, |found: &Captures<'_>| {
            let part = |name| found.name(name).map_or("", |part| part.as_str());
            format!("{}{MASKED}{}", part("keep"), part("end"))
        });
        if let Cow::Owned(hidden) = hidden {
            seen = Cow::Owned(hidden);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!((USER_INFORMATION.len(), OTHERS.len()), (3, 6));
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_wherever_it_stands() {
        for (sent, seen) in [
            ("//u:hunter2@b.example/p", "//<masked>@b.example/p"),
            ("/proxy/https://u:hunter2@b.example/p", "/proxy/https://<masked>@b.example/p"),
            ("https:/u:hunter2@b.example", "https:/<masked>@b.example"),
            ("https:///u:hunter2@b.example", "https:///<masked>@b.example"),
            ("https://u:hun/ter2@b.example", "https://<masked>@b.example"),
            ("https://u:hun@ter2@b.example", "https://<masked>@b.example"),
            ("https://u:1hunter2?#@b.example/?x", "https://<masked>@b.example/?<masked>"),
            ("https://h:8080/a?b=c@d", "https://h:8080/a?<masked>"),
            ("https://u%3Ahunter2%40b.example/", "https://<masked>%40b.example/"),
            ("https://a.example, https://u:hunter2@b", "https://a.example, https://<masked>@b"),
            ("u:hunter2@b.example", "<masked>@b.example"),
            ("for=1.2.3.4;host=\"u:hunter2@b\"", "for=1.2.3.4;host=\"<masked>@b\""),
            ("/a?x=hunter2", "/a?<masked>"),
            ("/ws/access_token=hunter2/x", "/ws/access_token=<masked>"),
            ("a; Session-Id=hunter2; b=1", "a; Session-Id=<masked>; b=1"),
            ("api_key%3Dhunter2&x=1", "api_key%3D<masked>&x=1"),
            ("{\"token\": \"hunter2\", \"a\": 1}", "{\"token\": \"<masked>\", \"a\": 1}"),
            ("Bearer hunter2", "Bearer <masked>"),
            ("x basic\thunter2=, y", "x basic\t<masked>, y"),
            ("h\r\n Cookie: a=hunter2; b=hunter2", "h\r\n Cookie:<masked>"),
            ("h\rX-Any : hunter2\r\n hunter2", "h\rX-Any :<masked>"),
            ("Bearer%20hunter2", "Bearer%20<masked>"),
            ("x eyJhbGciOiJIUzI1NiJ9.e30.x", "x <masked>"),
            ("/k/sk_live_hunter2hunter2/x", "/k/<masked>/x"),
        ] {
            assert_eq!(masked(sent), seen, "{sent}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "https://app.example:8443",
            "auth:8080",
            "https://token.example",
            "/auth/login/ws",
            "/session/4711",
            "http://h:8080/rooms/bob",
            "1.1 vegur, 1.1 varnish (Varnish/7.1)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            "permessage-deflate; client_max_window_bits=15",
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Forbidden: origin not allowed",
            "\r\n http://a\r\n .b",
        ] {
            assert!(matches!(masked(text), Cow::Borrowed(_)), "{text}: {}", masked(text));
        }
    }
}
