//! What would show that a cause is another one, in a few words; `wstap explain` has the whole page.

use crate::diagnose::Cause;

/// What would show that the cause is another one.
pub(in crate::diagnose) const fn disproof(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::UpgradeStripped => {
            "the client itself sends no Upgrade: look at the leg before the proxy"
        }
        Cause::ConnectionStripped => "the client itself sends no Connection: upgrade",
        Cause::UpgradeMangled => "the client itself sends this Upgrade",
        Cause::ExtendedConnectUntranslated => {
            "the same browser fails over HTTP/1.1, too (Firefox: network.http.http2.websockets = false)"
        }
        Cause::KeyMissing | Cause::KeyInvalid => {
            "the same server takes this client on a direct connection"
        }
        Cause::VersionUnsupported => "the same request with version 13 is refused too",
        Cause::HttpVersion => "the same request as HTTP/1.1 is refused too",
        Cause::MethodNotGet => "a GET at the same path is refused too",
        Cause::OriginStripped => {
            "the leg before the proxy has no Origin either: then the client is no browser"
        }
        Cause::OriginAbsent => "the leg before the proxy has an Origin: then a hop removed it",
        Cause::OriginNull => "the same page with an origin of its own is refused too",
        Cause::OriginMalformed => "a well-formed Origin is refused too",
        Cause::OriginRewritten => "the leg before the proxy has the same Origin",
        Cause::OriginNotAllowed => {
            "this origin is accepted elsewhere on the same server, or Host was rewritten"
        }
        Cause::HostRewritten => "the leg before the proxy has the same Host",
        Cause::HostMissing => "the same request with Host is refused too",
        Cause::PortMismatch => "a request whose Host has Origin's port is refused too",
        Cause::ForwardedProtoMissing | Cause::ForwardedProtoWrong => {
            "the same request with X-Forwarded-Proto: https is refused too"
        }
        Cause::UntrustedProxy => "the same request without X-Forwarded-For is refused too",
        Cause::CorsMiddleware => "an allowed origin is refused in the same way",
        Cause::AuthRequired => "the same request with valid credentials is refused too",
        Cause::Forbidden => "the server's log names a more exact reason",
        Cause::RouteNotFound => "other origins are accepted at this very path",
        Cause::Redirected => return None,
        Cause::UpgradeIgnored => "other handshakes at this path are accepted",
        Cause::SessionUnknown => "there is only one replica, and it was not restarted",
        Cause::SubprotocolMismatch => "the client is no browser and goes on without a subprotocol",
        Cause::SubprotocolRequired => {
            "the same request with a subprotocol of the server's is refused too"
        }
        Cause::ExtensionMismatch | Cause::AcceptMismatch | Cause::InvalidFrames => {
            "the leg to the backend shows the same bytes: then the backend does it, else a hop"
        }
        Cause::RejectedAfterAccept => "the server closes every connection so, also after real work",
        Cause::DroppedAfterAccept => "the client closed first, or frames passed",
        Cause::AnswerMalformed => "another client gets an HTTP answer on this port",
        Cause::HeaderTooLarge => "the same request with less cookies is refused too",
        Cause::RateLimited => "the first request after a pause is refused too",
        Cause::UpstreamUnavailable => {
            "a leg with the same key reached the backend and was answered"
        }
        Cause::ServerError => "the server's log has no error at this time",
        Cause::ClientGaveUp => "the client's own log says that the server closed",
        Cause::Unanswered => "the server's log shows an answer: then a hop swallowed it",
        Cause::TimedOut => "an answer came later",
        Cause::Unknown => return None,
    })
}
