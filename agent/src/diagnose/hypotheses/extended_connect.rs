//! A handshake that was born on HTTP/2, and that a gateway did not make one of HTTP/1.1 of.
//!
//! An extended CONNECT has no key, no `Upgrade` and no `Connection` (RFC 8441 section 5): a gateway in front of a server
//! that speaks HTTP/1.1 must make all three. Envoy makes two of them, others none.

use super::{
    Contradiction, Effect, Finding, Hypothesis,
    structure::{fit, ordinary_fit},
};
use crate::diagnose::{
    Cause, Confidence, Evidence, case::Case, client, features::Features, words::Topics,
};

pub(super) const UNTRANSLATED: Hypothesis = Hypothesis {
    cause: Cause::ExtendedConnectUntranslated,
    usual: 92,
    lies_in: Features::NO_KEY,
    named_by: Topics::KEY.with(Topics::UPGRADE).with(Topics::CONNECTION),
    support: untranslated,
    against: translated,
    ..Hypothesis::PLAIN
};

/// What says that a request came over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Birth {
    /// A browser's own fields, and no key: over HTTP/1.1 it would have sent one.
    Browser,
    /// A hop writes that it received it so (`Via: 2.0 ...`), or is Envoy, which makes `Upgrade` and no key.
    Told,
}

/// Whether the request was born on HTTP/2.
pub(super) fn birth(case: &Case<'_>) -> Option<Birth> {
    let headers = &case.request.headers;
    let is_handshake = headers.has("sec-websocket-version") && &*case.request.method == "GET";
    // The client of the 2010 draft has two keys of other names.
    if !case.features.any(Features::NO_KEY) || !is_handshake || headers.has("sec-websocket-key1") {
        return None;
    }
    let over_h2 = headers.list("via").any(|hop| hop.starts_with("2.0 ") || hop.starts_with("2 "));
    let envoy = headers.has_token("upgrade", "websocket")
        && headers.iter().any(|(name, _)| name.starts_with("x-envoy-"));
    match client::is_browser(case.request) {
        _ if over_h2 => Some(Birth::Told),
        true if envoy => Some(Birth::Told),
        // Scripts borrow a browser's name, hardly ever its Fetch Metadata.
        true if headers.has("sec-fetch-mode") => Some(Birth::Browser),
        _ => None,
    }
}

fn untranslated(case: &Case<'_>) -> Option<Finding> {
    let birth = birth(case)?;
    let defects = case.features;
    let (grounds, sure) = if defects.any(Features::NO_UPGRADE.with(Features::NO_CONNECTION)) {
        ordinary_fit(case, UNTRANSLATED.named_by)
    } else {
        fit(case, UNTRANSLATED.named_by)
    };
    let (sure, summary, mark) = match birth {
        Birth::Told => {
            let marks = ["Via", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address"];
            let mark =
                marks.into_iter().find(|name| case.request.headers.has(&name.to_ascii_lowercase()));
            let summary = "it came over HTTP/2, where a WebSocket has no key, and the gateway made none for the server";
            (sure, summary, mark)
        }
        Birth::Browser => {
            let summary = "a browser's handshake without a key: it was born on HTTP/2, and a gateway passed it on untranslated";
            (sure.min(Confidence::Likely), summary, Some("Sec-Fetch-Mode"))
        }
    };
    Some(
        Finding::new(grounds, sure, summary)
            .with([Evidence::absent("Sec-WebSocket-Key"), case.header("Upgrade")])
            .with(mark.map(|name| case.header(name)))
            .with([case.answer()]),
    )
}

/// The leg into the gateway is one of HTTP/1.1: what is missing behind it was taken there, or never sent.
fn translated(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    if case.context.before.is_some() {
        let seen = "the leg before the proxy is one of HTTP/1.1";
        found.push(Contradiction::new(Effect::Refuted, seen));
    }
}
