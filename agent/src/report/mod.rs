//! An incident on one page: what failed, how often, since when, and what changed as it began.
//!
//! In: events of any time and of many agents, in any order. Out: a [`Report`], and it as text, Markdown or HTML.
//! Groups are what belongs together: the same cause, origin, path (ids masked), server, proxy and workload.
//! Bounds: [`GROUPS`], [`POINTS`], [`PLACES`]; what is beyond is counted in `beyond`.

mod collect;
mod html;
mod markdown;
mod slots;
mod text;

#[cfg(test)]
mod tests;

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{
    diagnose::{Confidence, Outcome},
    event::{Event, HistoryEvent, RoleName, StormEvent},
};

pub use collect::Collect;

/// At most so many groups; more are counted together.
pub const GROUPS: usize = 200;
/// At most so many events have a place in time; more are counted as beyond.
pub const POINTS: usize = 1_000_000;
/// At most so many origins and paths are compared with what was accepted there.
pub const PLACES: usize = 2_000;
/// The pieces that the time is cut into.
pub const SLOTS: usize = 60;
/// A process that started so long before the first failure may have begun it.
const RECENT: Duration = Duration::from_secs(120);

/// An incident.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// RFC 3339, UTC: the time of the first event, or what was asked for.
    pub from: String,
    /// The time of the last event.
    pub to: String,
    /// How long that is.
    pub seconds: f64,
    /// Handshakes with a known outcome.
    pub attempts: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// Abnormal ends of connections.
    pub abnormal: u64,
    /// Clients that gave up.
    pub gave_up: u64,
    /// Events that were not in what was read, as it says itself: beyond a rate, or too fast for a reader.
    pub left_out: u64,
    /// Events beyond the bounds of a report.
    pub beyond: u64,
    /// The time, cut into equal pieces.
    pub time_line: Vec<Slot>,
    /// What belongs together, the most frequent first.
    pub groups: Vec<Group>,
    /// Reconnect storms.
    pub storms: Vec<StormEvent>,
    /// What the agent remembers, when it was asked.
    pub memory: Option<HistoryEvent>,
}

/// A piece of the time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Slot {
    /// RFC 3339, UTC: when it begins.
    pub from: String,
    /// Handshakes that were accepted in it; sums of a minute are spread evenly.
    pub accepted: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// Abnormal ends.
    pub abnormal: u64,
}

/// Failures or ends that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What they have in common.
    #[serde(flatten)]
    pub key: Key,
    /// How sure the cause is, at best.
    pub confidence: Option<Confidence>,
    /// How many.
    pub count: u64,
    /// Handshakes with a known outcome from this origin on this path; `None` for ends, and when it is not known.
    pub attempts: Option<u64>,
    /// Failed ones over these, 0 to 1.
    pub share: Option<f64>,
    /// RFC 3339, UTC: the first one.
    pub first: String,
    /// The last one.
    pub last: String,
    /// How many in each piece of the time.
    pub time_line: Vec<u64>,
    /// What changed when it began, and when it ended.
    pub changes: Vec<Noted>,
    /// The first and the last one.
    pub samples: Vec<Event>,
    /// The fix, in the words of the last one.
    pub fix: Option<String>,
}

/// What the events of a group have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Key {
    /// The cause of a handshake's failure, why a connection ended, or its close code.
    pub cause: String,
    /// Whether these are ends of connections.
    pub is_end: bool,
    /// What became of the handshakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The status of the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Which side the host was.
    pub role: Option<RoleName>,
    /// The origin, in one spelling.
    pub origin: Option<String>,
    /// The path, ids masked.
    pub path: Option<String>,
    /// The server that answered: its process, its product.
    pub server: Option<String>,
    /// The process of the proxy in front, where both legs were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Namespace and workload, or the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
}

/// Something that changed near the begin or the end of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// RFC 3339, UTC.
    pub time: String,
    /// In words.
    pub what: String,
}

