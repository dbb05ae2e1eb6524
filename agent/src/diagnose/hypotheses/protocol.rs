//! Key, version and method of the request (RFC 6455 section 4.1), and the version of HTTP.

use super::{
    Finding,
    Grounds::{Fits, Guess, Means, Spoken},
    Hypothesis,
    extended_connect::{Birth, birth},
    structure::fit,
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    Evidence,
    case::Case,
    features::Features,
    words::Topics,
};

pub(super) const KEY_MISSING: Hypothesis = Hypothesis {
    cause: Cause::KeyMissing,
    usual: 75,
    lies_in: Features::NO_KEY,
    named_by: Topics::KEY,
    support: key_missing,
    part_of: &[Cause::ExtendedConnectUntranslated],
    ..Hypothesis::PLAIN
};

pub(super) const KEY_INVALID: Hypothesis = Hypothesis {
    cause: Cause::KeyInvalid,
    usual: 70,
    lies_in: Features::BAD_KEY,
    named_by: Topics::KEY,
    support: key_invalid,
    ..Hypothesis::PLAIN
};

pub(super) const VERSION: Hypothesis = Hypothesis {
    cause: Cause::VersionUnsupported,
    usual: 72,
    lies_in: Features::OTHER_VERSION,
    named_by: Topics::VERSION,
    support: version,
    ..Hypothesis::PLAIN
};

pub(super) const HTTP_VERSION: Hypothesis = Hypothesis {
    cause: Cause::HttpVersion,
    usual: 65,
    lies_in: Features::HTTP10,
    named_by: Topics::HTTP_VERSION,
    support: http_version,
    ..Hypothesis::PLAIN
};

pub(super) const METHOD: Hypothesis = Hypothesis {
    cause: Cause::MethodNotGet,
    usual: 88,
    lies_in: Features::OTHER_METHOD,
    named_by: Topics::METHOD,
    support: method,
    ..Hypothesis::PLAIN
};

fn key_missing(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::NO_KEY) {
        return None;
    }
    let (grounds, mut sure) = fit(case, KEY_MISSING.named_by);
    match birth(case) {
        Some(Birth::Told) => return None,
        Some(Birth::Browser) => sure = Possible,
        None => {}
    }
    Some(
        Finding::new(grounds, sure, "the handshake has no Sec-WebSocket-Key")
            .with([Evidence::absent("Sec-WebSocket-Key"), case.answer()]),
    )
}

/// Not every server decodes the key.
fn key_invalid(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::BAD_KEY) {
        return None;
    }
    let (grounds, sure) = fit(case, KEY_INVALID.named_by);
    Some(
        Finding::new(grounds, sure, "Sec-WebSocket-Key is not 16 bytes in base64")
            .with([Evidence::new("Sec-WebSocket-Key", "(not 16 bytes in base64)"), case.answer()]),
    )
}

/// Versions before 13 are the drafts'; those of 7 to 12 carry the page in `Sec-WebSocket-Origin`, and a
/// server that speaks both (`ws`) looks for it there: without it, it refuses the page as it refuses any.
fn version(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::OTHER_VERSION) {
        return None;
    }
    let headers = &case.request.headers;
    let asked = headers.first("sec-websocket-version").map(str::trim);
    let (mut grounds, mut sure) = fit(case, VERSION.named_by);
    // A server that does not speak a version names those that it does (RFC 6455 section 4.4); some do so in every answer.
    let spoken = case.answered().is_some_and(|fields| {
        let mut spoken = fields.list("sec-websocket-version").peekable();
        spoken.peek().is_some() && !spoken.any(|version| Some(version) == asked)
    });
    let always = case.fingerprint.is_some_and(|known| known.server == "gorilla/websocket");
    if spoken && !always && grounds == Fits && matches!(case.status(), Some(400 | 426)) {
        (grounds, sure) = (Means, Certain);
    } else if case.status() == Some(426) && grounds == Fits {
        (grounds, sure) = (Means, Likely);
    }
    let draft_origin =
        asked.and_then(|v| v.parse::<u8>().ok()).is_some_and(|v| (7..13).contains(&v))
            && headers.has("origin")
            && !headers.has("sec-websocket-origin")
            && match case.status() {
                Some(403) => true,
                Some(401) => case.answered().is_some_and(|fields| !fields.has("www-authenticate")),
                _ => false,
            };
    // To such a server the handshake has no origin at all, whatever its words say of it.
    let of_origin = case.topics.any(Topics::ORIGIN);
    if draft_origin && grounds <= Guess {
        (grounds, sure) = (if of_origin { Spoken } else { Fits }, Likely);
    }
    let found = format!("the request speaks version {} of the protocol", asked.unwrap_or("(none)"));
    Some(
        Finding::new(grounds, sure, found)
            .with([case.header("Sec-WebSocket-Version"), case.answer()]),
    )
}

/// RFC 6455 section 4.1 wants HTTP/1.1, yet many servers take 1.0: the answer tells.
fn http_version(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::HTTP10) {
        return None;
    }
    let said = case.words.contains("http/1.0") || case.topics.any(HTTP_VERSION.named_by);
    // A known answer says what was refused, and none says that it was HTTP/1.0.
    let known = case.fingerprint.is_some_and(|known| !known.quote.is_empty());
    let (grounds, sure) = match case.status() {
        Some(400..) if said => (Spoken, Certain),
        Some(505) => (Means, Certain),
        Some(426) => (Means, Certain),
        Some(_) if known => (Guess, Possible),
        _ => match fit(case, Topics::NONE) {
            (Fits, _) if case.status() == Some(500) => (Guess, Possible),
            fit => fit,
        },
    };
    Some(
        Finding::new(grounds, sure, "the handshake arrived as HTTP/1.0, and the server wants 1.1")
            .with([Evidence::new("version", "HTTP/1.0"), case.answer()]),
    )
}

fn method(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::OTHER_METHOD) {
        return None;
    }
    let method = &*case.request.method;
    let (grounds, sure) = match (fit(case, METHOD.named_by), case.status()) {
        (_, Some(405)) => (Means, Certain),
        ((Guess, _), Some(404 | 501)) => (Fits, Likely),
        (fit, _) => fit,
    };
    Some(
        Finding::new(grounds, sure, format!("the handshake is a {method}, not a GET"))
            .with([Evidence::new("method", method), case.answer()]),
    )
}
