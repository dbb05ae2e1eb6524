//! The 101 that a browser must fail: what RFC 6455 section 4.1 and the WHATWG's Fetch standard make a
//! client check in the answer, and what the first moments after it show.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use crate::diagnose::{
    Cause, Confidence, Evidence,
    case::{Case, Finding, Rule},
};
use crate::{
    handshake::{CloseBy, EarlyClose, End, Opening, Role},
    http::{Headers, SUBPROTOCOLS, Version},
};

/// The rules, in the order of RFC 6455 section 4.1; then what followed.
pub(in crate::diagnose) const RULES: &[Rule] = &[
    upgrade,
    connection,
    accept,
    extensions,
    subprotocol,
    violation,
    left_after_http10,
    rejected_after_accept,
];

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

fn answered<'a>(case: &'a Case<'_>) -> Option<&'a Headers> {
    case.response.map(|response| &response.headers)
}

/// Whether the answer's end was seen: only then is a field that is not there absent.
fn whole(case: &Case<'_>) -> bool {
    case.response.is_some_and(|response| !response.truncated)
}

fn opening<'a>(case: &'a Case<'_>) -> Option<&'a Opening> {
    case.exchange.opening.as_ref()
}

fn from_answer(case: &Case<'_>, shown: &str) -> Evidence {
    let value = answered(case).and_then(|headers| headers.first(&shown.to_ascii_lowercase()));
    let name = format!("{shown} (answer)");
    match value {
        Some(value) => Evidence::new(name, value),
        None => Evidence::absent(name),
    }
}

fn upgrade(case: &Case<'_>) -> Option<Finding> {
    let headers = answered(case)?;
    if headers.has_token("upgrade", "websocket") {
        return None;
    }
    let (cause, summary) = if headers.has("upgrade") {
        (Cause::UpgradeMangled, "the 101 does not upgrade to websocket")
    } else {
        (Cause::UpgradeStripped, "the 101 has no Upgrade: the server or a hop left it out")
    };
    whole(case).then(|| Finding::likely(cause, summary).with([from_answer(case, "Upgrade")]))
}

