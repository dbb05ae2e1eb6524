use crate::lint::{model::Product, tests::said};

/// What is said of a proxy with these lines.
fn proxy(lines: &str) -> Vec<String> {
    let text = format!("app.example.com {{\nreverse_proxy /ws/* 127.0.0.1:1 {{\n{lines}\n}}\n}}\n");
    said(Product::Caddy, "Caddyfile", &text)
}

#[test]
fn edits_are_followed() {
    for (lines, want) in [
        ("", vec![]),
        ("header_up -Upgrade", vec!["fail upgrade-not-passed@3"]),
        ("header_up Connection close", vec!["fail connection-not-passed@3"]),
        ("header_up Host {upstream_hostport}", vec!["fail host-rewritten@3"]),
        ("header_up Host {host}", vec!["warning host-port@3"]),
        ("header_up Host {http.request.hostport}", vec![]),
        ("header_up -Origin", vec!["fail origin-removed@3"]),
        ("header_up -O*", vec!["fail origin-removed@3"]),
        ("header_up Origin https://app https://b", vec!["fail origin-rewritten@3"]),
        ("header_up Origin {header.Origin}", vec![]),
        ("header_up -X-Forwarded-Proto", vec!["fail forwarded-proto-missing@3"]),
        ("header_up X-Forwarded-Proto {header.X-Forwarded-Proto}", vec![]),
        ("header_up Host {env.NAME}", vec!["inconclusive not-followed@3"]),
        ("trusted_proxies static 0.0.0.0/0", vec!["exposed forwarded-proto-forged@3"]),
        ("transport http {\nversions h2c\n}", vec!["fail http-2-backend@4"]),
        ("transport http {\nread_timeout 10s\n}", vec!["fail idle-timeout@4"]),
        ("transport fastcgi", vec!["inconclusive not-followed@3"]),
    ] {
        assert_eq!(proxy(lines), want, "{lines}");
    }
}

#[test]
fn what_is_set_around_a_proxy_holds_within() {
    let text = "http://a.example {\nrequest_header -Origin\nhandle_path /x/* {\nreverse_proxy /ws 127.0.0.1:1\n}\n}\n";
    assert_eq!(said(Product::Caddy, "Caddyfile", text), ["fail origin-removed@2"]);
    let text =
        "http://a.example {\nrequest_header /other/* -Origin\nreverse_proxy /ws 127.0.0.1:1\n}\n";
    assert_eq!(said(Product::Caddy, "Caddyfile", text), Vec::<String>::new());
}
