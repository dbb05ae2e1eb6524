//! How well an answer fits a request that lacks what RFC 6455 section 4.1 wants.

use super::Grounds::{self, Fits, Guess, Left, Means, Spoken};
use crate::diagnose::{
    Confidence::{self, Certain, Likely, Possible},
    case::Case,
    words::Topics,
};

/// What an answer is worth as one to a fault of the handshake's structure that `named_by` names in words: 400 and 426 are
/// what servers answer; 500 comes where they trip over what they do not check; one that takes the request for an ordinary one
/// serves it, has no such page, or does not know what to do with it; some close without a word. Other answers have
/// meanings of their own, and a server that does not look at the fault may give them.
pub(super) fn fit(case: &Case<'_>, named_by: Topics) -> (Grounds, Confidence) {
    let status = case.status();
    if case.topics.any(named_by) {
        let refused = status.is_none_or(|status| status >= 400);
        return (Spoken, if refused { Certain } else { Likely });
    }
    match status {
        Some(400 | 426 | 500) => (Fits, Likely),
        Some(200..=299 | 304 | 501) => (Fits, Likely),
        // A server that refuses without a word has usually looked at more than the form.
        Some(403) => (Left, Possible),
        Some(_) => (Guess, Possible),
        None if case.server_closed() || case.is_headless() => (Fits, Likely),
        None => (Guess, Possible),
    }
}

/// As [`fit`], for what makes a server take the request for an ordinary one: then it may have no such page. `needed`: 426
/// says that nothing else is missing.
pub(super) fn ordinary_fit(case: &Case<'_>, named_by: Topics) -> (Grounds, Confidence) {
    match fit(case, named_by) {
        (Guess, _) if matches!(case.status(), Some(404 | 405)) => (Fits, Likely),
        (Left, _) => (Guess, Possible),
        (Fits, _) if case.status() == Some(426) => (Means, Certain),
        fit => fit,
    }
}
