//! What a reader of the live tail may ask for.

use serde::{Deserialize, Serialize};

use crate::{event::Event, sink::filter::Filter};

/// What a reader may ask for: what the agent remembers, and then what happens. Between them stands a
/// [`HistoryEvent`](crate::event::HistoryEvent).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Which events, of both.
    pub filter: Filter,
    /// Nothing older than this (RFC 3339, UTC, microseconds); `None`: all that is remembered.
    pub since: Option<String>,
    /// The sums of accepted handshakes, too.
    #[serde(default)]
    pub accepted: bool,
}

/// What a reader may send.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Command {
    Ask(Ask),
    Filter(Filter),
}

impl Ask {
    /// Whether the reader wants this event.
    pub fn passes(&self, event: &Event) -> bool {
        // What has no time tells of the stream itself.
        let recent = || {
            let since = self.since.as_deref();
            since.is_none_or(|since| event.time().is_none_or(|time| time >= since))
        };
        (self.filter.passes(event) || self.accepted && matches!(event, Event::Accepted(_)))
            && recent()
    }
}
