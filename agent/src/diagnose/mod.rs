//! Why a handshake failed: tables of small pure rules over an [`Exchange`].
//!
//! In: an exchange. Out: a verdict. No I/O, no clock.
//!
//! The order: what RFC 6455 requires and a hop took away (`structure`); the exact words of the server that
//! answered (`fingerprint`, `servers`, `proxies`, `refusal`); headers, by only the comparison that this
//! server makes (`comparison`); what other handshakes show (`population`).

mod accepted;
mod advice;
mod case;
mod changes;
mod client;
mod comparison;
pub mod ending;
mod fingerprint;
mod forwarded;
pub mod legs;
mod origin;
pub mod population;
mod proxies;
mod refusal;
mod servers;
mod silence;
mod structure;
#[cfg(test)]
mod tests;
mod verdict;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use forwarded::scheme;
pub use origin::normalised as normalised_origin;
pub use population::PopulationEvidence;
pub use verdict::{
    Change, EVIDENCE_VALUE, Evidence, Outcome, Policy, ProxyChange, Scheme, Verdict,
};

use crate::{
    handshake::{Answer, Exchange},
    http::bounded,
};
use case::{Case, Finding, first};

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Something points to it, and other causes look the same from here.
    Possible,
    /// The evidence fits this cause better than any other.
    Likely,
    /// The protocol or the server's own words leave no other cause.
    Certain,
}

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
        /// Why a handshake failed. The codes are stable; `wstap explain` has a page for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)+
        }

        impl Cause {
            /// Every cause, in the order of the public interface.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }
    };
}

