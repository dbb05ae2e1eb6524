//! Whether the upgrade itself reaches the backend (RFC 6455 section 4.1, RFC 9110 section 7.8).

use super::{Draft, Rule, because, known};
use crate::lint::model::{Route, Upstream};

pub(super) fn check(route: &Route, drafts: &mut Vec<Draft>) {
    let refused = |draft: &Draft| {
        matches!(draft.rule, Rule::UpgradeNotPassed | Rule::UpgradeRefused | Rule::Http2Backend)
    };
    if !drafts.iter().any(refused) && version(route, drafts) {
        headers(route, drafts);
        hard_wired(route, drafts);
    }
}

/// The protocol to the backend; whether headers matter in it.
fn version(route: &Route, drafts: &mut Vec<Draft>) -> bool {
    let (upstream, by) = &route.upstream;
    let by = by.as_ref();
    match upstream {
        Upstream::Http11 | Upstream::Unknown => true,
        Upstream::Http10 => {
            let what = match by {
                Some(by) => format!("{}: HTTP/1.0 has no upgrade", by.text),
                None => "the backend is spoken to in HTTP/1.0, nginx's default before 1.29.7 \
                         (--nginx-version says which one it is)"
                    .to_owned(),
            };
            drafts.push(Draft::new(Rule::Http10, by, what));
            true
        }
        Upstream::Http2 => {
            let what =
                "the backend is spoken to in HTTP/2, which has no Upgrade (RFC 9113 section 8.6)";
            drafts.push(Draft::new(Rule::Http2Backend, by, what));
            false
        }
        Upstream::ExtendedConnect => {
            let what = "the handshake goes to the backend as extended CONNECT over HTTP/2 (RFC 8441): it \
                        fails unless the backend offers that";
            drafts.push(Draft::new(Rule::Http2Backend, by, what).mild());
            false
        }
    }
}

fn headers(route: &Route, drafts: &mut Vec<Draft>) {
    let sent = &route.arrived.handshake;
    let (upgrade, by) = (sent.get("upgrade"), sent.by("upgrade"));
    let Some(upgrade) = known(&upgrade, "Upgrade", by, drafts) else { return };
    if upgrade.is_empty() {
        let what = format!("Upgrade does not reach the backend: {}", because(route, "upgrade", by));
        drafts.push(Draft::new(Rule::UpgradeNotPassed, by, what));
        return;
    }
    if !upgrade.eq_ignore_ascii_case("websocket") {
        let what =
            format!("the backend gets Upgrade: {upgrade}: {}", because(route, "upgrade", by));
        drafts.push(Draft::new(Rule::UpgradeMangled, by, what));
    }
    let (connection, by) = (sent.get("connection"), sent.by("connection"));
    let Some(connection) = known(&connection, "Connection", by, drafts) else { return };
    if !is_upgrade(connection) {
        let what = format!(
            "Connection reaches the backend {}: {}",
            if connection.is_empty() {
                "not at all".to_owned()
            } else {
                format!("as {connection}")
            },
            because(route, "connection", by)
        );
        drafts.push(Draft::new(Rule::ConnectionNotPassed, by, what));
    }
}

/// Where ordinary requests go too, they must not be told to be upgrades.
fn hard_wired(route: &Route, drafts: &mut Vec<Draft>) {
    if !route.is_catch_all() {
        return;
    }
    let sent = &route.arrived.plain;
    for (header, wrong) in [
        ("upgrade", sent.text("upgrade").is_some_and(|text| !text.is_empty())),
        ("connection", sent.text("connection").is_some_and(is_upgrade)),
    ] {
        if let (true, Some(by)) = (wrong, sent.by(header)) {
            let what =
                format!("ordinary requests get {} as well: some servers hang on them", by.text);
            drafts.push(Draft::new(Rule::UpgradeHardWired, Some(by), what));
            return;
        }
    }
}

/// Whether `upgrade` is among the tokens.
fn is_upgrade(connection: &str) -> bool {
    connection.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}
