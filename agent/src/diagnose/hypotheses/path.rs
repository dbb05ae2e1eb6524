//! What is at the path: nothing, something else, or a redirect.

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Guess, Means, Spoken},
    Hypothesis,
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    Evidence,
    case::Case,
    features::Features,
    fingerprint::Says,
    words::Topics,
};

pub(super) const NOT_FOUND: Hypothesis = Hypothesis {
    cause: Cause::RouteNotFound,
    usual: 51,
    named_by: Topics::PATH,
    support: not_found,
    against: found_for_others,
    ..Hypothesis::PLAIN
};

pub(super) const REDIRECTED: Hypothesis =
    Hypothesis { cause: Cause::Redirected, usual: 52, support: redirected, ..Hypothesis::PLAIN };

pub(super) const IGNORED: Hypothesis = Hypothesis {
    cause: Cause::UpgradeIgnored,
    usual: 45,
    support: ignored,
    against: found_for_others,
    ..Hypothesis::PLAIN
};

fn not_found(case: &Case<'_>) -> Option<Finding> {
    let evidence = [case.answer(), case.path()];
    let status = case.status();
    if case.topics.any(Topics::PATH) && status.is_none_or(|status| (400..500).contains(&status)) {
        let summary = "the server's answer speaks of a path or handler that it does not have";
        return Some(Finding::new(Spoken, Likely, summary).with(evidence));
    }
    let (grounds, summary) = match status? {
        404 | 410 => (Fits, "no handler at this path"),
        405 if case.features.any(Features::OTHER_METHOD) => return None,
        405 => (Fits, "the handler at this path takes no GET"),
        403 if case.context.population.refuses_everybody => (
            Fits,
            "this path refuses every origin while other paths of the server accept: no handler, or authorisation",
        ),
        _ => return None,
    };
    // A known server says so to whatever it refuses.
    let known = case.fingerprint.is_some_and(|known| matches!(known.says, Says::Refused(_)));
    let sure = if known && case.fingerprint.is_some_and(|k| !k.quote.is_empty()) {
        Possible
    } else {
        Likely
    };
    Some(Finding::new(grounds, sure, summary).with(evidence))
}

fn found_for_others(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    if case.context.population.accepts_here {
        let seen = "other handshakes at this path are accepted";
        found.push(Contradiction::new(Effect::Weak, seen));
    }
}

fn redirected(case: &Case<'_>) -> Option<Finding> {
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
        Finding::new(Means, Certain, summary)
            .with([Evidence::new("status", &response.status.to_string())])
            .with([Evidence::new("Location", location)])
            .with(proto),
    )
}

fn ignored(case: &Case<'_>) -> Option<Finding> {
    if !matches!(case.status()?, 200..=299 | 304) {
        return None;
    }
    let (grounds, sure) =
        if case.features.any(Features::DEFECTS) { (Guess, Possible) } else { (Fits, Likely) };
    let summary = "answered as an ordinary request: nothing at this path takes an upgrade";
    Some(Finding::new(grounds, sure, summary).with([case.answer(), case.path()]))
}
