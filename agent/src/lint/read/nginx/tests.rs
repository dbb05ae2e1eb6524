use super::parse_version;
use crate::lint::{
    lint,
    model::Product,
    read::{NoDisk, Options, directive::Source},
    tests::said,
};

const MAP: &str = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n";
const GOOD: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                    proxy_set_header Connection $connection_upgrade; proxy_set_header Host $http_host;";

/// What is said of one location's directives, on a server that listens on `listen`.
fn location(listen: &str, directives: &str) -> Vec<String> {
    let text = format!(
        "{MAP}server {{ listen {listen};\nlocation /ws/ {{\nproxy_pass http://app;\n{directives}\n}}\n}}\n"
    );
    said(Product::Nginx, "nginx.conf", &text)
}

#[test]
fn a_location_is_judged_by_what_it_sends() {
    for (directives, want) in [
        (GOOD.to_owned(), vec![]),
        (GOOD.replace("Upgrade $http_upgrade", "X a"), vec!["fail upgrade-not-passed@3"]),
        (GOOD.replace("Upgrade $http_upgrade", "Upgrade ''"), vec!["fail upgrade-not-passed@5"]),
        (GOOD.replace("$http_upgrade", "upgrade"), vec!["fail upgrade-mangled@5"]),
        (GOOD.replace("$connection_upgrade", "close"), vec!["fail connection-not-passed@5"]),
        (GOOD.replace("1.1", "1.0"), vec!["fail http-1.0-backend@5"]),
        (GOOD.replace("1.1", "2"), vec!["fail http-2-backend@5"]),
        (GOOD.replace("proxy_http_version 1.1;", ""), vec!["fail http-1.0-backend@3"]),
        (GOOD.replace("$http_host", "$proxy_host"), vec!["fail host-rewritten@5"]),
        (GOOD.replace("Host $http_host", "Host $host"), vec!["warning host-port@5"]),
        (format!("{GOOD} proxy_set_header Origin http://app;"), vec!["fail origin-rewritten@5"]),
        (format!("{GOOD} proxy_set_header Origin $http_origin;"), vec![]),
        (
            format!("{GOOD} proxy_set_header Origin https://$http_host;"),
            vec!["fail origin-rewritten@5"],
        ),
        (format!("{GOOD} proxy_read_timeout 5s;"), vec!["fail idle-timeout@5"]),
        (format!("{GOOD} proxy_pass_request_headers off;"), vec!["fail origin-removed@5"]),
        (format!("{GOOD} js_content a.b;"), vec!["inconclusive not-followed@5"]),
        (format!("{GOOD} include other.conf;"), vec!["inconclusive not-followed@5"]),
        (GOOD.replace("$http_host", "$mine"), vec!["inconclusive not-followed@5"]),
    ] {
        assert_eq!(location("80", &directives), want, "{directives}");
    }
}

#[test]
fn the_scheme_is_judged_by_where_tls_ends() {
    let with = |value: &str| format!("{GOOD} proxy_set_header X-Forwarded-Proto {value};");
    for (listen, directives, want) in [
        ("443 ssl", GOOD.to_owned(), vec!["fail forwarded-proto-missing@3"]),
        ("443 ssl", with("$scheme"), vec![]),
        ("443 ssl", with("http"), vec!["fail forwarded-proto-wrong@5"]),
        ("443 ssl", with("$http_x_forwarded_proto"), vec!["fail forwarded-proto-missing@5"]),
        ("80", with("$http_x_forwarded_proto"), vec![]),
        ("80", with("$scheme"), vec![]),
        ("80 proxy_protocol", with("$scheme"), vec!["fail forwarded-proto-wrong@5"]),
    ] {
        assert_eq!(location(listen, &directives), want, "{listen} {directives}");
    }
}

#[test]
fn a_port_that_is_not_the_default_makes_a_lost_one_a_fault() {
    let directives = GOOD.replace("Host $http_host", "Host $host");
    assert_eq!(location("8080", &directives), ["fail host-port@5"]);
    let directives = GOOD.replace("Host $http_host", "Host $host:$server_port");
    assert_eq!(location("8080", &directives), Vec::<String>::new());
}

#[test]
fn what_holds_of_an_if_and_of_a_named_location_is_followed() {
    let text = format!(
        "{MAP}server {{\nlocation / {{\nif ($http_upgrade = 'websocket') {{ proxy_pass http://ws; }}\n\
         proxy_pass http://app;\n}}\n}}\n"
    );
    let said_of = said(Product::Nginx, "nginx.conf", &text);
    assert!(said_of.contains(&"fail upgrade-not-passed@3".to_owned()), "{said_of:?}");
    let text = format!(
        "{MAP}server {{\nlocation /ws {{ try_files /none @app; }}\nlocation @app {{\nproxy_pass http://app;\n}}\n}}\n"
    );
    let said_of = said(Product::Nginx, "nginx.conf", &text);
    assert!(said_of.contains(&"fail upgrade-not-passed@4".to_owned()), "{said_of:?}");
}

#[test]
fn the_version_decides_what_nginx_speaks_by_itself() {
    let text = format!(
        "{MAP}server {{\nlocation /ws/ {{\nproxy_pass http://app;\n{}\n}}\n}}\n",
        GOOD.replace("proxy_http_version 1.1;", "")
    );
    let of = |text: &str, version| {
        let options = Options { nginx_version: version, ..Options::default() };
        let linted =
            lint(Product::Nginx, &[Source::new("nginx.conf", text)], &NoDisk, &options, &[])
                .unwrap();
        linted.findings.iter().any(|finding| finding.check == "http-1.0-backend")
    };
    assert!(of(&text, None) && of(&text, Some([1, 28, 3])));
    assert!(!of(&text, Some([1, 29, 7])));
    assert!(!of(&format!("# nginx version: nginx/1.30.1\n{text}"), None));
    assert_eq!(parse_version("1.29.7"), Some([1, 29, 7]));
    assert_eq!(parse_version("1.29"), Some([1, 29, 0]));
    assert_eq!(parse_version("1.x"), None);
}

#[test]
fn a_redirect_is_told_unless_it_is_the_one_to_https() {
    let of = |text: &str| said(Product::Nginx, "nginx.conf", text);
    let moved = "server {\nlisten 443 ssl;\nlocation /ws {\nreturn 301 https://b.example;\n}\n}\n";
    assert_eq!(of(moved), ["fail redirected@4"]);
    let text =
        "server {\nlisten 80;\nlocation /ws {\nreturn 301 https://$host$request_uri;\n}\n}\n";
    assert_eq!(of(text), Vec::<String>::new());
}
