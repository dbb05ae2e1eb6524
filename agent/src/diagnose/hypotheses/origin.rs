//! `Origin` itself: absent, null, malformed, changed on its way.

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Guess, Spoken},
    Hypothesis,
    check::{Check, check, unless_unknown},
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    Evidence,
    case::Case,
    client::{self, FetchSite},
    features::Features,
    fingerprint::Comparison,
    forwarded,
    origin::{Authority, OriginField},
    words::Topics,
};

pub(super) const ABSENT: Hypothesis = Hypothesis {
    cause: Cause::OriginAbsent,
    usual: 55,
    lies_in: Features::NO_ORIGIN,
    named_by: Topics::ORIGIN,
    support: absent,
    against: had_one,
    ..Hypothesis::PLAIN
};

pub(super) const STRIPPED: Hypothesis = Hypothesis {
    cause: Cause::OriginStripped,
    usual: 60,
    lies_in: Features::NO_ORIGIN,
    named_by: Topics::ORIGIN,
    support: stripped,
    against: had_none,
    ..Hypothesis::PLAIN
};

pub(super) const NULL: Hypothesis = Hypothesis {
    cause: Cause::OriginNull,
    usual: 60,
    lies_in: Features::NULL_ORIGIN,
    named_by: Topics::ORIGIN,
    support: null,
    ..Hypothesis::PLAIN
};

pub(super) const MALFORMED: Hypothesis = Hypothesis {
    cause: Cause::OriginMalformed,
    usual: 60,
    lies_in: Features::BAD_ORIGIN,
    named_by: Topics::ORIGIN,
    support: malformed,
    ..Hypothesis::PLAIN
};

pub(super) const REWRITTEN: Hypothesis = Hypothesis {
    cause: Cause::OriginRewritten,
    usual: 65,
    named_by: Topics::ORIGIN,
    support: rewritten,
    ..Hypothesis::PLAIN
};

/// The leg before the proxy had an `Origin`.
fn before_had_one(case: &Case<'_>) -> bool {
    case.context.before.is_some_and(|before| before.headers.has("origin"))
}

fn had_one(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    if before_had_one(case) {
        found.push(Contradiction::new(Effect::Refuted, "the leg before the proxy has an Origin"));
    }
}

fn had_none(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    let none = |before: &crate::http::RequestHead| !before.headers.has("origin");
    if case.context.before.is_some_and(|before| none(before) && !forwarded::proxied(before)) {
        let seen = "the leg before the proxy has no Origin either";
        found.push(Contradiction::new(Effect::Weak, seen));
    }
}

/// What a missing `Origin` is worth. A server that is not known may not look at it.
fn missing(case: &Case<'_>) -> Option<Check> {
    let absent = case.origin == OriginField::Absent && case.features.any(Features::NO_ORIGIN);
    check(case).filter(|check| absent && !check.passes_absent)
}

fn absent(case: &Case<'_>) -> Option<Finding> {
    let check = missing(case)?;
    let (grounds, sure) = unless_unknown(check, Likely);
    if client::is_browser(case.request) || (grounds == Guess && case.status() != Some(403)) {
        return None;
    }
    Some(Finding::new(grounds, sure, "there is no Origin, and this server wants one").with([
        Evidence::absent("Origin"),
        case.header("User-Agent"),
        case.answer(),
    ]))
}

/// A browser's `Origin` is gone for certain; whether the server minds is another question.
fn stripped(case: &Case<'_>) -> Option<Finding> {
    let check = missing(case)?;
    let before = case.context.before.filter(|_| before_had_one(case));
    if !client::is_browser(case.request) && before.is_none() {
        return None;
    }
    let marks = ["Sec-Fetch-Site", "Sec-Fetch-Mode", "User-Agent"];
    let mark = marks.iter().find(|name| case.request.headers.has(&name.to_ascii_lowercase()));
    let (summary, sure) = match before {
        Some(_) => ("a proxy on this host removed Origin", Certain),
        None => ("a browser always sends Origin, and it is gone: a hop removed it", Likely),
    };
    let before = before.and_then(|before| before.headers.first("origin"));
    Some(
        Finding::new(check.grounds, check.sure.min(sure), summary)
            .with([Evidence::absent("Origin"), case.header(mark.unwrap_or(&"User-Agent"))])
            .with(before.map(|value| Evidence::new("Origin (before the proxy)", value)))
            .with([case.answer()]),
    )
}

