use crate::lint::{model::Product, tests::said};

/// What is said of a router with this headers middleware and this balancer.
fn router(headers: &str, balancer: &str) -> Vec<String> {
    let text = format!(
        "http:\n  routers:\n    a:\n      rule: PathPrefix(`/ws`)\n      middlewares: [m]\n      service: a\n  middlewares:\n    \
         m:\n      headers:\n        customRequestHeaders: {{ X-Forwarded-Proto: https, {headers} }}\n  services:\n    a:\n      \
         loadBalancer: {{ {balancer} }}\n"
    );
    said(Product::Traefik, "traefik.yaml", &text)
}

#[test]
fn middlewares_and_services_are_followed() {
    for (headers, balancer, want) in [
        ("", "", vec![]),
        ("Origin: \"\"", "", vec!["fail origin-removed@10"]),
        ("Origin: http://a", "", vec!["fail origin-rewritten@10"]),
        ("Connection: close", "", vec!["fail connection-not-passed@10"]),
        ("Host: a.internal", "", vec!["fail host-rewritten@10"]),
        ("", "passHostHeader: false", vec!["fail host-rewritten@13"]),
        ("", "passHostHeader: true", vec![]),
        ("", "servers: [{ url: \"h2c://127.0.0.1\" }]", vec!["fail http-2-backend@13"]),
    ] {
        assert_eq!(router(headers, balancer), want, "{headers} {balancer}");
    }
}

#[test]
fn without_a_middleware_the_scheme_is_that_of_websocket() {
    let text = "http:\n  routers:\n    a:\n      rule: PathPrefix(`/ws`)\n      service: a\n      tls: {}\n";
    assert_eq!(said(Product::Traefik, "traefik.yaml", text), ["warning forwarded-proto-wrong@3"]);
}
