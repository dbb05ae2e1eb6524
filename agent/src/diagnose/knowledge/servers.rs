//! The answers of known servers, as data. The first that fits counts: exact words stand before general ones.
//!
//! A row: server, status codes (none: any), words, other conditions, what it proves, and how the evidence
//! quotes it. Sources: each server's own code at the place named, and recorded answers. Only a row whose words
//! were read or recorded says `Certain`.

use crate::diagnose::{
    Cause::{
        AuthRequired, CorsMiddleware, Forbidden, HeaderTooLarge, MethodNotGet, RouteNotFound,
        ServerError, SessionUnknown, SubprotocolRequired, UpgradeIgnored,
    },
    Confidence::{Certain, Likely},
};
use crate::diagnose::{
    fingerprint::{
        Comparison::{
            AllowList, FetchSite, ForwardedSchemeHostPort, HostPort, SchemeHostPort, Unknown,
        },
        Fingerprint,
        Says::{self, Host, Origin, Refused},
        Want::{self, Absent, Has, Is, Since},
        Words::{Any, Body, Have, HaveAll, NoBody, Nothing},
    },
    proxies,
};

/// Writes a table of [`Fingerprint`]s.
macro_rules! answers {
    ($($server:literal [$($status:literal)*] $words:expr $(, $field:ident = $value:expr)*
        => $says:expr, $quote:literal;)*) => {
        &[$(Fingerprint {
            server: $server,
            status: &[$($status),*],
            words: $words,
            says: $says,
            quote: $quote,
            $($field: $value,)*
            ..Fingerprint::ANY
        },)*]
    };
}
pub(in crate::diagnose) use answers;

/// All known answers. What a server says by its words comes first, then what a proxy says for itself, then
/// refusals that are known by their shape alone.
pub(in crate::diagnose) const ANSWERS: &[&[Fingerprint]] = &[WORDS, proxies::ANSWERS, SHAPES];

type Fields = &'static [(&'static str, Want)];

/// gorilla's server.go sends its version with every error.
const GORILLA: Fields = &[("sec-websocket-version", Is("13"))];
/// The head that `ws` writes by hand (lib/websocket-server.js, abortHandshake).
const BY_WS: Fields = &[
    ("connection", Is("close")),
    ("content-type", Is("text/html")),
    ("date", Absent),
    ("server", Absent),
    ("www-authenticate", Absent),
];
/// No fields at all: autobahn's sendHttpErrorResponse.
const BARE: Fields =
    &[("date", Absent), ("server", Absent), ("content-type", Absent), ("content-length", Absent)];

