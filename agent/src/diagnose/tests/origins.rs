//! Origin, Host and the forwarded scheme, each with the comparison that the answering server makes.

use super::{CERTAIN, LIKELY, POSSIBLE, SOUND, head, judge, request, response, said};
use crate::{
    diagnose::{Scheme, normalised_origin, scheme},
    http::ResponseHead,
};

fn tornado() -> ResponseHead {
    response(403, &[("Server", "TornadoServer/6.4")], "Cross origin websockets not allowed")
}

fn gorilla() -> ResponseHead {
    response(403, &[("Sec-Websocket-Version", "13")], "Forbidden\n")
}

fn coder() -> ResponseHead {
    response(403, &[], "request Origin \"x\" is not authorized for Host \"y\"\n")
}

fn actioncable() -> ResponseHead {
    response(404, &[("Content-Type", "text/plain")], "Page not found")
}

fn engineio() -> ResponseHead {
    response(400, &[], "\"https://x is not an accepted origin.\"")
}

fn websockets() -> ResponseHead {
    let body = "Failed to open a WebSocket connection: invalid Origin header: x.\n";
    response(403, &[("Server", "Python/3.11 websockets/15.0")], body)
}

fn cause(changes: &[(&str, &str)], answer: ResponseHead) -> &'static str {
    said(&judge(request(changes), answer)).0
}

