//! Whether it was the server's origin check that refused, and what that check compares.

use super::Grounds::{self, Fits, Guess, Said, Spoken};
use crate::diagnose::{
    Confidence::{self, Certain, Likely, Possible},
    case::Case,
    client,
    fingerprint::{Comparison, Says},
    origin::{Origin, OriginField},
    words::Topics,
};

/// What is known of the check that refused.
#[derive(Clone, Copy)]
pub(super) struct Check {
    /// What it compares, as far as the server is known. A program may have configured another comparison.
    pub(super) comparison: Comparison,
    /// What says that an origin check refused.
    pub(super) grounds: Grounds,
    /// How sure that is.
    pub(super) sure: Confidence,
    /// A request without `Origin` passes it.
    pub(super) passes_absent: bool,
}

impl Check {
    /// Whether it may look at `Host`.
    pub(super) fn compares_host(self) -> bool {
        !matches!(self.comparison, Comparison::AllowList)
    }

    /// Whether the server is known to compare schemes.
    pub(super) fn compares_scheme(self) -> bool {
        matches!(self.comparison, Comparison::SchemeHostPort | Comparison::ForwardedSchemeHostPort)
    }

    pub(super) fn is_known(self) -> bool {
        self.comparison != Comparison::Unknown
    }
}

/// The check that refused, when it may have been one of the origin.
pub(super) fn check(case: &Case<'_>) -> Option<Check> {
    let status = case.status();
    let known = case.fingerprint.filter(|known| !known.quote.is_empty());
    let passes_absent = known.is_some_and(|known| known.passes_absent);
    let make = |comparison, grounds, sure| {
        Some(Check { comparison: own(case, comparison), grounds, sure, passes_absent })
    };
    match known.map(|known| &known.says) {
        Some(Says::Origin(comparison, Certain)) => return make(*comparison, Said, Certain),
        Some(Says::Origin(comparison, sure)) => return make(*comparison, Spoken, *sure),
        _ => {}
    }
    let refused = status.is_none_or(|status| (400..500).contains(&status)) || status == Some(200);
    if case.topics.any(Topics::ORIGIN) && refused && (status.is_some() || case.is_headless()) {
        return match status {
            // Pages that are not there speak of many things.
            Some(404) => make(Comparison::Unknown, Fits, Possible),
            _ => make(Comparison::Unknown, Spoken, Likely),
        };
    }
    match known.map(|known| &known.says) {
        Some(Says::Refused(comparison))
            if matches!(status, Some(400 | 401 | 403))
                || (status == Some(404) && *comparison != Comparison::Unknown) =>
        {
            make(*comparison, Fits, Likely)
        }
        None if status == Some(403) => make(Comparison::Unknown, Fits, Likely),
        _ => None,
    }
}

/// What the check compares in this request. A check whose answer names the origin that the server made up for itself compares schemes too.
fn own(case: &Case<'_>, comparison: Comparison) -> Comparison {
    if comparison == Comparison::FetchSite {
        let told = client::fetch_site(case.request).is_some();
        return if told { Comparison::AllowList } else { Comparison::HostPort };
    }
    match &case.origin {
        OriginField::One(origin)
            if comparison == Comparison::Unknown && names_its_own(case, origin) =>
        {
            Comparison::SchemeHostPort
        }
        _ => comparison,
    }
}

/// Whether the answer names the origin that the server made up for itself to compare with: the page's host
/// under another scheme, or the request's `Host` under the page's scheme.
fn names_its_own(case: &Case<'_>, origin: &Origin) -> bool {
    // Most answers name none.
    if memchr::memmem::find(case.words.as_bytes(), b"://").is_none() {
        return false;
    }
    let named = |scheme: &str, host: &str| case.words.contains(&format!("{scheme}://{host}"));
    let schemes = ["http", "https", "ws", "wss"];
    schemes
        .iter()
        .any(|other| *other != origin.scheme && named(other, &origin.authority.to_string()))
        || case.host.as_ref().is_some_and(|host| {
            host.host != origin.authority.host && named(&origin.scheme, &host.to_string())
        })
}

/// A check of which nothing is known is worth a guess, unless its server's words speak of the origin.
pub(super) fn unless_unknown(check: Check, sure: Confidence) -> (Grounds, Confidence) {
    if check.is_known() || check.grounds >= Spoken {
        (check.grounds, check.sure.min(sure))
    } else {
        (Guess, Possible)
    }
}
