//! The 101 that a browser must fail: what RFC 6455 section 4.1 and the WHATWG's Fetch standard make a client check in it.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Means, Said},
    Hypothesis,
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely},
    Evidence,
    case::Case,
    features::Features,
};

pub(super) const UPGRADE: Hypothesis = Hypothesis {
    cause: Cause::UpgradeStripped,
    usual: 90,
    support: upgrade,
    against: worked,
    ..Hypothesis::PLAIN
};

pub(super) const MANGLED: Hypothesis = Hypothesis {
    cause: Cause::UpgradeMangled,
    usual: 85,
    support: mangled,
    against: worked,
    ..Hypothesis::PLAIN
};

pub(super) const CONNECTION: Hypothesis = Hypothesis {
    cause: Cause::ConnectionStripped,
    usual: 80,
    support: connection,
    against: worked,
    ..Hypothesis::PLAIN
};

pub(super) const ACCEPT: Hypothesis = Hypothesis {
    cause: Cause::AcceptMismatch,
    usual: 75,
    support: accept,
    against: worked,
    ..Hypothesis::PLAIN
};

pub(super) const KEY: Hypothesis = Hypothesis {
    cause: Cause::KeyMissing,
    usual: 78,
    lies_in: Features::NONE,
    support: key,
    against: worked,
    ..Hypothesis::PLAIN
};

pub(super) const EXTENSION: Hypothesis = Hypothesis {
    cause: Cause::ExtensionMismatch,
    usual: 70,
    support: extensions,
    against: worked,
    ..Hypothesis::PLAIN
};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Frames that flow overrule: a client that fails the connection for the answer's head closes at once and sends none.
fn worked(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    if case.opening().is_some_and(|opening| opening.messages_from_client > 0) {
        let seen = "the client sent messages on the connection";
        found.push(Contradiction::new(Effect::Refuted, seen));
    }
}

fn from_answer(case: &Case<'_>, shown: &str) -> Evidence {
    let value = case.answered().and_then(|fields| fields.first(&shown.to_ascii_lowercase()));
    let name = format!("{shown} (answer)");
    match value {
        Some(value) => Evidence::new(name, value),
        None => Evidence::absent(name),
    }
}

fn upgrade(case: &Case<'_>) -> Option<Finding> {
    (!case.answered()?.has("upgrade") && case.answer_is_whole()).then(|| {
        let summary = "the 101 has no Upgrade: the server or a hop left it out";
        Finding::new(Means, Likely, summary).with([from_answer(case, "Upgrade")])
    })
}

fn mangled(case: &Case<'_>) -> Option<Finding> {
    let fields = case.answered()?;
    let other = fields.has("upgrade") && !fields.has_token("upgrade", "websocket");
    other.then(|| {
        Finding::new(Means, Likely, "the 101 does not upgrade to websocket")
            .with([from_answer(case, "Upgrade")])
    })
}

fn connection(case: &Case<'_>) -> Option<Finding> {
    (!case.answered()?.has_token("connection", "upgrade") && case.answer_is_whole()).then(|| {
        Finding::new(Means, Likely, "the 101 has no Connection: upgrade")
            .with([from_answer(case, "Connection")])
    })
}

/// The value of `Sec-WebSocket-Accept` that belongs to `key` (RFC 6455 section 4.2.2).
pub(in crate::diagnose) fn accept_value(key: &str) -> String {
    let mut digest = Sha1::new();
    digest.update(key.trim().as_bytes());
    digest.update(GUID);
    BASE64_STANDARD.encode(digest.finalize())
}

fn accept(case: &Case<'_>) -> Option<Finding> {
    let key = case.request.key.as_ref()?.reveal();
    let found = case.answered()?.first("sec-websocket-accept").map(str::trim);
    if found == Some(&*accept_value(key)) || (found.is_none() && !case.answer_is_whole()) {
        return None;
    }
    let (summary, value) = if found.is_some() {
        ("Sec-WebSocket-Accept does not belong to the key", "(not the key's)")
    } else {
        ("the 101 has no Sec-WebSocket-Accept", "(absent)")
    };
    // Of a key that came twice servers take the first, the last, or both.
    let twice = case.request.headers.all("sec-websocket-key").count() > 1;
    let sure = if twice { Likely } else { Certain };
    Some(
        Finding::new(Said, sure, summary)
            .with([Evidence::new("Sec-WebSocket-Accept (answer)", value)]),
    )
}

/// A 101 to a request without a key: no client can check it.
fn key(case: &Case<'_>) -> Option<Finding> {
    (case.features.any(Features::NO_KEY)).then(|| {
        let summary = "the server said 101 to a handshake without Sec-WebSocket-Key: no client can check its answer";
        Finding::new(Fits, Likely, summary).with([
            Evidence::absent("Sec-WebSocket-Key"),
            from_answer(case, "Sec-WebSocket-Accept"),
        ])
    })
}

/// Each extension of the answer must have been offered, once, with parameters that the offer allows
/// (RFC 6455 section 9.1, RFC 7692 section 7.1).
fn extensions(case: &Case<'_>) -> Option<Finding> {
    let offers: Vec<_> =
        case.request.headers.list("sec-websocket-extensions").map(Extension::parse).collect();
    let mut agreed: Vec<&str> = Vec::new();
    let mut fault = None;
    for extension in case.answered()?.list("sec-websocket-extensions").map(Extension::parse) {
        let offered: Vec<_> = offers.iter().filter(|o| o.name == extension.name).collect();
        fault = if offered.is_empty() {
            Some("the answer accepts an extension that was not offered")
        } else if agreed.contains(&extension.name) {
            Some("the answer accepts an extension twice")
        } else if extension.name == "permessage-deflate"
            && !offered.iter().any(|offer| deflate_fits(offer, &extension))
        {
            Some("the answer's permessage-deflate parameters do not fit the offer")
        } else {
            agreed.push(extension.name);
            continue;
        };
        break;
    }
    fault.map(|fault| {
        Finding::new(Said, Certain, fault).with([
            case.header("Sec-WebSocket-Extensions"),
            from_answer(case, "Sec-WebSocket-Extensions"),
        ])
    })
}

/// One element of `Sec-WebSocket-Extensions`.
struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Extension<'a> {
    fn parse(element: &'a str) -> Self {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters = parts
            .map(|part| match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
                None => (part, None),
            })
            .collect();
        Self { name, parameters }
    }
}

/// RFC 7692 section 7.1.
fn deflate_fits(offer: &Extension<'_>, answer: &Extension<'_>) -> bool {
    let offered = |wanted: &str| offer.parameters.iter().any(|(name, _)| *name == wanted);
    let bits = |value: Option<&str>| {
        value.and_then(|v| v.parse::<u8>().ok()).is_some_and(|bits| (8..=15).contains(&bits))
    };
    answer.parameters.iter().enumerate().all(|(at, (name, value))| {
        let repeated = answer.parameters.iter().take(at).any(|(before, _)| before == name);
        !repeated
            && match *name {
                "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                "server_max_window_bits" => bits(*value),
                "client_max_window_bits" => offered("client_max_window_bits") && bits(*value),
                _ => false,
            }
    })
}
