//! What to do about each cause, and what would show that it is another one. In a few words; `wstap explain`
//! has the whole page.

use crate::diagnose::Cause;

/// What would show that the cause is another one.
pub(in crate::diagnose) const fn disproof(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::UpgradeStripped => {
            "the client itself sends no Upgrade: look at the leg before the proxy"
        }
        Cause::ConnectionStripped => "the client itself sends no Connection: upgrade",
        Cause::UpgradeMangled => "the client itself sends this Upgrade",
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

/// The fix in a few words, with the directive of nginx where one is to blame.
pub(in crate::diagnose) const fn fix(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::UpgradeStripped => {
            "nginx: proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_http_version 1.1"
        }
        Cause::ConnectionStripped => {
            "nginx: proxy_set_header Connection \"upgrade\" (or the map of $http_upgrade)"
        }
        Cause::UpgradeMangled => "nginx: proxy_set_header Upgrade $http_upgrade",
        Cause::KeyMissing => {
            "let Sec-WebSocket-Key pass: no proxy_set_header Sec-WebSocket-Key \"\""
        }
        Cause::KeyInvalid => "the client must send 16 random bytes in base64",
        Cause::VersionUnsupported => "the client must speak version 13 (RFC 6455)",
        Cause::HttpVersion => "nginx: proxy_http_version 1.1",
        Cause::MethodNotGet => "open the WebSocket with a GET",
        Cause::OriginStripped => "let Origin pass: remove proxy_set_header Origin \"\"",
        Cause::OriginAbsent => {
            "the client must send Origin, or the server must let native clients in by credentials"
        }
        Cause::OriginNull => "serve the page from an origin of its own; do not allow null",
        Cause::OriginMalformed => "send scheme://host[:port] of the page, without path or slash",
        Cause::OriginRewritten => "let Origin pass: remove the proxy's Origin edit",
        Cause::OriginNotAllowed => {
            "if the page is yours, add exactly this origin to the server's list"
        }
        Cause::HostRewritten => "nginx: proxy_set_header Host $http_host",
        Cause::HostMissing => "the client or the hop must send Host",
        Cause::PortMismatch => "nginx: proxy_set_header Host $http_host (not $host)",
        Cause::ForwardedProtoMissing => {
            "nginx: proxy_set_header X-Forwarded-Proto $scheme, where TLS ends"
        }
        Cause::ForwardedProtoWrong => {
            "set X-Forwarded-Proto where TLS ends; inner hops pass $http_x_forwarded_proto"
        }
        Cause::UntrustedProxy => "add the proxy's address to the server's trusted proxies",
        Cause::CorsMiddleware => {
            "allow the origin in the CORS configuration, or exempt the WebSocket path"
        }
        Cause::AuthRequired => "send the cookie or token with the handshake; let the proxy pass it",
        Cause::Forbidden => "look at the server's log: authorisation or route",
        Cause::RouteNotFound => {
            "check the path and the proxy's prefix (a slash after proxy_pass cuts it)"
        }
        Cause::Redirected => {
            "connect to the final address; tell the server the scheme by X-Forwarded-Proto"
        }
        Cause::UpgradeIgnored => "route this path to the WebSocket handler",
        Cause::SessionUnknown => "sticky sessions: nginx ip_hash, or websocket-only transport",
        Cause::SubprotocolMismatch => {
            "the server must choose one of the offered subprotocols; let Sec-WebSocket-Protocol pass"
        }
        Cause::SubprotocolRequired => {
            "offer a subprotocol of the server's; let Sec-WebSocket-Protocol pass"
        }
        Cause::ExtensionMismatch => "the server may accept offered extensions only",
        Cause::AcceptMismatch => {
            "a cache or a second WebSocket layer answers: take it out of the way"
        }
        Cause::InvalidFrames => "only one upgrade handler may write to the connection",
        Cause::RejectedAfterAccept => "look at the close code in the application's own list",
        Cause::HeaderTooLarge => {
            "fewer cookies, or larger limits (nginx: large_client_header_buffers)"
        }
        Cause::RateLimited => "reconnect with backoff, or raise the limit",
        Cause::UpstreamUnavailable => "start the backend, or correct the upstream's address",
        Cause::ServerError => "look at the server's log",
        Cause::ClientGaveUp => "find what keeps the server from answering",
        Cause::Unanswered => "check the path and whether anything handles upgrades there",
        Cause::TimedOut => "find what keeps the server from answering",
        Cause::Unknown => return None,
    })
}
