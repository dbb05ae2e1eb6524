//! Events about many handshakes at once, and about the stream of events itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClosedBy, Initiator, Process, RoleName};
use crate::diagnose::Cause;

/// Events that a slow reader did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedEvent {
    /// How many, since the last line that the reader got.
    pub missed: u64,
}

/// Events that `--events-rate` kept from standard output, summed up once a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedEvent {
    /// RFC 3339, UTC: when this was written.
    pub time: String,
    /// How many were not written since the last such line.
    pub suppressed: u64,
    /// The same by cause; `closed` is the ends of connections, `none` what has no cause.
    pub causes: BTreeMap<String, u64>,
}

/// Where the agent's memory begins: told to a reader behind what is remembered, before what happens now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// RFC 3339, UTC: the oldest event that is remembered; `None` when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How many events are remembered.
    pub events: u64,
    /// How many older ones were forgotten at `--history-bytes`.
    pub forgotten: u64,
}

/// Accepted handshakes of about a minute, by where they went: what failures are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedEvent {
    /// RFC 3339, UTC: the end of the time that is summed up.
    pub time: String,
    /// How long that was.
    pub seconds: u64,
    /// The counts; what came when there were too many rows is in the row without origin and path.
    pub rows: Vec<AcceptedRow>,
}

/// One row of an [`AcceptedEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRow {
    /// `server` or `client`.
    pub role: RoleName,
    /// The `Origin` as received.
    pub origin: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
    /// How many.
    pub count: u64,
}

/// Many clients of one origin lost their connections together, and came back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StormEvent {
    /// The event's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// RFC 3339, microseconds, UTC: when the first of the connections ended.
    pub time: String,
    /// `server` or `client`.
    pub role: RoleName,
    /// The origin of the handshakes.
    pub origin: Option<String>,
    /// How many connections ended.
    pub ended: u64,
    /// The close code of most of them.
    pub code: u16,
    /// Who ended most of them.
    pub initiator: Initiator,
    /// What ended most of them.
    pub by: ClosedBy,
    /// Why most of them ended, when that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many handshakes followed.
    pub reconnects: u64,
    /// How many of these failed.
    pub failed: u64,
    /// From the first end to the last of these handshakes.
    pub seconds: f64,
}

/// A client that failed again and again, in growing distances, and did not come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaveUpEvent {
    /// The event's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// RFC 3339, microseconds, UTC: when its last attempt began.
    pub time: String,
    /// `server` or `client`.
    pub role: RoleName,
    /// The origin of its handshakes.
    pub origin: Option<String>,
    /// Their path.
    pub path: String,
    /// How often it had failed.
    pub attempts: u32,
    /// From its first attempt to its last.
    pub seconds: f64,
    /// Why the last one failed.
    pub cause: Option<Cause>,
}

/// A process of this host, as an event names it, with when it started.
impl Process {
    /// One whose start is not known.
    pub const fn new(pid: u32, name: String) -> Self {
        Self { pid, name, started: None }
    }
}
