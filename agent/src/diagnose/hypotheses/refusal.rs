//! Credentials, permissions, sessions, and refusals without a word.

use super::{
    Finding,
    Grounds::{Fits, Guess, Left, Means, Spoken},
    Hypothesis,
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    Evidence,
    case::Case,
    fingerprint::{Comparison, Says},
    words::Topics,
};

pub(super) const AUTH: Hypothesis = Hypothesis {
    cause: Cause::AuthRequired,
    usual: 52,
    named_by: Topics::CREDENTIALS,
    support: auth,
    ..Hypothesis::PLAIN
};

pub(super) const FORBIDDEN: Hypothesis = Hypothesis {
    cause: Cause::Forbidden,
    usual: 30,
    named_by: Topics::PERMISSION.with(Topics::HOST),
    support: forbidden,
    ..Hypothesis::PLAIN
};

pub(super) const SESSION: Hypothesis = Hypothesis {
    cause: Cause::SessionUnknown,
    usual: 53,
    named_by: Topics::SESSION,
    support: session,
    ..Hypothesis::PLAIN
};

pub(super) const UNKNOWN: Hypothesis =
    Hypothesis { cause: Cause::Unknown, usual: 1, support: unknown, ..Hypothesis::PLAIN };

/// A 401 with a challenge asks for credentials (RFC 9110 section 15.5.2); without one, servers say so for anything.
fn auth(case: &Case<'_>) -> Option<Finding> {
    let status = case.status();
    let challenge = case.answered().and_then(|fields| fields.first("www-authenticate"));
    if let Some(scheme) = challenge
        && status == Some(401)
    {
        let scheme = scheme.split_whitespace().next().unwrap_or_default();
        return Some(
            Finding::new(Means, Certain, "the server asks for credentials")
                .with([case.answer(), Evidence::new("WWW-Authenticate", scheme)]),
        );
    }
    // "unauthorized" alone is a headless answer's status.
    let spoken = case.topics.any(Topics::CREDENTIALS);
    let told =
        status.is_some_and(|status| status < 300 || (400..500).contains(&status) || status == 503);
    if spoken && (told || case.is_headless()) {
        return Some(
            Finding::new(Spoken, Likely, "the server's answer speaks of credentials")
                .with([case.answer(), Evidence::new("words about credentials", "(present)")])
                .with([case.header("Authorization"), case.header("Cookie")]),
        );
    }
    // Of a known server's refusal that may be about anything it is one reading.
    let (grounds, sure) = match (status?, case.fingerprint.map(|known| &known.says)) {
        (401, Some(Says::Refused(_))) => (Guess, Possible),
        (401, _) => (Fits, Likely),
        (407 | 511, _) => (Means, Likely),
        _ => return None,
    };
    Some(Finding::new(grounds, sure, "the server wants credentials").with([
        case.answer(),
        case.header("Authorization"),
        case.header("Cookie"),
    ]))
}

fn forbidden(case: &Case<'_>) -> Option<Finding> {
    let status = case.status();
    let evidence = [case.answer(), case.header("Origin"), case.path()];
    let says_host = case.fingerprint.is_some_and(|known| matches!(known.says, Says::Host));
    let of_host = case.topics.any(Topics::HOST)
        && !case.topics.any(Topics::ORIGIN)
        && matches!(status, Some(400 | 403 | 421));
    if says_host || of_host {
        return Some(
            Finding::new(
                Spoken,
                if says_host { Likely } else { Possible },
                "the server does not serve this Host",
            )
            .with([case.header("Host"), case.answer()]),
        );
    }
    if case.topics.any(Topics::PERMISSION)
        && status.is_none_or(|s| s < 300 || (400..500).contains(&s))
    {
        let summary = "the server's answer speaks of a permission or an account";
        return Some(Finding::new(Spoken, Likely, summary).with(evidence));
    }
    let known = case.fingerprint.map(|known| &known.says);
    let (grounds, sure, summary) = match status? {
        402 | 451 => (Fits, Likely, "the server refused"),
        403 => {
            (Guess, Possible, "refused without a word: authorisation, or no handler at this path")
        }
        400 if matches!(known, Some(Says::Refused(comparison)) if *comparison != Comparison::Unknown) => {
            (Left, Possible, "refused without a word")
        }
        400 | 401 if case.fingerprint.is_some_and(|known| !known.quote.is_empty()) => {
            (Left, Possible, "refused without a word")
        }
        _ => return None,
    };
    Some(Finding::new(grounds, sure, summary).with(evidence))
}

/// A session that another replica holds.
fn session(case: &Case<'_>) -> Option<Finding> {
    if !case.request.names_session {
        return None;
    }
    let evidence = [case.path(), case.answer()];
    if case.topics.any(Topics::SESSION) && case.status().is_some_and(|status| status >= 400) {
        let summary = "the server does not know the session that the request names";
        return Some(Finding::new(Spoken, Likely, summary).with(evidence));
    }
    let door = matches!(case.status(), Some(400 | 401 | 403)) && case.topics.is_empty();
    (door && case.request.path.contains(".io/")).then(|| {
        Finding::new(
            Guess,
            Possible,
            "refused without a word, and the request names a session that this replica may not know",
        )
        .with(evidence)
    })
}

fn unknown(case: &Case<'_>) -> Option<Finding> {
    case.response?;
    Some(
        Finding::new(Left, Possible, "the answer does not tell which check refused")
            .with([case.answer(), case.path()]),
    )
}
