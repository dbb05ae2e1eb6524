//! What the first moments after a 101 show.

use std::time::Duration;

use super::{
    Finding,
    Grounds::{Fits, Means, Said},
    Hypothesis,
};
use crate::{
    diagnose::{
        Cause,
        Confidence::{self, Certain, Likely, Possible},
        Evidence,
        case::Case,
        features::Features,
    },
    handshake::{CloseBy, EarlyClose, EarlyEnd},
};

pub(super) const FRAMES: Hypothesis =
    Hypothesis { cause: Cause::InvalidFrames, usual: 60, support: frames, ..Hypothesis::PLAIN };

pub(super) const HTTP_VERSION: Hypothesis = Hypothesis {
    cause: Cause::HttpVersion,
    usual: 60,
    support: left_after_http10,
    ..Hypothesis::PLAIN
};

pub(super) const REJECTED: Hypothesis = Hypothesis {
    cause: Cause::RejectedAfterAccept,
    usual: 58,
    support: rejected,
    ..Hypothesis::PLAIN
};

pub(super) const DROPPED: Hypothesis = Hypothesis {
    cause: Cause::DroppedAfterAccept,
    usual: 50,
    support: dropped,
    part_of: &[Cause::HttpVersion],
    ..Hypothesis::PLAIN
};

fn frames(case: &Case<'_>) -> Option<Finding> {
    let what = case.opening()?.violation?.what();
    Some(Finding::new(Said, Certain, what).with([Evidence::new("after the 101", what)]))
}

/// An end so soon after the 101 is no application's: nothing was said, and nothing can have been waited for.
const AT_ONCE: Duration = Duration::from_millis(150);

/// And an end within this time is one where others at this path live longer.
const SOON: Duration = Duration::from_secs(1);

/// The first end of the connection, when it came from the server's side and no frame had passed.
fn dropped_by_server(case: &Case<'_>) -> Option<EarlyEnd> {
    let opening = case.opening()?;
    let silent = opening.close.is_none()
        && opening.messages_from_server == 0
        && opening.messages_from_client == 0;
    opening.end.filter(|end| end.initiator != case.client() && silent)
}

fn milliseconds(after: Duration) -> String {
    format!("{} ms", after.as_millis())
}

/// Some servers say 101 to HTTP/1.0 and then drop the connection, because they count it as one that is
/// not kept alive.
fn left_after_http10(case: &Case<'_>) -> Option<Finding> {
    let after = milliseconds(dropped_by_server(case)?.after);
    case.features.any(Features::HTTP10).then(|| {
        Finding::new(
            Means,
            Likely,
            "the server said 101 to HTTP/1.0 and closed at once without a close frame",
        )
        .with([Evidence::new("version", "HTTP/1.0"), Evidence::new("closed after", &after)])
    })
}

/// A 101 that leads nowhere: the server's side ends the connection, no frame came of it, and the client said no goodbye.
/// Some applications live so short: later than at once it counts only where others at this path live longer.
fn dropped(case: &Case<'_>) -> Option<Finding> {
    let end = dropped_by_server(case)?;
    let alive = case.context.population.accepts_here && end.after <= SOON;
    if end.after > AT_ONCE && !alive {
        return None;
    }
    let after = milliseconds(end.after);
    let how = if end.by == CloseBy::Rst { "RST" } else { "FIN" };
    let summary =
        format!("accepted, and dropped by the server ({how}) {after} later without a frame");
    Some(Finding::new(Fits, Likely, summary).with([
        Evidence::new("closed by", &format!("server, {how}")),
        Evidence::new("closed after", &after),
        case.header("Sec-WebSocket-Protocol"),
    ]))
}

/// The server accepted and took it back within moments.
fn rejected(case: &Case<'_>) -> Option<Finding> {
    let opening = case.opening()?;
    let close = opening.close?;
    if close.sender? == case.client() {
        return None;
    }
    let sure = verdict_of_close(&close)?;
    let summary = format!(
        "accepted, and closed by the server {} ms later with code {}",
        close.after.as_millis(),
        close.code
    );
    let reset = opening.end.is_some_and(|end| end.by == CloseBy::Rst);
    Some(
        Finding::new(Said, sure, summary)
            .with([
                Evidence::new("close code", &close.code.to_string()),
                Evidence::new("closed after", &format!("{} ms", close.after.as_millis())),
            ])
            .with(reset.then(|| Evidence::new("closed by", "RST"))),
    )
}

/// How surely a close code in the first moments is a refusal (RFC 6455 section 7.4, IANA's registry):
/// 1008 is a policy's; 3000, 3003 and 3008 are HTTP's 401, 403 and 408; 4000 and up are the application's
/// own; 1011 and 1013 are the server's failure. A close without a code is one only when the client had
/// said nothing: then the server's message, if there was one, was not an answer.
fn verdict_of_close(close: &EarlyClose) -> Option<Confidence> {
    match close.code {
        1008 | 3000 | 3003 | 3008 => Some(Certain),
        1011 | 1013 | 3001..=4999 => Some(Likely),
        1005 if close.messages_from_client == 0 => Some(Possible),
        _ => None,
    }
}
