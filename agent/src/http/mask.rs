//! Which header fields are kept, and what of their values: the place where secrets end.
//!
//! In: a field's name and raw value. Out: the text that later stages may see, or nothing.

use std::borrow::Cow;

use super::{
    MASKED, SUBPROTOCOLS,
    secrets::{masked, without_others, without_user_information},
};

/// Request fields whose value is kept.
const REQUEST: &[&str] = &[
    "accept-encoding",
    "accept-language",
    "cdn-loop",
    "cf-ray",
    "cf-visitor",
    "cloudfront-forwarded-proto",
    "connection",
    "content-length",
    "forwarded",
    "front-end-https",
    "host",
    "http2-settings",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-version",
    "surrogate-capability",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-amzn-trace-id",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-original-host",
    "x-original-proto",
    "x-real-ip",
    "x-scheme",
    "x-url-scheme",
    "x-varnish",
    "x-wstap-audit",
];

/// Request fields of which only the presence is kept.
const REQUEST_PRESENCE: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "sec-websocket-key",
    "sec-websocket-key1",
    "sec-websocket-key2",
    "x-api-key",
    "x-appgw-trace-id",
    "x-arr-log-id",
    "x-arr-ssl",
    "x-azure-fdid",
    "x-azure-ref",
    "x-cf-applicationid",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-original-path",
    "x-envoy-peer-metadata",
    "x-original-uri",
    "x-original-url",
    "x-request-id",
    "x-vcap-request-id",
];

/// Response fields whose value is kept.
const RESPONSE: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "cache-control",
    "cf-mitigated",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-version",
    "server",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-amzn-errortype",
    "x-cache",
    "x-content-type-options",
    "x-envoy-upstream-service-time",
    "x-powered-by",
    "x-request-id",
    "x-runtime",
    "x-squid-error",
    "x-varnish",
    "x-websocket-reject-reason",
];

/// Response fields of which only the presence is kept.
const RESPONSE_PRESENCE: &[&str] = &["set-cookie", "proxy-authenticate"];

/// What a later stage may see of the request field `name` (any case), or `None` when it may not see it at all.
pub(super) fn request_field<'a>(name: &str, value: &'a str) -> Option<Cow<'a, str>> {
    if listed(REQUEST, name) {
        return Some(masked(value));
    }
    if listed(REQUEST_PRESENCE, name) {
        return Some(MASKED.into());
    }
    // Drafts 7 to 12 of the protocol called it so.
    if name.eq_ignore_ascii_case("origin") || name.eq_ignore_ascii_case("sec-websocket-origin") {
        return Some(url(value).into());
    }
    if name.eq_ignore_ascii_case("referer") {
        return Some(origin_of(value).into());
    }
    name.eq_ignore_ascii_case("sec-websocket-protocol").then(|| subprotocols(&masked(value)).into())
}

/// What a later stage may see of the response field `name` (any case), or `None`.
pub(super) fn response_field<'a>(name: &str, value: &'a str) -> Option<Cow<'a, str>> {
    if listed(RESPONSE, name) {
        return Some(masked(value));
    }
    if listed(RESPONSE_PRESENCE, name) {
        return Some(MASKED.into());
    }
    if name.eq_ignore_ascii_case("location") {
        return Some(url(value).into());
    }
    if name.eq_ignore_ascii_case("www-authenticate") {
        // The scheme tells which credentials are wanted; challenges carry nonces.
        let value = masked(value);
        let scheme = value.split([' ', ',', '\t']).next().unwrap_or_default();
        return Some(scheme.to_owned().into());
    }
    name.eq_ignore_ascii_case("sec-websocket-protocol").then(|| subprotocols(&masked(value)).into())
}

fn listed(names: &[&str], name: &str) -> bool {
    names.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

/// The first [`SUBPROTOCOLS`] of a list, with everything that looks like a credential masked.
fn subprotocols(value: &str) -> String {
    let mut after_marker = false;
    let mut out = String::new();
    for (i, token) in value.split(',').take(SUBPROTOCOLS).enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        let token = token.trim();
        if after_marker && !token.is_empty() {
            out.push_str(MASKED);
        } else {
            out.push_str(&subprotocol(token));
        }
        after_marker = is_marker(token);
    }
    out
}

