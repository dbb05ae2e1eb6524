//! What an answer other than 101 means when the request's structure is sound: the server's own words
//! first, then its comparison, then its status.

use crate::diagnose::{
    Cause, Confidence, Evidence,
    case::{Case, Finding, Rule, first},
    comparison::{is_foreign, not_an_origin, origin_refused},
    fingerprint::{self, Comparison, Says},
    forwarded,
    origin::{Authority, OriginField, Seclusion},
    proxies,
};

/// The rules, in order.
const RULES: &[Rule] = &[known_answer, redirect, words_of_origin, words_of_auth, untrusted_proxy];

/// What the answer means.
pub(in crate::diagnose) fn explain(case: &Case<'_>) -> Finding {
    first(RULES, case).unwrap_or_else(|| by_status(case))
}

fn known_answer(case: &Case<'_>) -> Option<Finding> {
    let known = case.fingerprint?;
    let finding = match &known.says {
        Says::Origin(comparison, sure) => {
            let found = origin_refused(case, *comparison, *sure);
            let presumed = found.presumed || *sure < Confidence::Certain;
            Some(Finding { presumed, ..found })
        }
        Says::Host => Some(host_refused(case)),
        Says::Cause(cause, sure) => {
            Some(Finding::new(*cause, *sure, known.quote).with(cause_evidence(case, *cause)))
        }
        Says::Proxy(cause, sure, summary) => {
            Some(Finding::new(*cause, *sure, *summary).with(cause_evidence(case, *cause)))
        }
        Says::Refused(comparison) => (words_of_origin(case).is_none()
            && matches!(case.status(), Some(400 | 401 | 403)))
        .then(|| closed_door(case, *comparison))
        .filter(|_| !known.quote.is_empty()),
    };
    finding.map(|found| Finding { fix: known.fix.or(found.fix), ..found })
}

/// The request's side of what the server says, with the answer.
fn cause_evidence(case: &Case<'_>, cause: Cause) -> Vec<Evidence> {
    let asked = match cause {
        Cause::SubprotocolRequired => Some(case.header("Sec-WebSocket-Protocol")),
        Cause::CorsMiddleware => Some(case.header("Origin")),
        Cause::RouteNotFound | Cause::SessionUnknown | Cause::UpgradeIgnored => {
            Some(Evidence::new("path", &case.request.path))
        }
        _ => None,
    };
    std::iter::once(case.answer()).chain(asked).collect()
}

/// The server refused the host that it was asked for.
fn host_refused(case: &Case<'_>) -> Finding {
    let evidence = [case.header("Host"), case.answer()];
    let named = |other: &Authority| case.host.as_ref().is_some_and(|host| host.host != other.host);
    let page = match &case.origin {
        OriginField::One(origin) => Some(origin.authority.clone()),
        _ => None,
    };
    let original = forwarded::hosts(&case.request.headers).into_iter().chain(page).find(named);
    let inner = case.host.as_ref().is_some_and(|host| host.seclusion() > Seclusion::Public);
    if original.is_some() && inner {
        return Finding::likely(
            Cause::HostRewritten,
            "the server does not serve this Host, which a hop wrote in place of the client's",
        )
        .with(evidence)
        .with([case.header("Origin")]);
    }
    Finding::likely(Cause::Forbidden, "the server does not serve this Host").with(evidence)
}

/// Refused, and the server does not say by which check: the origin when it is one that checks refuse,
/// else something that the headers do not show.
fn closed_door(case: &Case<'_>, comparison: Comparison) -> Finding {
    let compares = !matches!(comparison, Comparison::AllowList | Comparison::Unknown);
    let passes_absent = case.fingerprint.is_some_and(|known| known.passes_absent);
    let mut finding = match &case.origin {
        // Even where a hop removed it: that is not what this server refused.
        OriginField::Absent if passes_absent => forbidden(case),
        // A browser's Origin is gone for certain; that a native client has none may not matter here.
        OriginField::Absent if comparison == Comparison::Unknown => match not_an_origin(case) {
            Some(found) if found.cause == Cause::OriginStripped => found.with([case.answer()]),
            Some(found) if case.status() == Some(403) => {
                found.with([case.answer()]).at_most(Confidence::Possible)
            }
            _ => forbidden(case),
        },
        OriginField::One(_) if is_foreign(case) || compares => {
            let found = origin_refused(case, comparison, Confidence::Likely);
            // Where scheme, host and port all agree, the origin is not what was refused.
            let agrees = found.cause == Cause::OriginNotAllowed && !is_foreign(case);
            if agrees { forbidden(case) } else { found }
        }
        OriginField::One(_) => forbidden(case),
        _ => origin_refused(case, comparison, Confidence::Likely),
    };
    finding.presumed = true;
    finding
}

/// A refusal without a reason, for a request whose origin gives none.
fn forbidden(case: &Case<'_>) -> Finding {
    if case.request.names_session && case.request.path.contains(".io/") {
        return Finding::possible(
            Cause::SessionUnknown,
            "refused without a word, and the request names a session that this replica may not know",
        )
        .with([Evidence::new("path", &case.request.path), case.answer()]);
    }
    let (cause, summary) = if case.status() == Some(401) {
        (Cause::AuthRequired, "the server wants credentials")
    } else {
        (Cause::Forbidden, "refused without a word: authorisation, or no handler at this path")
    };
    Finding::possible(cause, summary).with([
        case.answer(),
        case.header("Origin"),
        Evidence::new("path", &case.request.path),
    ])
}

