//! Timers that end silent tunnels.

use super::{Draft, Rule};
use crate::{check::Verdict, lint::model::Route};

/// Shorter than the usual time between pings (20 to 30 s): the tunnel ends in use.
const SHORTER_THAN_PINGS: f64 = 25.0;
/// The longest silence that is told: AWS NLB's and the firewalls' 350 s. Whoever sets more has thought of it.
const LONGEST_TOLD: f64 = 350.0;

pub(super) fn check(route: &Route, drafts: &mut Vec<Draft>) {
    let shortest = route
        .idle
        .iter()
        .filter_map(|idle| idle.seconds.map(|seconds| (idle, seconds)))
        .filter(|(_, seconds)| *seconds > 0.0)
        .min_by(|(_, one), (_, other)| one.total_cmp(other));
    let Some((idle, seconds)) = shortest.filter(|(_, seconds)| *seconds <= LONGEST_TOLD) else {
        return;
    };
    let by = idle.by.as_ref();
    let source = by.map_or_else(|| format!("{}, by default", idle.name), |by| by.text.clone());
    let what = format!("a tunnel that is silent for {seconds} s is ended: {source}");
    let mut draft = Draft::new(Rule::Idle, by, what);
    if seconds < SHORTER_THAN_PINGS {
        draft.verdict = Verdict::Fail;
    }
    drafts.push(draft);
}
