//! The serialised origin (RFC 6454 section 6.2) in one spelling.
//!
//! In: an `Origin` header's value, chosen by a client and so hostile. Out: lower case, without the
//! scheme's default port, plain ASCII, bounded; or nothing when it is no origin.

/// The longest origin that has a spelling: a DNS name of 253 bytes, a scheme and a port.
const MAX_BYTES: usize = 300;

/// `value` in its one spelling; `None` when it is not `null` and not scheme, `://`, host and port.
///
/// `HTTPS://App.Example:443` is `https://app.example`; `null` is `null`.
pub fn normalised_origin(value: &str) -> Option<String> {
    if value == "null" {
        return Some(value.to_owned());
    }
    if value.len() > MAX_BYTES {
        return None;
    }
    let value = value.to_ascii_lowercase();
    let (scheme, authority) = value.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let scheme_holds = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_holds = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%[:]".contains(&byte))
        && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    if !scheme_holds || !host_holds {
        return None;
    }
    let default_port = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    Some(match port.filter(|port| Some(*port) != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
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
