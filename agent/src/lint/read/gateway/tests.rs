use crate::lint::{model::Product, tests::said};

/// What is said of a rule with these lines.
fn rule(lines: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec:\n  rules:\n    - matches:\n        \
         - path: {{ value: /ws }}\n{lines}"
    );
    said(Product::GatewayApi, "route.yaml", &text)
}

#[test]
fn filters_and_ports_are_followed() {
    for (lines, want) in [
        ("", vec![]),
        (
            "      filters:\n        - type: URLRewrite\n          urlRewrite: { hostname: a }\n",
            vec!["fail host-rewritten@9"],
        ),
        (
            "      filters:\n        - requestHeaderModifier:\n            set: [{ name: Origin, value: x }]\n",
            vec!["fail origin-rewritten@9"],
        ),
        (
            "      filters:\n        - requestHeaderModifier:\n            remove: [Upgrade]\n",
            vec!["fail upgrade-not-passed@9"],
        ),
        ("      filters:\n        - type: ExtensionRef\n", vec!["inconclusive not-followed@8"]),
        ("      timeouts: { request: 5s }\n", vec!["fail idle-timeout@7"]),
        ("      timeouts: { request: 0s }\n", vec![]),
        (
            "      backendRefs: [{ name: a, port: 80 }]\n---\nkind: Service\nmetadata: { name: a }\nspec:\n  ports:\n    \
             - { port: 80, appProtocol: kubernetes.io/h2c }\n",
            vec!["fail http-2-backend@13"],
        ),
    ] {
        assert_eq!(rule(lines), want, "{lines}");
    }
}
