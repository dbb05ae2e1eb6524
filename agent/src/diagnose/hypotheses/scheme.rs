//! The scheme of the client's leg, as the hops told it, and whether the server believes them.

use super::{
    Finding,
    Grounds::Guess,
    Hypothesis,
    check::{Check, check},
    host::compared,
};
use crate::diagnose::{
    Cause,
    Confidence::{self, Certain, Likely, Possible},
    Evidence,
    case::Case,
    features::Features,
    forwarded,
    origin::{Origin, OriginField},
    words::Topics,
};

pub(super) const MISSING: Hypothesis = Hypothesis {
    cause: Cause::ForwardedProtoMissing,
    usual: 59,
    lies_in: Features::SCHEME_UNTOLD,
    named_by: Topics::ORIGIN,
    support: missing,
    ..Hypothesis::PLAIN
};

pub(super) const WRONG: Hypothesis = Hypothesis {
    cause: Cause::ForwardedProtoWrong,
    usual: 59,
    lies_in: Features::SCHEME_DIFFERS,
    named_by: Topics::ORIGIN,
    support: wrong,
    ..Hypothesis::PLAIN
};

pub(super) const UNTRUSTED_PROXY: Hypothesis =
    Hypothesis { cause: Cause::UntrustedProxy, usual: 40, support: untrusted, ..Hypothesis::PLAIN };

/// The page and the check, where the check compares schemes and host and port agree.
fn compares<'a>(case: &'a Case<'_>) -> Option<(Check, &'a Origin)> {
    let check = check(case).filter(|check| check.compares_scheme())?;
    let OriginField::One(origin) = &case.origin else { return None };
    compared(case, check, origin)?;
    Some((check, origin))
}

/// The leg into a proxy on this host says the right scheme.
fn was_right(case: &Case<'_>, origin: &Origin) -> bool {
    case.context.before.is_some_and(|before| {
        let told = forwarded::schemes(&before.headers);
        !told.is_empty() && told.iter().all(|(_, scheme)| *scheme == origin.scheme)
    })
}

fn found(
    case: &Case<'_>,
    check: Check,
    origin: &Origin,
    summary: String,
    named: Option<Evidence>,
) -> Finding {
    let right = was_right(case, origin);
    let sure: Confidence = if right { Certain } else { Likely };
    let summary = if right {
        "the leg into a proxy on this host says the right scheme, the leg behind it does not"
            .to_owned()
    } else {
        summary
    };
    let before = case.context.before.filter(|_| right);
    let before = before.and_then(|before| before.headers.first("x-forwarded-proto"));
    Finding::new(check.grounds, check.sure.min(sure), summary)
        .with([case.header("Origin"), case.header("X-Forwarded-Proto")])
        .with(before.map(|value| Evidence::new("X-Forwarded-Proto (before the proxy)", value)))
        .with(named)
        .with([case.answer()])
}

fn missing(case: &Case<'_>) -> Option<Finding> {
    let (check, origin) = compares(case)?;
    let told = forwarded::schemes(&case.request.headers);
    (told.is_empty() && origin.scheme == "https").then(|| {
        let summary = "the page is https, and no hop told the server so: it compares with http";
        found(case, check, origin, summary.to_owned(), None)
    })
}

fn wrong(case: &Case<'_>) -> Option<Finding> {
    let (check, origin) = compares(case)?;
    let told = forwarded::schemes(&case.request.headers);
    // Of a list the known servers take the first, which the proxy nearest to the client wrote.
    let counted = if case.fingerprint.is_some() { 1 } else { told.len() };
    let wrong = told.iter().take(counted).find(|(_, scheme)| *scheme != origin.scheme)?;
    let summary = match wrong.1.as_str() {
        "ws" | "wss" => format!("the proxy says {}, and the server expects http or https", wrong.1),
        other => format!("the page is {}, and the last hop says {other}", origin.scheme),
    };
    let named = (wrong.0 != "x-forwarded-proto").then(|| case.header(wrong.0));
    Some(found(case, check, origin, summary, named))
}

/// Home Assistant answers 400 to whatever comes through a proxy that it does not trust; a server that compares schemes
/// and is told the right one does not believe it.
fn untrusted(case: &Case<'_>) -> Option<Finding> {
    if let Some((check, origin)) = compares(case)
        && let told = forwarded::schemes(&case.request.headers)
        && !told.is_empty()
        && told.iter().all(|(_, scheme)| *scheme == origin.scheme)
        && compared(case, check, origin).is_some_and(|host| host.port == origin.authority.port)
    {
        let summary = "origin, host and scheme agree as the proxy told them: the server may not believe the proxy";
        return Some(Finding::new(check.grounds.min(Guess), Possible, summary).with([
            case.header("Origin"),
            case.header("X-Forwarded-Proto"),
            case.answer(),
        ]));
    }
    let response = case.response?;
    let aiohttp = response.headers.first("server").is_some_and(|s| s.contains("aiohttp"))
        || case.words.contains("400: bad request");
    let forwarded = case.request.headers.has("x-forwarded-for");
    (response.status == 400 && aiohttp && forwarded && !case.features.any(Features::DEFECTS)).then(
        || {
            Finding::new(
                Guess,
                Possible,
                "a sound handshake is refused as a bad request, and it came through a proxy",
            )
            .with([case.answer(), case.header("X-Forwarded-For")])
        },
    )
}