/// One subprotocol: a plain name as it is, a credential masked, a name that carries one cut after the marker.
fn subprotocol(token: &str) -> String {
    // `base64url.bearer.authorization.k8s.io.<token>` and its like: the marker says that the rest is secret.
    let mut position = 0;
    for segment in token.split_inclusive(['.', '-', '_', ':', '=', ' ']) {
        position += segment.len();
        let name = segment.trim_end_matches(['.', '-', '_', ':', '=', ' ']);
        if is_marker(name)
            && position < token.len()
            && let Some(kept) = token.get(..position)
        {
            return format!("{kept}{MASKED}");
        }
    }
    if looks_like_credential(token) { MASKED.to_owned() } else { token.to_owned() }
}

/// Words after which applications put a token into `Sec-WebSocket-Protocol`, alone or as the last part of a name
/// (`access_token`, `x-api-key`).
pub(super) fn is_marker(word: &str) -> bool {
    const MARKERS: &[&str] = &[
        "accesstoken",
        "apikey",
        "auth",
        "authentication",
        "authorization",
        "bearer",
        "jwt",
        "key",
        "passwd",
        "password",
        "secret",
        "session",
        "ticket",
        "token",
    ];
    word.rsplit(['-', '_', '.']).next().is_some_and(|last| listed(MARKERS, last))
}

/// Whether a token has the look of a random value rather than of a name that somebody chose.
pub(super) fn looks_like_credential(token: &str) -> bool {
    const NAME_MAX: usize = 64;
    if token.len() > NAME_MAX || token.starts_with("eyJ") {
        return true;
    }
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if token.len() >= 32 && token.chars().all(hex) {
        return true;
    }
    token.split(['.', '-', '_', ':', '/']).any(|segment| {
        let has = |test: fn(&u8) -> bool| segment.bytes().any(|b| test(&b));
        let digit = has(u8::is_ascii_digit);
        let mixed = digit && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
        segment.len() >= 24 || (segment.len() >= 16 && digit) || (segment.len() >= 12 && mixed)
    })
}

/// The path of a target without user information ([`without_user_information`]): without its query and fragment, and with path parameters (RFC 3986 section 3.3: servlets' `;jsessionid=`)
/// and segments that are credentials masked.
pub(super) fn path(target: &str) -> String {
    let bare = target.split(['?', '#']).next().unwrap_or_default();
    let secret = |segment: &str| {
        // Ids are long and random too: only what cannot be a name or an id is hidden.
        (segment.starts_with("eyJ") && segment.len() > 20)
            || (segment.len() > 64 && looks_like_credential(segment))
    };
    let mut out = String::with_capacity(bare.len());
    for (i, segment) in bare.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        let (name, parameters) = match segment.split_once(';') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (segment, None),
        };
        out.push_str(if secret(name) { MASKED } else { name });
        if parameters.is_some() {
            out.push(';');
            out.push_str(MASKED);
        }
    }
    without_others(&out).into_owned()
}

/// A URL without user information, with its path as [`path`] shows it, and with the query's content masked.
fn url(value: &str) -> String {
    let query = value.contains(['?', '#']);
    let value = without_user_information(value);
    let bare = value.split(['?', '#']).next().unwrap_or_default();
    // The name of a host may be longer than what counts as a name in a path.
    let at = authority_at(bare);
    let (before, rest) = bare.split_at_checked(at).unwrap_or_default();
    let host = if at == 0 { 0 } else { rest.find('/').unwrap_or(rest.len()) };
    let (authority, behind) = rest.split_at_checked(host).unwrap_or_default();
    let mut out = format!("{}{authority}{}", path(before), path(behind));
    if query {
        out.push('?');
        out.push_str(MASKED);
    }
    // The authority too.
    without_others(&out).into_owned()
}

