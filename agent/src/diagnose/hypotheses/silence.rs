//! Handshakes without an answer, or with one that is no HTTP: who left, and when.

use std::time::Duration;

use super::{
    Finding,
    Grounds::{Fits, Left},
    Hypothesis,
};
use crate::{
    diagnose::{
        Cause,
        Confidence::{Likely, Possible},
        Evidence,
        case::Case,
    },
    handshake::{Answer, CloseBy},
};

pub(super) const MALFORMED: Hypothesis = Hypothesis {
    cause: Cause::AnswerMalformed,
    usual: 20,
    support: malformed,
    ..Hypothesis::PLAIN
};

pub(super) const GAVE_UP: Hypothesis =
    Hypothesis { cause: Cause::ClientGaveUp, usual: 48, support: gave_up, ..Hypothesis::PLAIN };

pub(super) const UNANSWERED: Hypothesis =
    Hypothesis { cause: Cause::Unanswered, usual: 20, support: unanswered, ..Hypothesis::PLAIN };

pub(super) const TIMED_OUT: Hypothesis =
    Hypothesis { cause: Cause::TimedOut, usual: 40, support: timed_out, ..Hypothesis::PLAIN };

/// engine.io drops an upgrade that nobody handles after `destroyUpgradeTimeout`, 1000 ms by default.
const DESTROY_UPGRADE: std::ops::Range<Duration> =
    Duration::from_millis(950)..Duration::from_millis(1300);

fn waited(case: &Case<'_>) -> String {
    format!("{} ms", case.exchange.duration.as_millis())
}

fn how(case: &Case<'_>) -> &'static str {
    match &case.exchange.answer {
        Answer::Closed { by: CloseBy::Fin, .. } => "FIN",
        Answer::Closed { by: CloseBy::Rst, .. } => "RST",
        _ => "the kernel's timeout",
    }
}

/// What an answer means that is no HTTP head, when its words do not tell.
fn malformed(case: &Case<'_>) -> Option<Finding> {
    let Answer::Malformed(bytes) = &case.exchange.answer else { return None };
    if bytes.starts_with(b"HTTP/") {
        return None;
    }
    let (sure, summary) = if bytes.starts_with(&[0x15, 3]) {
        (Likely, "the server answered with a TLS alert: it speaks TLS on this port")
    } else {
        (
            Possible,
            "the server's bytes are not the head of an HTTP answer: it may speak another protocol here",
        )
    };
    Some(
        Finding::new(Left, sure, summary)
            .with([Evidence::new("answer", "(not a response head)"), case.path()]),
    )
}

fn timed_out(case: &Case<'_>) -> Option<Finding> {
    let waited = waited(case);
    match case.exchange.answer {
        Answer::TimedOut => Some(
            Finding::new(Fits, Likely, format!("no answer within {waited}"))
                .with([Evidence::new("waited", &waited)]),
        ),
        _ if case.status() == Some(408) => Some(
            Finding::new(Fits, Likely, "the server did not get the request in time")
                .with([case.answer(), Evidence::new("waited", &waited)]),
        ),
        _ => None,
    }
}

fn gave_up(case: &Case<'_>) -> Option<Finding> {
    if !case.client_left() {
        return None;
    }
    let (waited, how) = (waited(case), how(case));
    Some(
        Finding::new(
            Fits,
            Likely,
            format!("the requesting end closed ({how}) after {waited}, before any answer"),
        )
        .with([
            Evidence::new("closed by", &format!("client, {how}")),
            Evidence::new("waited", &waited),
        ]),
    )
}

fn unanswered(case: &Case<'_>) -> Option<Finding> {
    if !case.server_closed() {
        return None;
    }
    let (waited, how) = (waited(case), how(case));
    let mut summary = format!("the server closed ({how}) after {waited} without a byte");
    if DESTROY_UPGRADE.contains(&case.exchange.duration) {
        summary.push_str(
            "; engine.io drops an upgrade that nobody handles after one second: look at the path",
        );
    }
    Some(Finding::new(Left, Likely, summary).with([
        Evidence::new("closed by", &format!("server, {how}")),
        Evidence::new("waited", &waited),
    ]))
}
