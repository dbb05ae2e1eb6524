//! What the proxies in front wrote into a request: `X-Forwarded-*`, `Forwarded` (RFC 7239) and their kin.

use crate::diagnose::{
    Scheme,
    origin::{Authority, OriginField, Seclusion},
};
use crate::http::{Headers, RequestHead};

/// Headers that only an intermediary adds.
const MARKS: &[&str] = &[
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-scheme",
    "x-real-ip",
    "x-envoy-external-address",
    "x-envoy-expected-rq-timeout-ms",
    "x-amzn-trace-id",
    "x-varnish",
    "x-original-host",
    "cf-ray",
];

/// Headers in which proxies say the scheme of the client's leg. The first is the usual one.
const SCHEMES: &[&str] = &[
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-protocol",
    "x-url-scheme",
    "x-scheme",
    "cloudfront-forwarded-proto",
];

/// Headers in which proxies say the client's `Host`.
const HOSTS: &[&str] = &["x-forwarded-host", "x-original-host", "x-host"];

/// Headers that say `on` when the client's leg was over TLS.
const SWITCHES: &[&str] = &["x-forwarded-ssl", "front-end-https"];

/// Whether some hop left its mark.
pub(in crate::diagnose) fn proxied(request: &RequestHead) -> bool {
    MARKS.iter().any(|name| request.headers.has(name))
}

/// The client's hosts as the proxies say, nearest to the client first.
pub(in crate::diagnose) fn hosts(headers: &Headers) -> Vec<Authority> {
    let named = HOSTS.iter().flat_map(|name| headers.list(name));
    named.chain(parameters(headers, "host")).filter_map(Authority::parse).collect()
}

/// The client's schemes as the proxies say, nearest to the client first, lower case, with the header
/// that says so.
pub(in crate::diagnose) fn schemes(headers: &Headers) -> Vec<(&'static str, String)> {
    let named = SCHEMES.iter().flat_map(|name| headers.list(name).map(|value| (*name, value)));
    let switched =
        SWITCHES.iter().filter(|name| headers.has_token(name, "on")).map(|name| (*name, "https"));
    let standard = parameters(headers, "proto").map(|value| ("forwarded", value));
    named.chain(standard).chain(switched).map(|(name, v)| (name, v.to_ascii_lowercase())).collect()
}

/// The values of one parameter of `Forwarded`, element by element (RFC 7239 section 4).
fn parameters<'a>(headers: &'a Headers, wanted: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    headers.list("forwarded").flat_map(|element| element.split(';')).filter_map(move |pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// What the client used, as far as the headers tell: what the proxy nearest to it says, else an `https`
/// page, from which a browser opens nothing but `wss` (mixed content) except to its own machine.
pub fn scheme(request: &RequestHead) -> Scheme {
    let told = schemes(&request.headers);
    match told.first().map(|(_, scheme)| scheme.as_str()) {
        Some("https" | "wss") => return Scheme::Wss,
        Some("http" | "ws") => return Scheme::Ws,
        _ => {}
    }
    match OriginField::of(request) {
        OriginField::One(origin)
            if origin.scheme == "https" && origin.authority.seclusion() != Seclusion::Loopback =>
        {
            Scheme::Wss
        }
        _ => Scheme::Unknown,
    }
}
