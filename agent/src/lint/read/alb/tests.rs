use crate::lint::{model::Product, tests::said};

#[test]
fn attributes_are_followed() {
    for (key, value, want) in [
        ("idle_timeout.timeout_seconds", "4000", vec![]),
        ("idle_timeout.timeout_seconds", "10", vec!["fail idle-timeout@1"]),
        ("routing.http.preserve_host_header.enabled", "true", vec![]),
        ("routing.http.preserve_host_header.enabled", "false", vec!["warning host-port@1"]),
        (
            "routing.http.xff_header_processing.mode",
            "preserve",
            vec!["exposed forwarded-proto-forged@1"],
        ),
        ("stickiness.enabled", "false", vec!["warning not-sticky@1"]),
    ] {
        let text = format!("{{\"Attributes\": [{{\"Key\": \"{key}\", \"Value\": \"{value}\"}}]}}");
        assert_eq!(said(Product::Alb, "alb.json", &text), want, "{key}");
    }
}