#[test]
fn a_rewritten_host_is_told_from_a_foreign_page() {
    for answer in [tornado, gorilla, coder, actioncable] {
        for host in
            ["127.0.0.1:8080", "app", "10.0.3.7:80", "web.prod.svc.cluster.local", "[::1]:1"]
        {
            assert_eq!(cause(&[("Host", host)], answer()), "host-rewritten", "{host}");
        }
        // The proxy says what the client asked for, and it is not the page.
        let evil = [
            ("Origin", "https://evil.test.example"),
            ("Host", "127.0.0.1:8080"),
            ("X-Forwarded-Host", "app.example.test"),
        ];
        assert_eq!(cause(&evil, answer()), "origin-not-allowed");
        assert_eq!(cause(&evil[..1], answer()), "origin-not-allowed");
        // Another public name is a rewritten Host only when something says so.
        let renamed = [("Host", "backend.example.org"), ("X-Forwarded-Host", "app.example.test")];
        assert_eq!(cause(&renamed[..1], answer()), "origin-not-allowed");
        assert_eq!(cause(&renamed, answer()), "host-rewritten");
        let browser = [("Host", "backend.example.org"), ("Sec-Fetch-Site", "same-origin")];
        assert_eq!(cause(&browser, answer()), "host-rewritten");
        let elsewhere = [("Host", "app"), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(cause(&elsewhere, answer()), "origin-not-allowed");
    }
}

#[test]
fn a_list_never_blames_host_or_scheme() {
    for changes in [
        &[("Host", "127.0.0.1:8080")][..],
        &[("Host", "app"), ("X-Forwarded-Host", "app.example.test")],
        &[("Host", "app.example.test:8080")],
        &[("X-Forwarded-Proto", "http")],
        &[],
    ] {
        assert_eq!(cause(changes, websockets()), "origin-not-allowed", "{changes:?}");
    }
}

#[test]
fn only_servers_that_compare_schemes_blame_the_forwarded_one() {
    for (changes, scheme_cause) in [
        (&[][..], "forwarded-proto-missing"),
        (&[("X-Forwarded-Proto", "http")], "forwarded-proto-wrong"),
        (&[("X-Forwarded-Proto", "wss")], "forwarded-proto-wrong"),
        (&[("X-Forwarded-Proto", "http, https")], "forwarded-proto-wrong"),
        (&[("X-Forwarded-Proto", "https, http")], "origin-not-allowed"),
        (&[("X-Forwarded-Proto", "https")], "origin-not-allowed"),
        (&[("X-Forwarded-Ssl", "on")], "origin-not-allowed"),
        (&[("Forwarded", "for=1.2.3.4;proto=\"https\"")], "origin-not-allowed"),
    ] {
        // To whatever it refuses it says that there is no such page.
        let not_found =
            if scheme_cause == "origin-not-allowed" { "route-not-found" } else { scheme_cause };
        assert_eq!(cause(changes, actioncable()), not_found, "{changes:?}");
        assert_eq!(cause(changes, engineio()), scheme_cause, "{changes:?}");
        let spring = response(403, &[], "Invalid CORS request");
        assert_eq!(cause(changes, spring), scheme_cause, "{changes:?}");
        for answer in [tornado, gorilla, coder, websockets] {
            assert_eq!(cause(changes, answer()), "origin-not-allowed", "{changes:?}");
        }
        // Nothing is known of this server: it is not blamed on what it may never look at.
        let unknown = response(403, &[], "");
        assert_eq!(cause(changes, unknown), "forbidden", "{changes:?}");
    }
    // engine.io also takes X-Forwarded-Host for the host.
    let behind = [
        ("Host", "127.0.0.1:5000"),
        ("X-Forwarded-Host", "app.example.test"),
        ("X-Forwarded-Proto", "http"),
    ];
    assert_eq!(cause(&behind, engineio()), "forwarded-proto-wrong");
    assert_eq!(cause(&behind, actioncable()), "host-rewritten");
}

#[test]
fn ports_are_compared_as_the_server_compares_them() {
    for answer in [tornado, gorilla, coder] {
        for (origin, host) in [
            ("http://app.example.test:8080", "app.example.test"),
            ("https://app.example.test:443", "app.example.test"),
            ("https://app.example.test", "app.example.test:443"),
        ] {
            let changes = [("Origin", origin), ("Host", host)];
            assert_eq!(cause(&changes, answer()), "port-mismatch", "{origin} {host}");
            assert_eq!(cause(&changes, websockets()), "origin-not-allowed", "{origin} {host}");
        }
        // A page of another port of this host is another page, unless a proxy is there.
        let elsewhere =
            [("Origin", "http://app.example.test:3000"), ("Host", "app.example.test:8080")];
        assert_eq!(cause(&elsewhere, answer()), "origin-not-allowed");
        let through = [elsewhere[0], elsewhere[1], ("X-Forwarded-For", "192.0.2.1")];
        assert_eq!(cause(&through, answer()), "port-mismatch");
        let upper = [("Origin", "HTTPS://App.Example.Test"), ("Host", "APP.EXAMPLE.TEST")];
        assert_eq!(cause(&upper, answer()), "origin-not-allowed");
    }
}

#[test]
fn values_that_are_no_page() {
    for answer in [tornado, gorilla, coder, actioncable, engineio, websockets] {
        assert_eq!(cause(&[("Origin", "null")], answer()), "origin-null");
        assert_eq!(cause(&[("Origin", "file://")], answer()), "origin-null");
        for malformed in ["wss://app.example.test", "app.example.test", "https://app.example.test/"]
        {
            assert_eq!(cause(&[("Origin", malformed)], answer()), "origin-malformed");
        }
        let native = judge(request(&[("Origin", "")]), answer());
        assert_eq!(said(&native), ("origin-absent", LIKELY));
        let browser = [
            ("Origin", ""),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("Accept-Language", "en"),
        ];
        assert_eq!(cause(&browser, answer()), "origin-stripped");
        // A script that calls itself a browser is none.
        assert_eq!(cause(&browser[..2], answer()), "origin-absent");
    }
    let mut twice = SOUND.to_vec();
    twice.push(("Origin", "https://other.test.example"));
    assert_eq!(said(&judge(head(&twice), websockets())).0, "origin-malformed");
    twice.push(("X-Forwarded-For", "1.2.3.4"));
    assert_eq!(said(&judge(head(&twice), websockets())).0, "origin-rewritten");
}

#[test]
fn certain_only_where_the_server_leaves_no_other_cause() {
    let evil = [("Origin", "https://evil.test.example")];
    assert_eq!(judge(request(&evil), websockets()).confidence, CERTAIN);
    assert_eq!(judge(request(&[("Origin", "null")]), tornado()).confidence, CERTAIN);
    // It may be the page's own origin, changed on its way.
    assert_eq!(judge(request(&[]), websockets()).confidence, LIKELY);
    // It may be Host that is wrong.
    assert_eq!(judge(request(&evil), tornado()).confidence, LIKELY);
}

#[test]
fn an_inner_origin_behind_a_public_host_was_rewritten() {
    let changes = [
        ("Origin", "http://127.0.0.1:8080"),
        ("Host", "127.0.0.1:8080"),
        ("X-Forwarded-Host", "app.example.test"),
    ];
    assert_eq!(cause(&changes, websockets()), "origin-rewritten");
}

#[test]
fn an_answer_that_names_the_other_scheme_is_a_comparison_of_schemes() {
    let body = "Invalid origin: expected http://app.example.test";
    assert_eq!(cause(&[], response(403, &[], body)), "forwarded-proto-missing");
    assert_eq!(
        cause(&[("X-Forwarded-Proto", "http")], response(403, &[], body)),
        "forwarded-proto-wrong"
    );
    let body = "invalid Origin: https://app.example.test; expected wss://app.example.test";
    assert_eq!(
        cause(&[("X-Forwarded-Proto", "wss")], response(403, &[], body)),
        "forwarded-proto-wrong"
    );
    // The origin that it expected is made of the Host that it got.
    let inner = [("Host", "127.0.0.1:3000"), ("X-Forwarded-Proto", "https")];
    let body = "bad origin, expected https://127.0.0.1:3000";
    let verdict = judge(request(&inner), response(403, &[], body));
    assert_eq!(said(&verdict), ("host-rewritten", LIKELY));
    let verdict = judge(request(&inner), response(403, &[], "bad origin"));
    assert_eq!(said(&verdict), ("host-rewritten", POSSIBLE));
    // It may take a list as one value.
    let body = "expected https, http://app.example.test";
    let list = [("X-Forwarded-Proto", "https, http")];
    assert_eq!(
        cause(&list, response(403, &[], &format!("bad origin: {body}"))),
        "forwarded-proto-wrong"
    );
    // Naming what it got is no comparison of schemes.
    let body = "invalid Origin: https://app.example.test";
    assert_eq!(cause(&[], response(403, &[], body)), "origin-not-allowed");
}

#[test]
fn the_client_scheme_as_far_as_the_headers_tell() {
    for (changes, want) in [
        (&[("X-Forwarded-Proto", "https")][..], Scheme::Wss),
        (&[("X-Forwarded-Proto", "wss, ws")], Scheme::Wss),
        (&[("X-Forwarded-Proto", "http")], Scheme::Ws),
        (&[("Forwarded", "proto=https")], Scheme::Wss),
        (&[], Scheme::Wss),
        (&[("Origin", "http://app.example.test")], Scheme::Unknown),
        (&[("Origin", "https://localhost:3000")], Scheme::Unknown),
        (&[("Origin", "")], Scheme::Unknown),
    ] {
        assert_eq!(scheme(&request(changes)), want, "{changes:?}");
    }
}

#[test]
fn origins_have_one_spelling() {
    for (given, want) in [
        ("HTTPS://App.Example:443", Some("https://app.example")),
        ("http://[::1]:80", Some("http://[::1]")),
        ("chrome-extension://abc", Some("chrome-extension://abc")),
        ("null", Some("null")),
        ("https://a/", None),
        ("https://a:x", None),
        ("https://", None),
        ("https://user@a", None),
        ("nonsense", None),
    ] {
        assert_eq!(normalised_origin(given).as_deref(), want, "{given}");
    }
}
