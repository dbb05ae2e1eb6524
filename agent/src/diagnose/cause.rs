//! The causes and the degrees of certainty of the public interface.

use serde::{Deserialize, Serialize};

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
    /// Born on HTTP/2 (RFC 8441), and a gateway passed it on without a key.
    ExtendedConnectUntranslated = "extended-connect-untranslated",
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
    /// The server accepted and dropped the connection at once without a frame.
    DroppedAfterAccept = "dropped-after-accept",
    /// The request's head is larger than the server takes.
    HeaderTooLarge = "header-too-large",
    /// Too many requests.
    RateLimited = "rate-limited",
    /// A proxy could not reach its backend.
    UpstreamUnavailable = "upstream-unavailable",
    /// The server failed.
    ServerError = "server-error",
    /// The answer is not one of HTTP, and its words tell no cause.
    AnswerMalformed = "answer-malformed",
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