fn null(case: &Case<'_>) -> Option<Finding> {
    if case.origin != OriginField::Opaque || is_changed(case) {
        return None;
    }
    let check = check(case)?;
    Some(
        Finding::new(
            check.grounds,
            check.sure,
            "the page has no origin of its own (a sandboxed frame, a file, a web view)",
        )
        .with([case.header("Origin"), case.answer()]),
    )
}

/// Strict servers refuse folded lines and control characters (RFC 9112 section 5.2), too.
fn malformed(case: &Case<'_>) -> Option<Finding> {
    let broken = |value: &str| value.contains(|c: char| c.is_control() && c != '\t');
    if case.request.headers.first("origin").is_some_and(broken) && case.status() == Some(400) {
        return Some(
            Finding::new(Fits, Likely, "Origin is folded or holds control characters")
                .with([case.header("Origin"), case.answer()]),
        );
    }
    let (summary, sure) = match &case.origin {
        OriginField::Several if !forwarded::proxied(case.request) => {
            ("there is more than one Origin", Likely)
        }
        OriginField::Malformed => {
            ("Origin is not scheme://host[:port] of a page, as RFC 6454 wants it", Certain)
        }
        _ => return None,
    };
    if is_changed(case) {
        return None;
    }
    let check = check(case)?;
    Some(
        Finding::new(check.grounds, check.sure.min(sure), summary)
            .with([case.header("Origin"), case.answer()]),
    )
}

/// Both legs show another `Origin`.
fn is_changed(case: &Case<'_>) -> bool {
    case.context.before.is_some_and(|before| {
        let of =
            |headers: &crate::http::Headers| headers.all("origin").collect::<Vec<_>>().join(", ");
        before.headers.has("origin")
            && case.request.headers.has("origin")
            && of(&before.headers) != of(&case.request.headers)
    })
}

fn rewritten(case: &Case<'_>) -> Option<Finding> {
    let check = check(case)?;
    if is_changed(case) {
        let before = case.context.before.and_then(|before| before.headers.first("origin"));
        let found = "a proxy on this host changed Origin, and the server refused what it became";
        return Some(
            Finding::new(check.grounds, check.sure, found)
                .with([case.header("Origin")])
                .with(before.map(|value| Evidence::new("Origin (before the proxy)", value))),
        );
    }
    let origin = match &case.origin {
        OriginField::Several if forwarded::proxied(case.request) => {
            let found = "there is more than one Origin: a hop added one";
            return Some(
                Finding::new(check.grounds, check.sure.min(Likely), found)
                    .with([case.header("Origin"), case.answer()]),
            );
        }
        OriginField::One(origin) => origin,
        _ => return None,
    };
    let inner = origin.authority.seclusion();
    let outer = |host: &Authority| host.host != origin.authority.host && host.seclusion() < inner;
    let named = forwarded::hosts(&case.request.headers).first().is_some_and(outer);
    if check.comparison == Comparison::AllowList && named {
        let found = "Origin names the backend and not the page: a hop rewrote it";
        return Some(Finding::new(check.grounds, check.sure.min(Likely), found).with([
            case.header("Origin"),
            case.answer(),
            case.header("X-Forwarded-Host"),
        ]));
    }
    let same_origin = client::fetch_site(case.request) == Some(FetchSite::SameOrigin);
    let hidden = case
        .host
        .as_ref()
        .is_some_and(|host| host.host != origin.authority.host && inner > host.seclusion());
    if same_origin && hidden && check.compares_host() {
        let sure = if check.grounds >= Spoken || check.is_known() { Likely } else { Possible };
        let found = "the browser calls it same-origin, yet Origin is an inner name";
        return Some(Finding::new(check.grounds, check.sure.min(sure), found).with([
            case.header("Origin"),
            case.header("Host"),
            case.header("Sec-Fetch-Site"),
        ]));
    }
    None
}
