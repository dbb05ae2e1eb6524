use crate::lint::{model::Product, tests::said};

/// What is said of a host with these directives.
fn host(lines: &str) -> Vec<String> {
    said(Product::Apache, "apache.conf", &format!("<VirtualHost *:80>\n{lines}\n</VirtualHost>\n"))
}

const PASS: &str = "ProxyPass /ws/ http://127.0.0.1:1/ws/ upgrade=websocket";

#[test]
fn directives_are_followed() {
    let on = |line: &str| format!("ProxyPreserveHost On\n{line}\n{PASS}");
    for (lines, want) in [
        (on(""), vec![]),
        (on("RequestHeader unset Origin"), vec!["fail origin-removed@3"]),
        (on("RequestHeader set Origin http://a"), vec!["fail origin-rewritten@3"]),
        (on("RequestHeader edit Origin https http"), vec!["fail origin-rewritten@3"]),
        (on("RequestHeader set Connection close"), vec![]),
        (on("RequestHeader unset Upgrade"), vec!["fail upgrade-not-passed@3"]),
        (
            on("<If \"%{QUERY_STRING} == 'a'\">\nRequestHeader unset Origin\n</If>"),
            vec!["inconclusive not-followed@4"],
        ),
        (on("<Location /other/>\nRequestHeader unset Origin\n</Location>"), vec![]),
        (
            on("<Location /ws/>\nRequestHeader unset Origin\n</Location>"),
            vec!["fail origin-removed@4"],
        ),
        (on("SSLEngine On"), vec!["fail forwarded-proto-missing@4"]),
        (on("SSLEngine On\nRequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}"), vec![]),
        (
            on("SSLEngine On\nRequestHeader add X-Forwarded-Proto https"),
            vec!["exposed forwarded-proto-forged@4"],
        ),
        (on("SetEnv force-proxy-request-1.0 1"), vec!["fail http-1.0-backend@3"]),
        (on("ProxyTimeout 5"), vec!["fail idle-timeout@3"]),
        (PASS.to_owned(), vec!["fail host-rewritten@2"]),
        ("ProxyPreserveHost On\nProxyPass /ws/ ws://127.0.0.1:1/ws/".to_owned(), vec![]),
        (
            "ProxyPreserveHost On\nProxyPass /ws/ http://127.0.0.1:1/ws/".to_owned(),
            vec!["fail upgrade-not-passed@3"],
        ),
    ] {
        assert_eq!(host(&lines), want, "{lines}");
    }
}