/// The scheme and authority of a URL, without user information.
fn origin_of(value: &str) -> String {
    let value = masked(value);
    let Some((scheme, rest)) = value.split_once("://") else { return MASKED.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{authority}")
}

/// Where the authority of a URL starts: behind `scheme://` or `//`, else at its start.
fn authority_at(value: &str) -> usize {
    match value.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            value.len() - rest.len()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_subprotocols_stay_and_credentials_do_not() {
        for name in [
            "chat",
            "mqtt",
            "v10.stomp",
            "v12.stomp",
            "wamp.2.json",
            "graphql-ws",
            "graphql-transport-ws",
            "actioncable-v1-json",
            "actioncable-unsupported",
            "ocpp1.6",
            "v5.channel.k8s.io",
            "base64.binary.k8s.io",
            "org.apache.guacamole",
            "vite-hmr",
        ] {
            assert_eq!(subprotocols(name), name);
            let offered = format!("{name}, chat");
            assert_eq!(subprotocols(&offered), offered, "what follows it stays too");
        }
        for (sent, seen) in [
            ("chat, eyJhbGciOiJIUzI1NiJ9.e30.x", "chat, <masked>"),
            ("bearer, hunter2", "bearer, <masked>"),
            ("access_token, hunter2, chat", "access_token, <masked>, chat"),
            ("base64url.bearer.authorization.k8s.io.aHVudGVy", "base64url.bearer.<masked>"),
            ("token-hunter2", "token-<masked>"),
            ("auth-token, hunter2", "auth-<masked>, <masked>"),
            ("x-api-key, s3cr3tpass", "x-api-key, <masked>"),
            ("v1.session, hunter2, chat", "v1.session, <masked>, chat"),
            ("550e8400-e29b-41d4-a716-446655440000", "<masked>"),
            ("aGVsbG8gd29ybGQ5", "<masked>"),
        ] {
            assert_eq!(subprotocols(sent), seen);
        }
    }

    #[test]
    fn urls_lose_user_information_and_queries() {
        assert_eq!(
            url("https://bob:pw@x.example/a?token=1"),
            "https://<masked>@x.example/a?<masked>"
        );
        assert_eq!(url("https://x.example"), "https://x.example");
        assert_eq!(url("null"), "null");
        assert_eq!(url("//bob:pw@x.example/a"), "//<masked>@x.example/a");
        assert_eq!(origin_of("https://bob:pw@x.example/a?token=1"), "https://<masked>@x.example");
        assert_eq!(path("/a/b?x=1#y"), "/a/b");
        assert_eq!(path("/ws/eyJhbGciOiJIUzI1NiJ9.e30.x"), "/ws/<masked>");
    }

    #[test]
    fn paths_lose_their_parameters_and_those_of_urls_are_paths_too() {
        let session = ";jsessionid=6725F461EB18FCE30107706921C61012";
        let token = "eyJhbGciOiJIUzI1NiJ9.e30.x";
        let host = format!("{}.example", "a-load-balancer.".repeat(5));
        for (sent, seen) in [
            (format!("/ws/chat{session}"), "/ws/chat;<masked>".to_owned()),
            (format!("/a;v=1/b{session}/c"), "/a;<masked>/b;<masked>/c".to_owned()),
            (format!("/magic/{token}"), "/magic/<masked>".to_owned()),
            ("/rooms/4711/ws".to_owned(), "/rooms/4711/ws".to_owned()),
        ] {
            assert_eq!(path(&sent), seen);
            assert_eq!(url(&sent), seen);
            assert_eq!(url(&format!("//h{sent}")), format!("//h{seen}"));
            let sent = format!("https://bob:pw@{host}{sent}#x");
            assert_eq!(url(&sent), format!("https://<masked>@{host}{seen}?<masked>"));
        }
        assert_eq!(url(token), "<masked>");
        assert_eq!(url(&format!("/{token}/http://b@x/a")), "/<masked>/http://<masked>@x/a");
        assert_eq!(
            response_field("Location", &format!("/magic/{token}")).unwrap(),
            "/magic/<masked>"
        );
    }

    #[test]
    fn unlisted_fields_are_dropped_and_secret_ones_masked() {
        assert_eq!(request_field("X-Custom", "a"), None);
        assert_eq!(request_field("COOKIE", "a=b").as_deref(), Some(MASKED));
        assert_eq!(request_field("Authorization", "Basic x").as_deref(), Some(MASKED));
        assert_eq!(response_field("WWW-Authenticate", "Digest nonce=1").as_deref(), Some("Digest"));
        assert_eq!(response_field("Set-Cookie", "a=b").as_deref(), Some(MASKED));
    }
}
