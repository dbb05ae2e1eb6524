//! Handshakes without an answer: who left, and when.

use std::time::Duration;

use crate::diagnose::{
    Cause, Evidence,
    case::{Case, Finding},
};
use crate::handshake::{Answer, CloseBy, End, Role};

/// engine.io drops an upgrade that nobody handles after `destroyUpgradeTimeout`, 1000 ms by default.
const DESTROY_UPGRADE: std::ops::Range<Duration> =
    Duration::from_millis(950)..Duration::from_millis(1300);

/// Whether the end that made the request closed first.
pub(in crate::diagnose) fn client_left(case: &Case<'_>) -> bool {
    let client = match case.exchange.connection.role {
        Role::Server => End::Peer,
        Role::Client => End::Local,
    };
    matches!(&case.exchange.answer, Answer::Closed { initiator, .. } if *initiator == client)
}

/// What an answer means that is no HTTP head, or that broke off within it.
pub(in crate::diagnose) fn garbled() -> Finding {
    Finding::likely(
        Cause::ServerError,
        "the server's bytes are not the head of an answer: it broke off, or it does not speak HTTP/1.1",
    )
    .with([Evidence::new("answer", "(not a response head)")])
}

/// What a missing answer means, when the request's structure does not explain it.
pub(in crate::diagnose) fn explain(case: &Case<'_>) -> Finding {
    let waited = format!("{} ms", case.exchange.duration.as_millis());
    let Answer::Closed { by, .. } = &case.exchange.answer else {
        return Finding::certain(Cause::TimedOut, format!("no answer within {waited}"))
            .with([Evidence::new("waited", &waited)]);
    };
    let how = match by {
        CloseBy::Fin => "FIN",
        CloseBy::Rst => "RST",
        CloseBy::Timeout => "the kernel's timeout",
    };
    let evidence = [Evidence::new("waited", &waited)];
    if client_left(case) {
        return Finding::likely(
            Cause::ClientGaveUp,
            format!("the requesting end closed ({how}) after {waited}, before any answer"),
        )
        .with([Evidence::new("closed by", &format!("client, {how}"))])
        .with(evidence);
    }
    let mut summary = format!("the server closed ({how}) after {waited} without a byte");
    if DESTROY_UPGRADE.contains(&case.exchange.duration) {
        summary.push_str(
            "; engine.io drops an upgrade that nobody handles after one second: look at the path",
        );
    }
    Finding::certain(Cause::Unanswered, summary)
        .with([Evidence::new("closed by", &format!("server, {how}"))])
        .with(evidence)
}
