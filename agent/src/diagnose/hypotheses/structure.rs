//! What RFC 6455 section 4.1 requires of the request, and what a hop on the way took from it.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::diagnose::{
    Cause, Confidence, Evidence,
    case::{Case, Finding, Rule},
    fingerprint::Fingerprint,
    silence,
};
use crate::{
    handshake::Answer,
    http::{Defect, Headers, Version},
};

/// The rules, in order. Faults that no server can overlook first; then those that only some servers
/// refuse, which count when the answer is the one that such a server gives.
pub(in crate::diagnose) const RULES: &[Rule] = &[
    method,
    upgrade_stripped,
    upgrade_mangled,
    connection_stripped,
    key_missing,
    host_missing,
    key_invalid,
    version,
    http_version,
    irregular,
];

fn method(case: &Case<'_>) -> Option<Finding> {
    let method = &*case.request.method;
    (method != "GET").then(|| {
        Finding::certain(Cause::MethodNotGet, format!("the handshake is a {method}, not a GET"))
            .with([Evidence::new("method", method), case.answer()])
    })
}

/// `Upgrade` is hop-by-hop and `Sec-WebSocket-*` is not: a proxy that goes by the book drops the one
/// and passes the other.
fn upgrade_stripped(case: &Case<'_>) -> Option<Finding> {
    let headers = &case.request.headers;
    if has_value(headers, "upgrade") || !whole(case) {
        return None;
    }
    let found = "Sec-WebSocket-* is there but Upgrade is not: a hop dropped it";
    let finding = if headers.has("sec-websocket-key") {
        Finding::certain(Cause::UpgradeStripped, found)
            .with([Evidence::absent("Upgrade"), Evidence::new("Sec-WebSocket-Key", "(present)")])
    } else {
        Finding::likely(Cause::UpgradeStripped, found)
            .with([Evidence::absent("Upgrade"), case.header("Sec-WebSocket-Version")])
    };
    Some(finding.with([case.header("Connection")]))
}

fn upgrade_mangled(case: &Case<'_>) -> Option<Finding> {
    let headers = &case.request.headers;
    (has_value(headers, "upgrade") && !headers.has_token("upgrade", "websocket")).then(|| {
        Finding::certain(Cause::UpgradeMangled, "Upgrade does not say websocket")
            .with([case.header("Upgrade"), case.header("Connection")])
    })
}

fn connection_stripped(case: &Case<'_>) -> Option<Finding> {
    let headers = &case.request.headers;
    (!headers.has_token("connection", "upgrade") && whole(case)).then(|| {
        Finding::certain(
            Cause::ConnectionStripped,
            "Upgrade arrived, but Connection does not say upgrade",
        )
        .with([case.header("Upgrade"), case.header("Connection")])
    })
}

fn key_missing(case: &Case<'_>) -> Option<Finding> {
    let key = case.request.key.as_ref().map(|key| key.reveal().trim()).unwrap_or_default();
    (key.is_empty() && whole(case)).then(|| {
        Finding::certain(Cause::KeyMissing, "the handshake has no Sec-WebSocket-Key")
            .with([Evidence::absent("Sec-WebSocket-Key"), case.answer()])
    })
}

/// HTTP/1.1 wants `Host`, and a server must answer 400 without it (RFC 9112 section 3.2).
fn host_missing(case: &Case<'_>) -> Option<Finding> {
    let missing = !case.request.headers.has("host") && case.request.version == Version::Http11;
    let sure = match case.status()? {
        400 => Confidence::Certain,
        500 => Confidence::Possible,
        _ => return None,
    };
    (missing && whole(case)).then(|| {
        Finding::new(Cause::HostMissing, sure, "an HTTP/1.1 request without Host is refused")
            .with([Evidence::absent("Host"), case.answer()])
    })
}

/// Not every server decodes the key; one that does answers 400.
fn key_invalid(case: &Case<'_>) -> Option<Finding> {
    let key = case.request.key.as_ref()?.reveal();
    if key_is_sound(key) || !malformed_answer(case) {
        return None;
    }
    let found = "Sec-WebSocket-Key is not 16 bytes in base64";
    let evidence = [Evidence::new("Sec-WebSocket-Key", "(not 16 bytes in base64)"), case.answer()];
    if case.words.contains("sec-websocket-key") {
        return Some(Finding::certain(Cause::KeyInvalid, found).with(evidence));
    }
    (!says_another(case)).then(|| Finding::likely(Cause::KeyInvalid, found).with(evidence))
}