fn connection(case: &Case<'_>) -> Option<Finding> {
    (!answered(case)?.has_token("connection", "upgrade") && whole(case)).then(|| {
        Finding::likely(Cause::ConnectionStripped, "the 101 has no Connection: upgrade")
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
    let found = answered(case)?.first("sec-websocket-accept").map(str::trim);
    if found == Some(&*accept_value(key)) || (found.is_none() && !whole(case)) {
        return None;
    }
    let (summary, value) = if found.is_some() {
        ("Sec-WebSocket-Accept does not belong to the key", "(not the key's)")
    } else {
        ("the 101 has no Sec-WebSocket-Accept", "(absent)")
    };
    Some(
        Finding::certain(Cause::AcceptMismatch, summary)
            .with([Evidence::new("Sec-WebSocket-Accept (answer)", value)]),
    )
}

/// Each extension of the answer must have been offered, once, with parameters that the offer allows
/// (RFC 6455 section 9.1, RFC 7692 section 7.1).
fn extensions(case: &Case<'_>) -> Option<Finding> {
    let offers: Vec<_> =
        case.request.headers.list("sec-websocket-extensions").map(Extension::parse).collect();
    let mut agreed: Vec<&str> = Vec::new();
    let mut fault = None;
    for extension in answered(case)?.list("sec-websocket-extensions").map(Extension::parse) {
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
        Finding::certain(Cause::ExtensionMismatch, fault).with([
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

/// Every client fails the connection when the answer has a subprotocol that was not offered. When it has none,
/// the Fetch standard ("establish a WebSocket connection") says the same of browsers: Chromium and WebKit do so,
/// Firefox and most native clients go on. What the client did then tells.
fn subprotocol(case: &Case<'_>) -> Option<Finding> {
    let offered = &case.request.subprotocols;
    let chosen = &case.response?.subprotocols;
    let offer = if offered.is_empty() {
        Evidence::absent("Sec-WebSocket-Protocol")
    } else {
        let more = if offered.len() < SUBPROTOCOLS { "" } else { " or more" };
        Evidence::new("Sec-WebSocket-Protocol", &format!("({}{more} offered)", offered.len()))
    };
    let evidence =
        |summary: &str| [offer, Evidence::new("Sec-WebSocket-Protocol (answer)", summary)];
    match chosen.as_slice() {
        [] if offered.is_empty() || !whole(case) => None,
        [] => {
            let client = client_end(case);
            let closed_by_server =
                |close: EarlyClose| close.sender.is_some_and(|sender| sender != client);
            let stayed = opening(case).is_some_and(|o| {
                o.watched && o.end.is_none() && o.close.is_none_or(closed_by_server)
            });
            if stayed {
                return None;
            }
            let left = opening(case).is_some_and(|o| {
                o.end.is_some_and(|end| end.initiator == client) && o.close.is_none()
            });
            let finding = if left {
                Finding::certain(
                    Cause::SubprotocolMismatch,
                    "the client offered a subprotocol, the server chose none, and the client left",
                )
            } else {
                Finding::likely(
                    Cause::SubprotocolMismatch,
                    "the client offered a subprotocol and the server chose none: most browsers leave",
                )
            };
            Some(finding.with(evidence("(absent)")))
        }
        // It may be one of those that were not kept.
        [one] if offered.contains(one) || offered.len() >= SUBPROTOCOLS => None,
        [_] => Some(
            Finding::certain(
                Cause::SubprotocolMismatch,
                "the server chose a subprotocol that was not offered",
            )
            .with(evidence("(not offered)")),
        ),
        _ => Some(
            Finding::certain(
                Cause::SubprotocolMismatch,
                "the server chose more than one subprotocol",
            )
            .with(evidence("(several)")),
        ),
    }
}

fn client_end(case: &Case<'_>) -> End {
    match case.exchange.connection.role {
        Role::Server => End::Peer,
        Role::Client => End::Local,
    }
}

fn violation(case: &Case<'_>) -> Option<Finding> {
    let broken = opening(case)?.violation?;
    let what = broken.what();
    Some(Finding::certain(Cause::InvalidFrames, what).with([Evidence::new("after the 101", what)]))
}

/// Some servers say 101 to HTTP/1.0 and then drop the connection, because they count it as one that is
/// not kept alive.
fn left_after_http10(case: &Case<'_>) -> Option<Finding> {
    let opening = opening(case)?;
    let end = opening.end?;
    let dropped = end.initiator != client_end(case) && opening.close.is_none();
    (case.request.version == Version::Http10 && dropped).then(|| {
        Finding::likely(
            Cause::HttpVersion,
            "the server said 101 to HTTP/1.0 and closed at once without a close frame",
        )
        .with([
            Evidence::new("version", "HTTP/1.0"),
            Evidence::new("closed after", &format!("{} ms", end.after.as_millis())),
        ])
    })
}

/// The server accepted and took it back within moments.
fn rejected_after_accept(case: &Case<'_>) -> Option<Finding> {
    let opening = opening(case)?;
    let close = opening.close?;
    if close.sender? == client_end(case) {
        return None;
    }
    let sure = verdict_of_close(&close)?;
    let summary = format!(
        "accepted, and closed by the server {} ms later with code {}",
        close.after.as_millis(),
        close.code
    );
    let reset = opening.end.is_some_and(|end| end.by == CloseBy::Rst);
    Some(
        Finding::new(Cause::RejectedAfterAccept, sure, summary)
            .with([
                Evidence::new("close code", &close.code.to_string()),
                Evidence::new("closed after", &format!("{} ms", close.after.as_millis())),
            ])
            .with(reset.then(|| Evidence::new("closed by", "RST"))),
    )
}

/// How surely a close code in the first moments is a refusal (RFC 6455 section 7.4, IANA's registry):
/// 1008 is a policy's; 3000, 3003 and 3008 are HTTP's 401, 403 and 408; 4000 and up are the application's
/// own; 1011 and 1013 are the server's failure. A close without a code is one only when the client had
/// said nothing: then the server's message, if there was one, was not an answer.
fn verdict_of_close(close: &EarlyClose) -> Option<Confidence> {
    match close.code {
        1008 | 3000 | 3003 | 3008 => Some(Confidence::Certain),
        1011 | 1013 | 3001..=4999 => Some(Confidence::Likely),
        1005 if close.messages_from_client == 0 => Some(Confidence::Possible),
        _ => None,
    }
}