fn redirect(case: &Case<'_>) -> Option<Finding> {
    let response = case.response?;
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers.first("location");
    let unseen = location.is_none() && response.truncated;
    let location = location.unwrap_or(if unseen { "(not seen)" } else { "" });
    // The query may hold a token.
    let location = location.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
    let path = match (scheme, rest.find('/')) {
        ("", _) => rest,
        (_, Some(slash)) => rest.get(slash..).unwrap_or_default(),
        (_, None) => "/",
    };
    let summary = if unseen {
        "redirected; the answer's head is too long to see where to"
    } else if path == &*case.request.path && scheme.eq_ignore_ascii_case("https") {
        "redirected to https: the server does not know that the client's leg is over TLS already"
    } else if path.trim_end_matches('/') == case.request.path.trim_end_matches('/') {
        "redirected to the same path but for a slash or the host"
    } else {
        "redirected to another path, usually a login page"
    };
    let proto =
        case.request.headers.has("x-forwarded-proto").then(|| case.header("X-Forwarded-Proto"));
    Some(
        Finding::certain(Cause::Redirected, summary)
            .with([Evidence::new("status", &response.status.to_string())])
            .with([Evidence::new("Location", location)])
            .with(proto),
    )
}

/// A server that is not known, but says that it is about the origin.
fn words_of_origin(case: &Case<'_>) -> Option<Finding> {
    let status = case.status()?;
    if !matches!(status, 400 | 401 | 403 | 404) || !speaks_of_origin(&case.words) {
        return None;
    }
    let sure = if status == 404 { Confidence::Possible } else { Confidence::Likely };
    Some(origin_refused(case, Comparison::Unknown, sure))
}

/// Whether `words` hold the word "origin", as a word or before an underscore or plural.
pub(in crate::diagnose) fn speaks_of_origin(words: &str) -> bool {
    let bytes = words.as_bytes();
    words.match_indices("origin").any(|(at, found)| {
        let before = at.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
        let after = words.get(at + found.len()..).unwrap_or_default();
        let starts = !before.is_ascii_alphanumeric()
            && !words.get(..at).is_some_and(|left| left.ends_with("transform-"));
        let goes_on =
            after.starts_with(|c: char| c.is_ascii_alphabetic()) && !after.starts_with('s');
        starts && !goes_on
    })
}

/// Words by which servers ask for credentials, beyond the phrases that belong to a status code.
const AUTH: &[&str] = &[
    "not authenticated",
    "authentication",
    "credentials",
    "login required",
    "invalid token",
    "missing token",
    "api key",
    "csrf",
    "jwt",
];

fn words_of_auth(case: &Case<'_>) -> Option<Finding> {
    let response = case.response?;
    let evidence = |name: &'static str| [case.answer(), Evidence::new(name, "(present)")];
    if matches!(response.status, 401 | 407 | 511) {
        if let Some(scheme) = response.headers.first("www-authenticate") {
            let scheme = scheme.split_whitespace().next().unwrap_or_default();
            return Some(
                Finding::certain(Cause::AuthRequired, "the server asks for credentials")
                    .with([case.answer(), Evidence::new("WWW-Authenticate", scheme)]),
            );
        }
        return Some(Finding::likely(Cause::AuthRequired, "the server wants credentials").with([
            case.answer(),
            case.header("Authorization"),
            case.header("Cookie"),
        ]));
    }
    (matches!(response.status, 400 | 403) && AUTH.iter().any(|word| case.words.contains(word)))
        .then(|| {
            Finding::likely(Cause::AuthRequired, "the server's answer speaks of credentials")
                .with(evidence("words about credentials"))
        })
}

/// Home Assistant answers 400 to whatever comes through a proxy that it does not trust.
fn untrusted_proxy(case: &Case<'_>) -> Option<Finding> {
    let response = case.response?;
    let aiohttp = response.headers.first("server").is_some_and(|s| s.contains("aiohttp"))
        || case.words.contains("400: bad request");
    let forwarded = case.request.headers.has("x-forwarded-for");
    (response.status == 400 && aiohttp && forwarded).then(|| {
        Finding::possible(
            Cause::UntrustedProxy,
            "a sound handshake is refused as a bad request, and it came through a proxy",
        )
        .with([case.answer(), case.header("X-Forwarded-For")])
    })
}

/// Whether a known proxy gave the answer.
fn by_proxy(case: &Case<'_>) -> bool {
    case.response
        .and_then(|response| fingerprint::server_name(case.fingerprint, response))
        .is_some_and(|server| proxies::is_proxy(&server))
}

/// The status alone.
fn by_status(case: &Case<'_>) -> Finding {
    let status = case.status().unwrap_or_default();
    let evidence = [case.answer(), Evidence::new("path", &case.request.path)];
    let finding = match status {
        200..=299 | 304 => Finding::likely(
            Cause::UpgradeIgnored,
            "answered as an ordinary request: nothing at this path takes an upgrade",
        ),
        403 => return closed_door(case, Comparison::Unknown),
        404 | 410 => Finding::likely(Cause::RouteNotFound, "no handler at this path"),
        405 => Finding::likely(Cause::RouteNotFound, "the handler at this path takes no GET"),
        408 => Finding::likely(Cause::TimedOut, "the server did not get the request in time"),
        402 | 451 => Finding::likely(Cause::Forbidden, "the server refused"),
        413 | 414 => Finding::likely(Cause::HeaderTooLarge, "the request is too large"),
        // Servers say 503 of themselves, too.
        503 if !by_proxy(case) => {
            Finding::likely(Cause::ServerError, "the server does not serve at the moment")
        }
        502..=504 | 520..=530 => Finding::likely(
            Cause::UpstreamUnavailable,
            "a gateway's status: the server behind did not answer",
        ),
        500..=599 => Finding::likely(Cause::ServerError, "the server failed"),
        _ => Finding::possible(Cause::Unknown, "the answer does not tell which check refused"),
    };
    finding.with(evidence)
}