causes! {
    /// A hop dropped `Upgrade` (and usually `Connection`); `Sec-WebSocket-*` is left.
    UpgradeStripped = "upgrade-stripped",
    /// `Upgrade` is there, `Connection` does not say `upgrade`.
    ConnectionStripped = "connection-stripped",
    /// `Upgrade` does not say `websocket`.
    UpgradeMangled = "upgrade-mangled",
    /// No `Sec-WebSocket-Key`.
    KeyMissing = "key-missing",
    /// `Sec-WebSocket-Key` is not 16 bytes in base64.
    KeyInvalid = "key-invalid",
    /// `Sec-WebSocket-Version` is not one that the server speaks.
    VersionUnsupported = "version-unsupported",
    /// The request is HTTP/1.0 and the server wants 1.1.
    HttpVersion = "http-version",
    /// The method is not GET.
    MethodNotGet = "method-not-get",
    /// A browser's `Origin` was removed by a hop.
    OriginStripped = "origin-stripped",
    /// The client sent no `Origin` and the server wants one.
    OriginAbsent = "origin-absent",
    /// `Origin: null`, and the server refuses it.
    OriginNull = "origin-null",
    /// `Origin` is not a serialised origin.
    OriginMalformed = "origin-malformed",
    /// A hop changed `Origin`.
    OriginRewritten = "origin-rewritten",
    /// The server's policy does not allow this origin.
    OriginNotAllowed = "origin-not-allowed",
    /// A hop changed `Host`, and the server compares it with `Origin`.
    HostRewritten = "host-rewritten",
    /// No `Host`.
    HostMissing = "host-missing",
    /// `Origin` and `Host` differ in the port only.
    PortMismatch = "port-mismatch",
    /// The server compares schemes and no hop said `https`.
    ForwardedProtoMissing = "forwarded-proto-missing",
    /// The server compares schemes and `X-Forwarded-Proto` says the wrong one.
    ForwardedProtoWrong = "forwarded-proto-wrong",
    /// The server does not trust the proxy that forwarded the request.
    UntrustedProxy = "untrusted-proxy",
    /// CORS middleware answered before the WebSocket handler.
    CorsMiddleware = "cors-middleware",
    /// The server wants credentials.
    AuthRequired = "auth-required",
    /// The server refused, and did not say why.
    Forbidden = "forbidden",
    /// No handler at this path.
    RouteNotFound = "route-not-found",
    /// The server answered with a redirect, which a WebSocket client does not follow.
    Redirected = "redirected",
    /// The server answered as to an ordinary request.
    UpgradeIgnored = "upgrade-ignored",
    /// The session that the request names is not known to this replica.
    SessionUnknown = "session-unknown",
    /// The answer's subprotocol is not one that was offered.
    SubprotocolMismatch = "subprotocol-mismatch",
    /// The server wants a subprotocol and none that it knows was offered.
    SubprotocolRequired = "subprotocol-required",
    /// The answer accepts an extension that was not offered.
    ExtensionMismatch = "extension-mismatch",
    /// `Sec-WebSocket-Accept` does not belong to the key.
    AcceptMismatch = "accept-mismatch",
    /// The first bytes after the 101 are not valid frames.
    InvalidFrames = "invalid-frames",
    /// The server accepted and closed at once with a policy code.
    RejectedAfterAccept = "rejected-after-accept",
    /// The request's head is larger than the server takes.
    HeaderTooLarge = "header-too-large",
    /// Too many requests.
    RateLimited = "rate-limited",
    /// A proxy could not reach its backend.
    UpstreamUnavailable = "upstream-unavailable",
    /// The server failed.
    ServerError = "server-error",
    /// The client closed before the answer.
    ClientGaveUp = "client-gave-up",
    /// The server closed without a byte of answer.
    Unanswered = "unanswered",
    /// No answer in time.
    TimedOut = "timed-out",
    /// The evidence does not tell.
    Unknown = "unknown",
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// Judges one handshake: what became of it, and why.
pub fn diagnose(exchange: &Exchange, population: &PopulationEvidence) -> Verdict {
    let case = Case::new(exchange);
    let (outcome, finding) = match &exchange.answer {
        Answer::Unobserved => (Outcome::Unobserved, None),
        Answer::Response(response) if response.status == 101 => {
            match first(accepted::RULES, &case) {
                Some(finding) => (Outcome::Failed, Some(finding)),
                None => (Outcome::Accepted, None),
            }
        }
        Answer::Response(_) => {
            let finding = first(structure::RULES, &case).unwrap_or_else(|| refusal::explain(&case));
            let finding = population::correct(finding, population, &case);
            (Outcome::Rejected, Some(finding))
        }
        Answer::Malformed => {
            let finding = first(structure::RULES, &case).unwrap_or_else(silence::garbled);
            (Outcome::Rejected, Some(finding))
        }
        Answer::Closed { .. } | Answer::TimedOut => {
            let finding = first(structure::RULES, &case).unwrap_or_else(|| silence::explain(&case));
            let timed_out = exchange.answer == Answer::TimedOut;
            (if timed_out { Outcome::TimedOut } else { Outcome::Unanswered }, Some(finding))
        }
    };
    let server =
        case.response.and_then(|response| fingerprint::server_name(case.fingerprint, response));
    verdict(outcome, finding, server)
}

fn verdict(outcome: Outcome, finding: Option<Finding>, server: Option<String>) -> Verdict {
    let cause = finding.as_ref().map(|found| found.cause);
    let own_fix = finding.as_ref().and_then(|found| found.fix);
    let confidence = finding.as_ref().map(|found| found.confidence);
    let presumed = finding.as_ref().is_some_and(|found| found.presumed);
    let (evidence, mut summary) = finding.map(|f| (f.evidence, f.summary)).unwrap_or_default();
    if let Cow::Owned(text) = &summary {
        // Some quote what the client sent.
        summary = bounded(text).into();
    }
    Verdict {
        outcome,
        cause,
        confidence,
        evidence,
        presumed,
        summary,
        disproof: cause.and_then(advice::disproof),
        fix: own_fix.or_else(|| cause.and_then(advice::fix)),
        server,
    }
}
