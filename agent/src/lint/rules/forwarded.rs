//! X-Forwarded-Proto: right, once, and not the client's own word.

use super::{Draft, Rule, because, known};
use crate::lint::model::{FORGED, Route, Tls};

const HEADER: &str = "x-forwarded-proto";

pub(super) fn check(route: &Route, drafts: &mut Vec<Draft>) {
    let sent = &route.arrived.handshake;
    let (proto, by) = (sent.get(HEADER), sent.by(HEADER));
    let Some(proto) = known(&proto, "X-Forwarded-Proto", by, drafts) else { return };
    let ends = matches!(route.tls, Tls::Ends | Tls::Both);
    match proto {
        "" if ends => {
            let what = format!(
                "TLS ends here and X-Forwarded-Proto does not say so: {}",
                because(route, HEADER, by)
            );
            drafts.push(Draft::new(Rule::ForwardedMissing, by, what));
            return;
        }
        "" | "https" => {}
        "http" if !ends => overwritten(route, drafts),
        "wss" if by.is_none() => {
            let what = "it writes X-Forwarded-Proto: wss on upgrades: servers that compare schemes and know only \
                        https refuse";
            drafts.push(Draft::new(Rule::ForwardedWrong, by, what).mild());
        }
        "ws" if by.is_none() => {}
        _ => {
            let what = format!(
                "the backend gets X-Forwarded-Proto: {proto}: {}",
                because(route, HEADER, by)
            );
            drafts.push(Draft::new(Rule::ForwardedWrong, by, what));
            return;
        }
    }
    forged(route, ends, drafts);
}

/// The own scheme over the word of the hop in front, where TLS ended.
fn overwritten(route: &Route, drafts: &mut Vec<Draft>) {
    let behind = &route.arrived.behind;
    if let (Some(front), Some("http"), Some(by)) =
        (&route.front, behind.text(HEADER), behind.by(HEADER))
    {
        let what = format!(
            "{} says http though a hop in front ends TLS ({} at {}) and may have said https",
            by.text, front.text, front.place
        );
        drafts.push(Draft::new(Rule::ForwardedWrong, Some(by), what));
    }
}

/// The client's own word, where this proxy is the one that should know.
fn forged(route: &Route, ends: bool, drafts: &mut Vec<Draft>) {
    let sent = &route.arrived.forged;
    let (Some(proto), by) = (sent.text(HEADER), sent.by(HEADER)) else { return };
    let survives = proto.split(',').any(|part| part.trim() == FORGED);
    if !survives || !ends {
        return;
    }
    let what = format!(
        "a client's own X-Forwarded-Proto reaches the backend: {}",
        because(route, HEADER, by)
    );
    drafts.push(Draft::new(Rule::ForwardedForged, by, what));
}
