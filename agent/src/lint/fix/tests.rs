use super::*;
use crate::lint::{
    lint,
    read::{NoDisk, Options, directive::Source},
};

/// The text with its fixes applied; the diff has every line of them.
fn fixed(product: Product, name: &str, text: &str) -> String {
    let linted =
        lint(product, &[Source::new(name, text)], &NoDisk, &Options::default(), &[]).unwrap();
    let (files, count) = edits(product, &linted, &|_| Some(text.to_owned()));
    assert!(count > 0, "nothing is mechanical: {:?}", linted.findings);
    let fixed = files[name].applied();
    let (diff, _) = diff(product, &linted, &|_| Some(text.to_owned()));
    assert!(diff.starts_with(&format!("--- a/{name}\n+++ b/{name}\n@@ ")), "{diff}");
    for line in fixed.lines().filter(|line| !text.contains(line)) {
        assert!(diff.contains(&format!("\n+{line}\n")), "{line}\n{diff}");
    }
    fixed
}

/// Lints the fixed text: nothing that fails is left.
fn heals(product: Product, name: &str, text: &str) -> String {
    let fixed = fixed(product, name, text);
    let left = crate::lint::tests::wrong(product, name, &fixed);
    assert!(left.is_empty(), "{left:?}\n{fixed}");
    fixed
}

#[test]
fn nginx_gets_the_lines_that_it_lacks() {
    let fixed = heals(
        Product::Nginx,
        "nginx.conf",
        "server {\n    listen 443 ssl;\n    proxy_set_header X-Real-IP $remote_addr;\n    location /ws/ {\n        proxy_pass http://app;\n    }\n}\n",
    );
    // What the location inherited is still sent.
    assert!(fixed.contains("        proxy_set_header X-Real-IP $remote_addr;\n"), "{fixed}");
    assert!(fixed.starts_with("map $http_upgrade $connection_upgrade {\n"), "{fixed}");
}

#[test]
fn nginx_gets_wrong_lines_changed_and_those_about_origin_removed() {
    let text = "server {\n    location /ws/ {\n        proxy_pass http://app;\n        proxy_http_version 1.0;\n        \
                proxy_set_header Upgrade $connection_upgrade;\n        proxy_set_header Connection \"\";\n        \
                proxy_set_header Host app;\n        proxy_set_header Origin \"\";\n    }\n}\nmap $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n";
    let fixed = heals(Product::Nginx, "nginx.conf", text);
    assert!(!fixed.contains("Origin") && fixed.contains("Host $http_host;"), "{fixed}");
}

#[test]
fn the_others_lose_the_lines_that_do_the_harm() {
    heals(
        Product::Haproxy,
        "haproxy.cfg",
        "frontend web\n    mode http\n    bind :80\n    http-request del-header Origin\n    default_backend app\nbackend app\n    mode http\n    timeout tunnel 1h\n    server a 127.0.0.1:1\n",
    );
    heals(
        Product::Apache,
        "apache.conf",
        "<VirtualHost *:80>\n    RequestHeader unset Origin\n    ProxyPass /ws/ http://127.0.0.1:1/ws/\n</VirtualHost>\n",
    );
    heals(
        Product::Caddy,
        "Caddyfile",
        "app.example {\n    reverse_proxy /ws/* 127.0.0.1:1 {\n        header_up -Upgrade\n        header_up Host {upstream_hostport}\n    }\n}\n",
    );
    heals(
        Product::IngressNginx,
        "ingress.yaml",
        "kind: Ingress\nmetadata:\n  annotations:\n    nginx.ingress.kubernetes.io/upstream-vhost: app.svc\n    nginx.ingress.kubernetes.io/proxy-read-timeout: \"3600\"\nspec:\n  rules:\n    - http:\n        paths:\n          - path: /ws\n            pathType: Prefix\n",
    );
    heals(
        Product::Traefik,
        "traefik.yaml",
        "http:\n  routers:\n    a:\n      rule: PathPrefix(`/ws`)\n      service: a\n  services:\n    a:\n      loadBalancer:\n        passHostHeader: false\n        servers:\n          - url: http://a\n",
    );
}

#[test]
fn what_is_no_line_of_its_own_is_left_alone() {
    let text = "server { location /ws/ { proxy_pass http://app; } }\n";
    let linted =
        lint(Product::Nginx, &[Source::new("n", text)], &NoDisk, &Options::default(), &[]).unwrap();
    let (diff, count) = diff(Product::Nginx, &linted, &|_| Some(text.to_owned()));
    assert_eq!((diff.as_str(), count), ("", 0));
}