impl Report {
    /// As text for a terminal.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// As Markdown, for a ticket.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// As one HTML file that needs nothing else.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        // Strings, numbers and enums only: there is nothing in it that JSON has not.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The sentence at the top.
    fn summary(&self) -> String {
        let share = percent(self.failed, self.attempts);
        let mut text = format!(
            "{} of {} handshakes failed ({share}), {} connections ended abnormally",
            self.failed, self.attempts, self.abnormal
        );
        for (count, what) in
            [(self.gave_up, "clients gave up"), (self.storms.len() as u64, "reconnect storms")]
        {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text
    }

    /// What a reader must know to trust the numbers.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(memory) = &self.memory {
            let forgotten = match memory.forgotten {
                0 => String::new(),
                count => format!(", {count} older ones are forgotten"),
            };
            let since = memory.since.as_deref().unwrap_or("now");
            notes.push(format!(
                "From the agent's memory, which reaches back to {since} ({} events{forgotten}).",
                memory.events
            ));
        }
        if self.left_out > 0 {
            notes.push(format!(
                "{} events are missing in what was read, as it says itself.",
                self.left_out
            ));
        }
        if self.beyond > 0 {
            notes.push(format!(
                "{} events were too many for a report and are left out.",
                self.beyond
            ));
        }
        if self.groups.iter().any(|group| group.attempts.is_none() && !group.key.is_end) {
            notes.push("Where no share is given, no accepted handshake was told of.".to_owned());
        }
        notes
    }
}

impl Group {
    /// Its heading.
    fn title(&self) -> String {
        let confidence = self.confidence.map(|confidence| format!(" ({})", confidence.name()));
        format!("{}{}", self.key.cause, confidence.unwrap_or_default())
    }

    /// How often.
    fn often(&self) -> String {
        let what = if self.key.is_end { "ends" } else { "failures" };
        match self.attempts {
            Some(attempts) => {
                format!(
                    "{} {what}, {} of {attempts} attempts",
                    self.count,
                    percent(self.count, attempts)
                )
            }
            None => format!("{} {what}", self.count),
        }
    }

    /// What its events have in common, as names and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let Key { is_end, outcome, status, role, origin, path, server, proxy, workload, .. } =
            &self.key;
        let result = outcome.map(|outcome| match status {
            Some(status) => format!("{} {status}", outcome.name()),
            None => outcome.name().to_owned(),
        });
        let origin = origin.clone().or_else(|| (!is_end).then(|| "none".to_owned()));
        let all = [
            ("result", result),
            ("origin", origin),
            ("path", path.clone()),
            ("server", server.clone()),
            ("proxy", proxy.clone()),
            ("workload", workload.clone()),
            ("seen as", role.map(|role| role.name().to_owned())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What its samples say, as names and values.
    fn evidence(&self) -> Vec<(String, String)> {
        let Some(Event::Handshake(event)) = self.samples.last() else { return Vec::new() };
        let evidence = event.evidence.iter().map(|one| (one.name.to_string(), one.value.clone()));
        let why = event.summary.as_ref().map(|summary| ("why".to_owned(), summary.to_string()));
        why.into_iter().chain(evidence).collect()
    }

    /// The ids of its samples, to find them elsewhere.
    fn ids(&self) -> Vec<&str> {
        let ids = self.samples.iter().filter_map(|event| match event {
            Event::Handshake(event) => event.id.as_deref(),
            Event::Closure(event) => event.id.as_deref(),
            _ => None,
        });
        ids.collect()
    }
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => {
            let tenths = u128::from(part) * 1000 / u128::from(whole);
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

/// A time to the millisecond, for the eye.
fn brief(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) => format!("{seconds}.{}Z", rest.get(..3).unwrap_or("000")),
        None => time.to_owned(),
    }
}

/// How long something is, for the eye.
fn long(seconds: f64) -> String {
    match seconds {
        s if s >= 7200.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s => format!("{s:.1} s"),
    }
}
