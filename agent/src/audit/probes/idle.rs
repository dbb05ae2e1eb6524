//! How long a quiet connection lives, and who ends it.

use std::time::Duration;

use super::{Facts, Made, Seen, finding, nothing, refusal, status};
use crate::{
    audit::client::handshake::{Dialogue, Talk},
    check::{Finding, Value, Verdict},
    diagnose::ending::Reason,
};

pub(super) fn judge(facts: &Facts<'_>, seen: &Seen, pinged: bool) -> Finding {
    let Made::Attempt(attempt) = &seen.made else { return nothing(seen) };
    let most = match seen.probe.dialogue {
        Dialogue::Idle { most, .. } => most,
        _ => Duration::ZERO,
    };
    let how = if pinged { "with pings" } else { "without a frame" };
    match &attempt.talk {
        Some(Talk::Lived) => {
            let summary = format!("a connection {how} lives for {}", seconds(most));
            finding(seen, Verdict::Pass, summary)
        }
        Some(Talk::Closed { code, after }) => {
            let by = match code {
                Some(code) => format!("a close frame with {code}"),
                None => "the end of the connection, without a close frame".to_owned(),
            };
            let summary = format!("a connection {how} ends after {} by {by}", seconds(*after));
            let value = Value::of("lived").sent(seconds(most)).answered(seconds(*after));
            facts.failure(seen, Reason::IdleTimeout, summary).with(value)
        }
        _ => {
            let (cause, summary) = refusal(attempt);
            facts.failure(seen, cause, summary).with(status(attempt))
        }
    }
}

/// Whole seconds, so that two audits of the same chain say the same.
fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