const WORDS: &[Fingerprint] = answers! {
    // The origin check.
    // web.py, _check_cross_origin: since 6.6 a browser's own word counts, and Host only where there is none.
    "tornado" [403] Have("cross origin websockets not allowed"),
        headers = &[("server", Since("tornadoserver", (6, 6)))]
        => Origin(FetchSite, Certain), "Cross origin websockets not allowed";
    "tornado" [403] Have("cross origin websockets not allowed")
        => Origin(HostPort, Certain), "Cross origin websockets not allowed";
    "coder/websocket" [403] HaveAll(&["request origin \"", "is not authorized for host"])
        => Origin(HostPort, Certain), "request Origin is not authorized for Host";
    "coder/websocket" [403] Have("failed to parse origin header")
        => Origin(HostPort, Certain), "failed to parse Origin header";
    // Upgrade answers 403 for CheckOrigin alone, which the program may have written itself.
    "gorilla/websocket" [403] Body("forbidden"), headers = GORILLA
        => Origin(HostPort, Likely), "Forbidden with Sec-Websocket-Version: CheckOrigin said no";
    // The library's own error, where a program shows it.
    "gorilla/websocket" [] Have("request origin not allowed by upgrader.checkorigin")
        => Origin(HostPort, Likely), "request origin not allowed by Upgrader.CheckOrigin";
    "gorilla/websocket" [] Have("websocket: the client is not using the websocket protocol")
        => Refused(Unknown), "";
    "gorilla/websocket" [500] Body("internal server error"), headers = GORILLA
        => Says::Cause(ServerError, Likely), "the connection cannot be hijacked: a middleware wraps it";
    "gorilla/websocket" [400] Body("bad request"), headers = GORILLA => Refused(Unknown), "";
    "gorilla/websocket" [405] Body("method not allowed"), headers = GORILLA => Refused(Unknown), "";
    "gorilla/websocket" [426] Body("upgrade required"), headers = GORILLA => Refused(Unknown), "";
    "coder/websocket" [] Have("websocket protocol violation: ") => Refused(Unknown), "";
    "coder/websocket" [400] Have("unsupported websocket protocol version (only 13")
        => Refused(Unknown), "";
    "gobwas/ws" [] Have("handshake error: bad ") => Refused(Unknown), "";
    "axum" [] Have("websocket request couldn't be upgraded") => Refused(Unknown), "";
    "axum" [400] Have("header did not include '") => Refused(Unknown), "";
    "axum" [400] Have("`sec-websocket-key` header missing") => Refused(Unknown), "";
    "websockets" [400 403] HaveAll(&["failed to open a websocket connection", "origin header"])
        => Origin(AllowList, Certain), "missing or invalid Origin header";
    "websockets" [400] HaveAll(&["failed to open a websocket connection", "subprotocol"])
        => Says::Cause(SubprotocolRequired, Certain), "missing or invalid subprotocol";
    "websockets" [] Have("failed to open a websocket connection")
        => Refused(Unknown), "";
    // base_server.py, _cors_allowed_origins: scheme and Host, and X-Forwarded-Proto with -Host.
    "python-engineio" [400 403] Have("not an accepted origin")
        => Origin(ForwardedSchemeHostPort, Certain), "not an accepted origin";
    // action_cable/connection/base.rb answers 404 to whatever it refuses.
    "actioncable" [404] Body("page not found"), headers = &[("content-type", Is("text/plain"))]
        => Refused(SchemeHostPort), "Page not found: ActionCable's answer to whatever it refuses";
    "spring" [403] Body("invalid cors request")
        => Origin(SchemeHostPort, Likely), "Invalid CORS request";
    "vert.x" [403] Have("cors rejected - invalid origin")
        => Says::Cause(CorsMiddleware, Likely), "CORS Rejected - Invalid origin";
    "" [] Have("not allowed by cors")
        => Says::Cause(CorsMiddleware, Certain), "Not allowed by CORS";
    "autobahn" [400 403] HaveAll(&["websocket connection denied", "origin"])
        => Origin(AllowList, Certain), "WebSocket connection denied: origin not allowed";
    // lib/router-utils/block-cross-site-dev.js of the development server: only below /_next and /__nextjs.
    "next" [403] Body("unauthorized"), path = "/_next"
        => Origin(AllowList, Likely), "Unauthorized: allowedDevOrigins lacks the page's host";
    "code-server" [403] Have("does not match origin")
        => Origin(HostPort, Certain), "host does not match origin";
    "nats" [] Have("origin not allowed: ")
        => Origin(AllowList, Likely), "origin not allowed";
    "grafana" [403] Have("\"message\":\"origin not allowed\"")
        => Origin(HostPort, Likely), "origin not allowed";
    "ratchet" [403] NoBody, headers = &[("x-powered-by", Has("ratchet"))]
        => Origin(AllowList, Likely), "Forbidden, from Ratchet: OriginCheck said no";
    "websocket-node" [403] Have("origin"), headers = &[("x-websocket-reject-reason", Has("origin"))]
        => Origin(AllowList, Likely), "X-WebSocket-Reject-Reason names the origin";
    // src/ws/cockpithandlers.c: Origin against scheme and Host; X-Forwarded-Proto counts with ProtocolHeader only.
    "cockpit" [403] Have("received invalid websocket request")
        => Refused(SchemeHostPort), "Received invalid WebSocket request";
    // The host.
    "starlette" [400] Body("invalid host header") => Host, "Invalid host header";
    "rails" [403] Have("blocked host") => Host, "Blocked host";
    "vite" [403] HaveAll(&["blocked request", "is not allowed"])
        => Host, "Blocked request. This host is not allowed";
    "django" [400] Have("invalid http_host header") => Host, "Invalid HTTP_HOST header";
    "play" [400] Have("host not allowed") => Host, "Host not allowed";
    "asp.net-core" [400] Have("bad request - invalid hostname") => Host, "Bad Request - Invalid Hostname";
    // Sessions of another replica.
    "engine.io" [] Have("session id unknown")
        => Says::Cause(SessionUnknown, Certain), "Session ID unknown";
    "python-engineio" [400] Have("invalid session")
        => Says::Cause(SessionUnknown, Certain), "Invalid session";
    "signalr" [404] Have("no connection with that id")
        => Says::Cause(SessionUnknown, Certain), "No Connection with that ID";
    // engine.io/lib/server.ts, abortUpgrade: every refusal of an upgrade is a 400.
    "engine.io" [400] Have("transport unknown")
        => Says::Cause(Forbidden, Likely), "Transport unknown: the websocket transport is turned off";
    "engine.io" [400 403] HaveAll(&["\"code\":", "forbidden"]), path = ".io/"
        => Refused(Unknown), "Forbidden: allowRequest said no";
    "engine.io" [400] Body("forbidden"), path = ".io/", headers = BY_WS
        => Refused(Unknown), "Forbidden: allowRequest said no";
    // Subprotocols.
    "akka-http" [400] Have("none of the websocket subprotocols")
        => Says::Cause(SubprotocolRequired, Likely), "none of the offered subprotocols is supported";
    "ws" [400] Body("invalid sec-websocket-protocol header")
        => Says::Cause(SubprotocolRequired, Likely), "Invalid Sec-WebSocket-Protocol header";
    // No handler, or one that does not upgrade.
    "uvicorn" [] Have("unsupported upgrade request")
        => Says::Cause(UpgradeIgnored, Certain), "Unsupported upgrade request: no WebSocket library";
    // werkzeug.routing: a WebsocketMismatch is a 400.
    "werkzeug" [400] Have("sent a request that this server could not understand"),
        headers = &[("server", Has("werkzeug"))]
        => Says::Cause(UpgradeIgnored, Likely), "Bad Request: Werkzeug's when the route is no WebSocket";
    "ws" [405] Body("invalid http method")
        => Says::Cause(MethodNotGet, Certain), "Invalid HTTP method";
    "websocket-node" [404] Have("no handler is configured to accept")
        => Says::Cause(RouteNotFound, Certain), "No handler is configured to accept the connection";
    "channels" [500] Have("no route found")
        => Says::Cause(RouteNotFound, Certain), "No route found for path";
    // Limits.
    "nginx" [400 413 431 494] Have("request header or cookie too large")
        => Says::Cause(HeaderTooLarge, Certain), "Request Header Or Cookie Too Large";
    "apache" [400] Have("size of a request header field exceeds server limit")
        => Says::Cause(HeaderTooLarge, Certain), "Size of a request header field exceeds server limit";
    "oauth2-proxy" [401 403] Have("oauth2-proxy")
        => Says::Cause(AuthRequired, Likely), "oauth2-proxy's sign-in page";
};

