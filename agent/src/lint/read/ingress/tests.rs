use crate::lint::{model::Product, tests::said};

/// What is said of an Ingress with this annotation.
fn annotated(line: &str) -> Vec<String> {
    let text = format!(
        "kind: Ingress\nmetadata:\n  annotations:\n    nginx.ingress.kubernetes.io/{line}\n    \
         nginx.ingress.kubernetes.io/proxy-send-timeout: \"3600\"\nspec:\n  rules:\n    - http:\n        paths:\n          \
         - path: /ws\n            pathType: Prefix\n"
    );
    said(Product::IngressNginx, "ingress.yaml", &text)
}

#[test]
fn annotations_are_followed() {
    for (line, want) in [
        ("rewrite-target: /", vec![]),
        ("connection-proxy-header: keep-alive", vec!["fail connection-not-passed@4"]),
        ("proxy-http-version: \"1.0\"", vec!["fail http-1.0-backend@4"]),
        ("upstream-vhost: a.svc", vec!["fail host-rewritten@4"]),
        ("backend-protocol: GRPC", vec!["fail upgrade-not-passed@4"]),
        ("configuration-snippet: proxy_set_header Origin \"\";", vec!["fail origin-removed@4"]),
        (
            "configuration-snippet: |\n      # x\n      proxy_set_header Origin \"\";",
            vec!["fail origin-removed@6"],
        ),
        (
            "configuration-snippet: more_clear_input_headers Origin;",
            vec!["inconclusive not-followed@4"],
        ),
        ("proxy-read-timeout: \"5\"", vec!["fail idle-timeout@4"]),
    ] {
        assert_eq!(annotated(line), want, "{line}");
    }
}
