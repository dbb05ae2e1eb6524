//! Answers other than 101 to a sound request.

use super::{CERTAIN, LIKELY, POSSIBLE, judge, request, response, said};
use crate::{
    diagnose::Confidence,
    http::{RequestHead, ResponseHead},
};

const BY_WS: &[(&str, &str)] = &[("Connection", "close"), ("Content-Type", "text/html")];
const DATE: (&str, &str) = ("Date", "Sun, 22 Nov 2026 08:10:14 GMT");

type Row<'a> =
    (u16, &'a [(&'a str, &'a str)], &'a str, (&'a str, Option<Confidence>), Option<&'a str>);

fn check(head: &dyn Fn() -> RequestHead, rows: &[Row<'_>]) {
    for (status, fields, body, want, server) in rows {
        let verdict = judge(head(), response(*status, fields, body));
        assert_eq!(said(&verdict), *want, "{status} {fields:?} {body:?}");
        assert_eq!(verdict.server.as_deref(), *server, "{status} {fields:?} {body:?}");
        assert!(!verdict.summary.is_empty());
        let quoted = verdict.evidence.iter().any(|evidence| evidence.value.contains("hunter2"));
        assert!(!quoted, "the body never shows");
    }
}

#[test]
fn a_head_that_was_cut_off_has_no_known_answer() {
    let cut = |status, fields: &[(&str, &str)]| {
        judge(request(&[]), ResponseHead { truncated: true, ..response(status, fields, "") })
    };
    // Ratchet's has no body.
    let ratchet = [("X-Powered-By", "Ratchet/0.4")];
    let whole = judge(request(&[]), response(403, &ratchet, ""));
    assert_eq!(said(&whole), ("origin-not-allowed", LIKELY));
    assert_eq!(said(&cut(403, &ratchet)), ("forbidden", POSSIBLE));
    assert_eq!(said(&cut(502, &[])), ("upstream-unavailable", LIKELY));
    let redirected = cut(302, &[]);
    assert_eq!(said(&redirected), ("redirected", CERTAIN));
    assert_eq!(redirected.evidence[1].value, "(not seen)");
}

#[test]
fn the_page_is_the_servers_own() {
    check(
        &|| request(&[]),
        &[
            (401, &[("WWW-Authenticate", "Bearer")], "hunter2", ("auth-required", CERTAIN), None),
            (401, BY_WS, "Unauthorized", ("auth-required", POSSIBLE), Some("ws")),
            (401, &[DATE], "no", ("auth-required", LIKELY), None),
            (403, &[DATE], "", ("forbidden", POSSIBLE), None),
            (403, &[DATE], "{\"detail\":\"Not authenticated\"}", ("auth-required", LIKELY), None),
            (
                403,
                &[("Server", "cloudflare")],
                "denied",
                ("forbidden", POSSIBLE),
                Some("cloudflare"),
            ),
            (404, &[DATE], "nothing here", ("route-not-found", LIKELY), None),
            (400, BY_WS, "Bad Request", ("route-not-found", LIKELY), Some("ws")),
            (
                200,
                &[("X-Powered-By", "Express")],
                "ok",
                ("upgrade-ignored", LIKELY),
                Some("express"),
            ),
            (302, &[("Location", "/login?next=hunter2")], "", ("redirected", CERTAIN), None),
            (
                308,
                &[("Location", "https://app.example.test/ws")],
                "",
                ("redirected", CERTAIN),
                None,
            ),
            (429, &[], "", ("rate-limited", CERTAIN), None),
            (431, &[], "", ("header-too-large", CERTAIN), None),
            (500, &[DATE], "Internal Server Error", ("server-error", LIKELY), None),
            (502, &[], "Bad Gateway", ("upstream-unavailable", LIKELY), None),
            (504, &[], "Gateway Timeout", ("upstream-unavailable", LIKELY), None),
            (503, &[], "Service Unavailable", ("server-error", LIKELY), None),
            (
                503,
                &[("Server", "Python/3.13 websockets/15.0")],
                "Server is shutting down.\n",
                ("server-error", LIKELY),
                Some("websockets"),
            ),
            (
                503,
                &[("Server", "nginx/1.27.0")],
                "back soon",
                ("upstream-unavailable", LIKELY),
                Some("nginx"),
            ),
            (418, &[], "", ("unknown", POSSIBLE), None),
            (400, &[], "what?", ("unknown", POSSIBLE), None),
            (426, &[], "", ("unknown", POSSIBLE), None),
            (403, &[], "Invalid host: blocked host: app", ("forbidden", LIKELY), Some("rails")),
            (500, &[], "Error: Not allowed by CORS", ("cors-middleware", CERTAIN), None),
            (
                404,
                &[DATE],
                "No Connection with that ID",
                ("session-unknown", CERTAIN),
                Some("signalr"),
            ),
            (400, BY_WS, "Session ID unknown", ("session-unknown", CERTAIN), Some("engine.io")),
            (
                400,
                &[],
                "Unsupported upgrade request.",
                ("upgrade-ignored", CERTAIN),
                Some("uvicorn"),
            ),
        ],
    );
}

#[test]
fn proxies_that_answer_by_themselves() {
    let nginx = "<html><head><title>502</title></head><center>nginx/1.22.1</center>";
    let haproxy = "No server is available to handle this request.";
    let envoy = "upstream connect error or disconnect/reset before headers. reset reason: x";
    check(
        &|| request(&[]),
        &[
            (502, &[DATE], nginx, ("upstream-unavailable", LIKELY), Some("nginx")),
            (503, &[DATE], nginx, ("upstream-unavailable", LIKELY), Some("nginx")),
            (401, &[DATE], nginx, ("auth-required", CERTAIN), Some("nginx")),
            (403, &[DATE], nginx, ("forbidden", POSSIBLE), Some("nginx")),
            (404, &[DATE], nginx, ("route-not-found", LIKELY), Some("nginx")),
            (503, &[], haproxy, ("upstream-unavailable", LIKELY), Some("haproxy")),
            (503, &[DATE], envoy, ("upstream-unavailable", LIKELY), Some("envoy")),
            (403, &[DATE, ("Server", "envoy")], "", ("forbidden", LIKELY), Some("envoy")),
            (
                502,
                &[DATE, ("Server", "Caddy")],
                "",
                ("upstream-unavailable", LIKELY),
                Some("caddy"),
            ),
        ],
    );
    // What an upstream said through Envoy is not Envoy's.
    let passed = [DATE, ("Server", "envoy"), ("X-Envoy-Upstream-Service-Time", "1")];
    let verdict = judge(request(&[]), response(403, &passed, ""));
    assert_eq!(said(&verdict), ("forbidden", POSSIBLE));
}

#[test]
fn the_page_is_foreign() {
    let uvicorn =
        &[DATE, ("Content-Length", "0"), ("Content-Type", "text/plain"), ("Connection", "close")];
    check(
        &|| request(&[("Origin", "https://evil.test.example")]),
        &[
            (403, &[DATE], "", ("origin-not-allowed", LIKELY), None),
            (403, &[DATE], "origin not allowed", ("origin-not-allowed", LIKELY), None),
            (401, BY_WS, "Unauthorized", ("origin-not-allowed", LIKELY), Some("ws")),
            (403, uvicorn, "", ("origin-not-allowed", LIKELY), Some("uvicorn")),
            // These say what it was, and it was not the origin.
            (401, &[("WWW-Authenticate", "Basic")], "", ("auth-required", CERTAIN), None),
            (404, &[DATE], "original page not found", ("route-not-found", LIKELY), None),
            (400, &[DATE], "transform-origin: top", ("unknown", POSSIBLE), None),
            (500, &[DATE], "", ("server-error", LIKELY), None),
        ],
    );
}

#[test]
fn there_is_no_origin() {
    check(
        &|| request(&[("Origin", "")]),
        &[
            (403, &[DATE], "", ("origin-absent", POSSIBLE), None),
            (401, BY_WS, "Unauthorized", ("auth-required", POSSIBLE), Some("ws")),
            (404, &[DATE], "", ("route-not-found", LIKELY), None),
        ],
    );
}

#[test]
fn an_absent_origin_is_not_what_a_server_refused_that_lets_it_pass() {
    let tomcat = || {
        let mut answer = response(403, &[DATE, ("Content-Length", "0")], "");
        answer.reason = "".into();
        answer
    };
    let phoenix = [DATE, ("Cache-Control", "max-age=0, private, must-revalidate")];
    let kestrel = [DATE, ("Server", "Kestrel"), ("Content-Length", "0")];
    let browser = [("Origin", ""), ("Sec-Fetch-Mode", "websocket")];
    for client in [&browser[..1], &browser] {
        for (answer, server) in [
            (tomcat(), "tomcat"),
            (response(403, &phoenix, ""), "phoenix"),
            (response(403, &kestrel, ""), "asp.net-core"),
        ] {
            let verdict = judge(request(client), answer);
            assert_eq!(said(&verdict), ("forbidden", POSSIBLE), "{server}");
            assert_eq!(verdict.server.as_deref(), Some(server));
        }
        let mut head = request(client);
        head.path = "/socket.io/".into();
        let verdict = judge(head, response(403, &[("Content-Length", "0")], ""));
        assert_eq!(said(&verdict), ("forbidden", POSSIBLE));
        assert_eq!(verdict.server.as_deref(), Some("python-engineio"));
    }
    // Channels' validators refuse it.
    let mut daphne = response(403, &[], "");
    daphne.reason = "Access denied".into();
    assert_eq!(said(&judge(request(&browser), daphne.clone())), ("origin-stripped", LIKELY));
    assert_eq!(said(&judge(request(&browser[..1]), daphne)), ("origin-absent", LIKELY));
}

#[test]
fn springs_interceptor_compares_schemes() {
    let refused = || {
        let mut answer = response(403, &[DATE, ("Content-Length", "0")], "");
        answer.reason = "".into();
        answer
    };
    let verdict = judge(request(&[]), refused());
    assert_eq!(said(&verdict), ("forwarded-proto-missing", LIKELY));
    assert_eq!(verdict.server.as_deref(), Some("tomcat"));
    let told = judge(request(&[("X-Forwarded-Proto", "https")]), refused());
    // Or the server does not believe the proxy.
    assert_eq!(said(&told), ("untrusted-proxy", POSSIBLE));
}

#[test]
fn a_refused_host_is_rewritten_only_when_another_one_is_known() {
    let refused = || response(400, &[DATE], "Invalid host header");
    let inner = judge(request(&[("Host", "app:8000")]), refused());
    assert_eq!(said(&inner), ("host-rewritten", LIKELY));
    assert_eq!(said(&judge(request(&[]), refused())), ("forbidden", LIKELY));
}

#[test]
fn an_untrusted_proxy_is_refused_as_a_bad_request() {
    let bad = || response(400, &[("Server", "Python/3.11 aiohttp/3.9")], "400: Bad Request");
    let through = judge(request(&[("X-Forwarded-For", "192.0.2.1")]), bad());
    assert_eq!(said(&through), ("untrusted-proxy", POSSIBLE));
    assert_eq!(said(&judge(request(&[]), bad())).0, "unknown");
}

#[test]
fn a_session_of_another_replica_behind_asgi() {
    let mut head = request(&[("X-Forwarded-Proto", "https")]);
    head.path = "/socket.io/".into();
    head.names_session = true;
    let verdict = judge(head, response(403, &[("Content-Length", "0")], ""));
    assert_eq!(said(&verdict), ("session-unknown", POSSIBLE));
}

#[test]
fn a_subprotocol_that_the_server_wants() {
    let body = "Failed to open a WebSocket connection: missing subprotocol.\n";
    for head in [request(&[]), request(&[("Sec-WebSocket-Protocol", "chat.v1")])] {
        let verdict = judge(head, response(400, &[], body));
        assert_eq!(said(&verdict), ("subprotocol-required", CERTAIN));
    }
}