/// Refusals that do not say which check failed.
const SHAPES: &[Fingerprint] = answers! {
    // In ASGI engine.io's refusal is a close before accept, which becomes an empty 403. An absent Origin
    // passes (base_server.py).
    "python-engineio" [403] NoBody, path = ".io/", passes_absent = true
        => Refused(ForwardedSchemeHostPort), "empty: closed before accept";
    "daphne" [403] Have("access denied"), headers = BARE
        => Refused(AllowList), "Access denied: closed before accept";
    "uvicorn" [403] NoBody, headers = &[
            ("content-length", Is("0")), ("content-type", Has("text/plain")),
            ("connection", Is("close")), ("server", Absent),
        ]
        => Refused(Unknown), "empty: closed before accept";
    // protocol/ws_stream.py: also when the application raises before it accepts, a 500.
    "hypercorn" [403] Nothing, headers = &[("server", Has("hypercorn-")), ("content-length", Is("0"))]
        => Refused(Unknown), "empty, from Hypercorn: closed before accept";
    // Also when the application raises before it accepts.
    "granian" [403] NoBody, headers = &[("server", Is("granian")), ("content-length", Is("0"))]
        => Refused(Unknown), "empty, from Granian: closed before accept";
    // h11 writes no reason phrase where wsproto gives none.
    "wsproto" [403] Nothing, headers = &[
            ("content-length", Is("0")), ("content-type", Absent), ("date", Absent), ("server", Absent),
        ]
        => Refused(Unknown), "empty: closed before accept";
    // Phoenix compares with its configured host, not with Host; an absent Origin passes (transport.ex, check_origin).
    "phoenix" [403] NoBody, headers = &[("cache-control", Has("max-age=0, private"))], passes_absent = true
        => Refused(AllowList), "empty: check_origin or connect said no";
    // Tomcat sends no reason phrase; Spring's OriginHandshakeInterceptor sets the status and nothing else. An
    // absent Origin passes (WebUtils.isSameOrigin).
    "tomcat" [403] Nothing, headers = &[("date", Has("")), ("server", Absent)], passes_absent = true
        => Refused(SchemeHostPort), "empty: an interceptor said no";
    // ASP.NET Core's WebSocketMiddleware knows AllowedOrigins only, and lets an absent Origin pass.
    "asp.net-core" [403] NoBody, headers = &[("server", Is("kestrel"))], passes_absent = true
        => Refused(AllowList), "empty, from Kestrel";
    // A dev server refuses hosts outside `server.allowedHosts`, and a missing token, in shouldHandle.
    "vite" [400] Body("bad request"), headers = BY_WS, offers = "vite-hmr"
        => Says::Cause(Forbidden, Likely), "Bad Request: host not in allowedHosts, or no token";
    "ws" [400] Body("bad request"), headers = BY_WS
        => Says::Cause(RouteNotFound, Likely), "Bad Request: ws answers so to a path that it does not serve";
    "ws" [401] Body("unauthorized"), headers = BY_WS
        => Refused(Unknown), "Unauthorized: verifyClient said no";
    "ws" [403] Body("forbidden"), headers = BY_WS
        => Refused(Unknown), "Forbidden: verifyClient said no";
    // Names only.
    "ws" [] Any, headers = BY_WS => Refused(Unknown), "";
    "tomcat" [] Have("<title>http status ") => Refused(Unknown), "";
    "websocket-node" [] Any, headers = &[("x-websocket-reject-reason", Has(""))] => Refused(Unknown), "";
};

/// Tokens in `Server` or `X-Powered-By`, lower case, and the names that events use.
pub(in crate::diagnose) const PRODUCTS: &[(&str, &str)] = &[
    ("tornadoserver", "tornado"),
    ("aiohttp/", "aiohttp"),
    ("websockets/", "websockets"),
    ("autobahnpython", "autobahn"),
    ("awselb", "aws-alb"),
    ("hypercorn-", "hypercorn"),
    ("microsoft-iis", "iis"),
    ("istio-envoy", "envoy"),
];
