//! `Upgrade` and `Connection` of the request: hop-by-hop fields, which a proxy drops (RFC 9110 section 7.6.1).

use super::{
    Finding, Hypothesis,
    extended_connect::birth,
    structure::{fit, ordinary_fit},
};
use crate::diagnose::{Cause, Confidence, Evidence, case::Case, features::Features, words::Topics};

pub(super) const STRIPPED: Hypothesis = Hypothesis {
    cause: Cause::UpgradeStripped,
    usual: 90,
    lies_in: Features::NO_UPGRADE,
    named_by: Topics::UPGRADE.with(Topics::CONNECTION),
    support: stripped,
    part_of: &[Cause::ExtendedConnectUntranslated],
    ..Hypothesis::PLAIN
};

pub(super) const MANGLED: Hypothesis = Hypothesis {
    cause: Cause::UpgradeMangled,
    usual: 85,
    lies_in: Features::OTHER_UPGRADE,
    named_by: Topics::UPGRADE,
    support: mangled,
    ..Hypothesis::PLAIN
};

pub(super) const CONNECTION: Hypothesis = Hypothesis {
    cause: Cause::ConnectionStripped,
    usual: 80,
    lies_in: Features::NO_CONNECTION,
    named_by: Topics::UPGRADE.with(Topics::CONNECTION),
    support: connection,
    part_of: &[Cause::UpgradeStripped, Cause::ExtendedConnectUntranslated],
    ..Hypothesis::PLAIN
};

/// The leg before the proxy has `token` in `field`: then the proxy took it.
fn taken(case: &Case<'_>, field: &str, token: &str) -> bool {
    case.context.before.is_some_and(|before| before.headers.has_token(field, token))
}

/// `Upgrade` is hop-by-hop and `Sec-WebSocket-*` is not: a proxy that goes by the book drops the one and passes the
/// other.
fn stripped(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::NO_UPGRADE) || birth(case).is_some() {
        return None;
    }
    let (grounds, mut sure) = ordinary_fit(case, STRIPPED.named_by);
    if case.features.any(Features::NO_KEY) {
        sure = sure.min(Confidence::Likely);
    }
    let summary = if taken(case, "upgrade", "websocket") {
        "a proxy on this host removed Upgrade"
    } else if case.context.before.is_some() {
        "the client itself sent no Upgrade"
    } else {
        "Sec-WebSocket-* is there but Upgrade is not: a hop dropped it"
    };
    let key = if case.features.any(Features::NO_KEY) {
        case.header("Sec-WebSocket-Version")
    } else {
        Evidence::new("Sec-WebSocket-Key", "(present)")
    };
    let before = taken(case, "upgrade", "websocket")
        .then(|| Evidence::new("Upgrade (before the proxy)", "websocket"));
    Some(
        Finding::new(grounds, sure, summary)
            .with([Evidence::absent("Upgrade"), key, case.header("Connection"), case.answer()])
            .with(before),
    )
}

fn mangled(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::OTHER_UPGRADE) {
        return None;
    }
    let (grounds, sure) = ordinary_fit(case, MANGLED.named_by);
    Some(Finding::new(grounds, sure, "Upgrade does not say websocket").with([
        case.header("Upgrade"),
        case.header("Connection"),
        case.answer(),
    ]))
}

/// Some servers look at `Upgrade` alone: a 404 is then what it says.
fn connection(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::NO_CONNECTION) {
        return None;
    }
    let (grounds, sure) = match case.status() {
        Some(403..=405) => fit(case, CONNECTION.named_by),
        _ => ordinary_fit(case, CONNECTION.named_by),
    };
    // What drops the one drops the other.
    let alone = !case.features.any(Features::NO_UPGRADE);
    let sure = if alone { sure } else { sure.min(Confidence::Likely) };
    let taken = taken(case, "connection", "upgrade");
    let summary = if taken {
        "a proxy on this host changed Connection"
    } else {
        "Upgrade arrived, but Connection does not say upgrade"
    };
    Some(
        Finding::new(grounds, sure, summary)
            .with([case.header("Upgrade"), case.header("Connection"), case.answer()])
            .with(taken.then(|| Evidence::new("Connection (before the proxy)", "upgrade"))),
    )
}