/// Versions before 13 are the drafts'; those of 7 to 12 carry the page in `Sec-WebSocket-Origin`, and a
/// server that speaks both (`ws`) looks for it there: without it, it refuses the page as it refuses any.
fn version(case: &Case<'_>) -> Option<Finding> {
    let headers = &case.request.headers;
    let asked = headers.first("sec-websocket-version").map(str::trim);
    if asked == Some("13") || (asked.is_none() && !whole(case)) {
        return None;
    }
    let spoken = case.response.map(|r| r.headers.list("sec-websocket-version").collect::<Vec<_>>());
    let refused_by_list = spoken.is_some_and(|spoken| {
        !spoken.is_empty() && asked.is_none_or(|asked| !spoken.contains(&asked))
    });
    let draft_origin =
        asked.and_then(|v| v.parse::<u8>().ok()).is_some_and(|v| (7..13).contains(&v))
            && headers.has("origin")
            && !headers.has("sec-websocket-origin")
            && match case.status() {
                Some(403) => true,
                Some(401) => case.response.is_some_and(|r| !r.headers.has("www-authenticate")),
                _ => false,
            };
    let found = format!("the request speaks version {} of the protocol", asked.unwrap_or("(none)"));
    let evidence = [case.header("Sec-WebSocket-Version"), case.answer()];
    let said =
        ["websocket-version", "websocket version", "unsupported version", "unsupported websocket"]
            .iter()
            .any(|words| case.words.contains(words));
    if (refused_by_list && malformed_answer(case)) || (said && malformed_answer(case)) {
        return Some(Finding::certain(Cause::VersionUnsupported, found).with(evidence));
    }
    ((malformed_answer(case) || draft_origin) && !says_another(case))
        .then(|| Finding::likely(Cause::VersionUnsupported, found).with(evidence))
}

/// RFC 6455 section 4.1 wants HTTP/1.1, yet many servers take 1.0: the answer tells.
fn http_version(case: &Case<'_>) -> Option<Finding> {
    if case.request.version == Version::Http11 {
        return None;
    }
    let found = "the handshake arrived as HTTP/1.0, and the server wants 1.1";
    let evidence = [Evidence::new("version", "HTTP/1.0"), case.answer()];
    let said = case.words.contains("http/1.0") || case.words.contains("http version");
    // A known answer says what was refused, and none says that it was HTTP/1.0.
    let known = case.fingerprint.is_some_and(|known| !known.quote.is_empty());
    match case.status() {
        Some(426 | 505) => Some(Finding::certain(Cause::HttpVersion, found).with(evidence)),
        Some(400) if said => Some(Finding::certain(Cause::HttpVersion, found).with(evidence)),
        Some(_) if known => None,
        // A server that takes no upgrade from 1.0 serves the request as an ordinary one.
        Some(400 | 200) => Some(Finding::likely(Cause::HttpVersion, found).with(evidence)),
        Some(402 | 404 | 405 | 500 | 501) => {
            Some(Finding::possible(Cause::HttpVersion, found).with(evidence))
        }
        None if server_closed(case) => {
            Some(Finding::likely(Cause::HttpVersion, found).with(evidence))
        }
        _ => None,
    }
}

/// Strict servers refuse folded lines and control characters (RFC 9112 section 5.2); only `Origin` has a
/// cause of its own for that.
fn irregular(case: &Case<'_>) -> Option<Finding> {
    let broken = |value: &str| value.contains(|c: char| c.is_control() && c != '\t');
    let origin = case.request.headers.first("origin").is_some_and(broken);
    (origin && case.status() == Some(400)).then(|| {
        Finding::likely(Cause::OriginMalformed, "Origin is folded or holds control characters")
            .with([case.header("Origin"), case.answer()])
    })
}

/// Whether the answer is one that servers give to a malformed handshake: 400, 426, a failure of their own
/// (many trip over what they do not check), or a closed connection.
fn malformed_answer(case: &Case<'_>) -> bool {
    matches!(case.status(), Some(400 | 426 | 500)) || server_closed(case)
}

/// Whether the server's own words name another cause.
fn says_another(case: &Case<'_>) -> bool {
    case.fingerprint.is_some_and(Fingerprint::is_plain)
}

fn server_closed(case: &Case<'_>) -> bool {
    matches!(case.exchange.answer, Answer::Closed { .. }) && !silence::client_left(case)
}

/// Whether the end of the head was seen: only then is a field that is not there absent.
fn whole(case: &Case<'_>) -> bool {
    case.request.defect != Some(Defect::Truncated)
}

fn has_value(headers: &Headers, name: &str) -> bool {
    headers.all(name).any(|value| !value.trim().is_empty())
}

/// Whether the key is 16 bytes in base64 (RFC 6455 section 4.1).
pub(in crate::diagnose) fn key_is_sound(key: &str) -> bool {
    BASE64_STANDARD.decode(key.trim()).is_ok_and(|bytes| bytes.len() == 16)
}
