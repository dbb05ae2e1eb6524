use crate::lint::{model::Product, tests::said};

/// What is said of a connection manager with these settings, a route with those, and a cluster.
fn manager(settings: &str, route: &str, cluster: &str) -> Vec<String> {
    let text = format!(
        "stat_prefix: a\nupgrade_configs: [{{ upgrade_type: websocket }}]\n{settings}\nroute_config:\n  virtual_hosts:\n    \
         - domains: [\"*\"]\n      routes:\n        - match: {{ prefix: /ws }}\n          route: {{ cluster: a, {route} }}\n---\n\
         clusters:\n  - name: a\n    connect_timeout: 1s\n    {cluster}\n"
    );
    said(Product::Envoy, "envoy.yaml", &text)
}

#[test]
fn managers_routes_and_clusters_are_followed() {
    for (settings, route, cluster, want) in [
        ("", "", "", vec![]),
        (
            "",
            "upgrade_configs: [{ upgrade_type: websocket, enabled: false }]",
            "",
            vec!["fail upgrade-refused@9"],
        ),
        ("", "auto_host_rewrite: true", "", vec!["fail host-rewritten@9"]),
        ("", "host_rewrite_literal: a.internal", "", vec!["fail host-rewritten@9"]),
        ("", "host_rewrite_header: x-host", "", vec!["inconclusive not-followed@9"]),
        ("", "idle_timeout: 10s", "", vec!["fail idle-timeout@9"]),
        ("strip_any_host_port: true", "", "", vec!["fail host-port@3"]),
        ("http_filters: [{ name: envoy.filters.http.buffer }]", "", "", vec!["fail buffered@3"]),
        ("", "", "http2_protocol_options: {}", vec!["fail http-2-backend@14"]),
        (
            "",
            "",
            "http2_protocol_options: { allow_connect: true }",
            vec!["warning http-2-backend@14"],
        ),
    ] {
        assert_eq!(manager(settings, route, cluster), want, "{settings} {route} {cluster}");
    }
}
