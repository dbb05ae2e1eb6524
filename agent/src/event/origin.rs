//! The serialised origin (RFC 6454 section 6.2) in one spelling.
//!
//! In: an `Origin` header's value, chosen by a client and so hostile. Out: lower case, without the
//! scheme's default port, plain ASCII, bounded; or nothing when it is no origin.

use crate::diagnose;

/// The longest origin that has a spelling: a DNS name of 253 bytes, a scheme and a port.
const MAX_BYTES: usize = 300;

/// `value` in its one spelling; `None` when it is not `null` and not scheme, `://`, host and port, all
/// in ASCII as browsers send it.
///
/// `HTTPS://App.Example:443` is `https://app.example`; `null` is `null`.
pub fn normalised_origin(value: &str) -> Option<String> {
    if value.len() > MAX_BYTES || !value.is_ascii() {
        return None;
    }
    diagnose::normalised_origin(value)
}

#[cfg(test)]
mod tests {
    use super::normalised_origin;

    #[test]
    fn one_spelling_for_the_same_origin() {
        for (given, want) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("https://app.example:0443", "https://app.example"),
            ("https://[2001:DB8::1]:443", "https://[2001:db8::1]"),
            ("https://[::1]", "https://[::1]"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
        ] {
            assert_eq!(normalised_origin(given).as_deref(), Some(want), "{given}");
        }
    }

    #[test]
    fn what_is_no_origin_has_no_spelling() {
        let long = format!("https://{}.example", "a".repeat(400));
        for given in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example:port",
            "https://app.example:",
            "https://user@app.example",
            "https://app.example, https://app.example",
            "https://app .example",
            "https://app\u{1b}[31m.example",
            "https://bücher.example",
            "://app.example",
            "1https://app.example",
            "https://a:b:1",
            "https://x\"} 1\nws_forged 1",
            &long,
        ] {
            assert_eq!(normalised_origin(given), None, "{given}");
        }
    }
}
