use crate::lint::{model::Product, tests::said};

/// What is said of a front with these lines, before a backend with those.
fn front(lines: &str, back: &str) -> Vec<String> {
    let text = format!(
        "frontend web\n mode http\n{lines}\n default_backend ws\nbackend ws\n mode http\n timeout tunnel 1h\n{back}\n server a 127.0.0.1:1\n"
    );
    said(Product::Haproxy, "haproxy.cfg", &text)
}

#[test]
fn rules_are_followed_in_both_sections() {
    for (lines, back, want) in [
        (" bind :80", "", vec![]),
        (" bind :443 ssl crt a", "", vec!["fail forwarded-proto-missing@4"]),
        (" bind :80", " http-request del-header Upgrade", vec!["fail upgrade-not-passed@8"]),
        (
            " bind :80",
            " http-request set-header Connection close",
            vec!["fail connection-not-passed@8"],
        ),
        (" bind :80", " http-request set-header Upgrade %[req.hdr(upgrade)]", vec![]),
        (" bind :80", " http-request set-header Host a.internal", vec!["fail host-rewritten@8"]),
        (" bind :8080", " http-request replace-header Host (.*):.* \\1", vec!["fail host-port@8"]),
        (
            " bind :80",
            " http-request set-header Origin http://%[req.hdr(host)]",
            vec!["fail origin-rewritten@8"],
        ),
        (" bind :80", " http-request set-header Origin x if { path_beg /other/ }", vec![]),
        (
            " bind :80",
            " http-request set-header Origin x if { var(txn.a) -m found }",
            vec!["inconclusive not-followed@8"],
        ),
        (" bind :80", " http-request lua.edit", vec!["inconclusive not-followed@8"]),
        (" bind :80", " server b 127.0.0.1:2 proto h2", vec!["warning http-2-backend@8"]),
        (" bind :80", " server b 127.0.0.1:2 ssl alpn h2 ws h1", vec![]),
        (" bind :80", " timeout tunnel 5s", vec!["fail idle-timeout@8"]),
    ] {
        assert_eq!(front(lines, back), want, "{lines}{back}");
    }
}

#[test]
fn conditions_about_tls_and_addresses_are_understood() {
    let of = |rules: &str| front(&format!(" bind :443 ssl crt a\n bind :80\n{rules}"), "");
    let both = " http-request set-header X-Forwarded-Proto https if { ssl_fc }\n \
                http-request set-header X-Forwarded-Proto http if !{ ssl_fc }";
    assert_eq!(of(both), Vec::<String>::new());
    let trusting = " acl said req.hdr(X-Forwarded-Proto) -m found\n \
                    http-request set-header X-Forwarded-Proto https unless said";
    assert_eq!(of(trusting), ["exposed forwarded-proto-forged@7"]);
    let inline = " http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]";
    assert_eq!(of(inline), Vec::<String>::new());
}

#[test]
fn tcp_mode_touches_no_header() {
    let text = "listen ws\n mode tcp\n bind :80\n http-request del-header Upgrade\n server a 127.0.0.1:1\n";
    assert_eq!(said(Product::Haproxy, "haproxy.cfg", text), Vec::<String>::new());
}

#[test]
fn a_backend_that_no_front_uses_is_nobodys() {
    let text = "frontend web\n mode http\n bind :80\n default_backend ws\nbackend ws\n mode http\n timeout tunnel 1h\n \
                server a 127.0.0.1:1\nbackend old\n mode http\n timeout tunnel 2s\n server a 127.0.0.1:1\n";
    assert_eq!(said(Product::Haproxy, "haproxy.cfg", text), Vec::<String>::new());
}
