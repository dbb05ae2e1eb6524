//! What the agent says: the events of the public interface (`--json`, the tail socket, the tail).
//!
//! Fields may be added, never renamed.

mod audit;
mod build;
mod id;
mod names;
mod notices;
mod origin;
#[cfg(test)]
pub(crate) mod sample;
mod workload;

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

pub use self::{
    audit::AuditMark,
    build::{UNSEEN, origin, timestamp},
    id::Ids,
    notices::{
        AcceptedEvent, AcceptedRow, GaveUpEvent, HistoryEvent, MissedEvent, StormEvent,
        SuppressedEvent,
    },
    origin::normalised_origin,
    workload::{UNKNOWN, Workload},
};
use crate::diagnose::{Cause, Confidence};
pub use crate::{
    diagnose::{Alternative, Change, Evidence, Outcome, Policy, ProxyChange, Scheme},
    http::MAX_VALUE,
};

/// One line of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "handshakes are by far the most common event")]
pub enum Event {
    /// An opening handshake and its verdict.
    Handshake(HandshakeEvent),
    /// The end of an accepted connection.
    Closure(ClosureEvent),
    /// A reader was too slow: so many events were dropped before the next one.
    Missed(MissedEvent),
    /// Events beyond `--events-rate` were not written.
    Suppressed(SuppressedEvent),
    /// What came before this line is the agent's memory, what follows happens now.
    History(HistoryEvent),
    /// Accepted handshakes, summed up.
    Accepted(AcceptedEvent),
    /// Many clients lost their connections together, and came back together.
    Storm(StormEvent),
    /// A client failed again and again, and did not come back.
    GaveUp(GaveUpEvent),
}

impl Event {
    /// Whether it tells of trouble: a handshake that is known to have failed, an abnormal end, a reconnect storm, a
    /// client that gave up.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Handshake(event) => event.has_failed(),
            Self::Closure(event) => event.is_abnormal(),
            Self::Storm(_) | Self::GaveUp(_) => true,
            _ => false,
        }
    }

    /// When it happened, as RFC 3339; `None` for what has no time of its own.
    pub fn time(&self) -> Option<&str> {
        Some(match self {
            Self::Handshake(event) => &event.time,
            Self::Closure(event) => &event.time,
            Self::Suppressed(event) => &event.time,
            Self::Accepted(event) => &event.time,
            Self::Storm(event) => &event.time,
            Self::GaveUp(event) => &event.time,
            Self::Missed(_) | Self::History(_) => return None,
        })
    }
}

impl HandshakeEvent {
    /// Whether it is known to have failed.
    pub const fn has_failed(&self) -> bool {
        !matches!(self.outcome, Outcome::Accepted | Outcome::Unobserved)
    }
}

impl ClosureEvent {
    /// Whether it ended otherwise than by a normal close: as the recorded rate `ws_abnormal_closure_rate` counts.
    pub const fn is_abnormal(&self) -> bool {
        !matches!(self.code, 1000 | 1001 | 1005)
    }
}

/// An opening handshake and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandshakeEvent {
    /// The event's own id: 16 hexadecimal digits, the same wherever the event is shown; absent in a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// RFC 3339, microseconds, UTC: when the request's first byte was seen.
    pub time: String,
    /// `server` or `client`.
    pub role: RoleName,
    /// What became of it.
    pub outcome: Outcome,
    /// The status code of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; `None` when it did not.
    pub cause: Option<Cause>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// The values that decided it.
    pub evidence: Vec<Evidence>,
    /// Other causes that fit as well or nearly so, the likeliest first; at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// What the server said when it refused, at most 160 characters, with what looks like a credential masked; not with
    /// `--answer-text=false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_text: Option<String>,
    /// One sentence: what was found, in the words of the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Cow<'static, str>>,
    /// What would show that the cause is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disproof: Option<Cow<'static, str>>,
    /// The fix in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Cow<'static, str>>,
    /// The `Origin` as received (several values joined by `, `).
    pub origin: Option<String>,
    /// The `Host` as received.
    pub host: Option<String>,
    /// The path, without the query.
    pub path: String,
    /// `X-Forwarded-Proto` as received.
    pub forwarded_proto: Option<String>,
    /// `X-Forwarded-Host` as received.
    pub forwarded_host: Option<String>,
    /// The fingerprint of the server that answered, when it is known.
    pub server: Option<String>,
    /// What the client used, as far as the headers tell.
    pub scheme: Scheme,
    /// The configured origin policy's word on this origin.
    pub policy: Policy,
    /// From the request's first byte to the answer's first byte, or to the end without one.
    pub duration_us: u64,
    /// The trace that the request belongs to, by its `traceparent` (W3C Trace Context): 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The span that sent the request, by the same: 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// The how manieth try of this client in a row it is, from 2 on: the handshake or the connection before failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How long after that failure, or after that abnormal end, it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// This host's end, `ip:port` or `unix:PATH`.
    pub local: String,
    /// The other end, as [`Self::local`]; a unix socket's client has no name: `unix:`.
    pub peer: String,
    /// What a proxy on this host changed between its two legs, when both were seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_changes: Vec<ProxyChange>,
    /// The process that made them: the one that took the leg into the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Process>,
    /// The container of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_container: Option<Container>,
    /// The container at the other end, when it is on this host and has an address of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_container: Option<Container>,
    /// The process that owns the local socket.
    pub process: Option<Process>,
    /// The container of that process.
    pub container: Option<Container>,
    /// The systemd service of that process, outside of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What arrived, of a handshake that `wstap audit` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Box<AuditMark>>,
}

/// Which side of the connection this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// The request came in.
    Server,
    /// The request went out.
    Client,
}

/// A process of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id in the agent's pid namespace.
    pub pid: u32,
    /// Its name (`comm`).
    pub name: String,
    /// RFC 3339, UTC: when it started, to a tick of the kernel (10 ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
}

/// A container of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The runtime's id for it.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pod it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The pod's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Who owns the pod, as far as its labels tell: a Deployment, StatefulSet, DaemonSet, Job or CronJob by name, else
    /// the pod itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The pod's labels that were asked for (`--pod-labels`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The end of an accepted connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosureEvent {
    /// The event's own id, as of a handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// RFC 3339, microseconds, UTC: when the end was seen.
    pub time: String,
    /// `server` or `client`.
    pub role: RoleName,
    /// The origin of the handshake; `unseen` when the connection is older than the agent.
    pub origin: Option<String>,
    /// The path of the handshake.
    pub path: Option<String>,
    /// 1000 to 4999 from the close frame, 1005 when it has none, 1006 when there was no close frame.
    pub code: u16,
    /// Whether both sides sent a close frame (RFC 6455 section 7.1.4).
    pub clean: bool,
    /// Who sent the first close frame; without one, who sent the first FIN or RST.
    pub initiator: Initiator,
    /// What ended it.
    pub by: ClosedBy,
    /// Why, for abnormal ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How sure the reason is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// The rule of RFC 6455 section 5 that was broken, of a `protocol-error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_rule: Option<String>,
    /// From the 101 to the end; a lower bound when `older_than_agent`.
    pub connection_seconds: f64,
    /// The connection is older than the agent: duration and counts begin when its frames were recognised.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older_than_agent: bool,
    /// From the last data or control frame to the end, to a tick of the kernel (1 to 10 ms).
    pub idle_seconds: f64,
    /// Whole data messages that came in.
    pub messages_in: u32,
    /// Whole data messages that went out.
    pub messages_out: u32,
    /// Whether a ping was seen in either direction.
    pub ping_seen: bool,
    /// Whether the frame walk kept its place in both directions to the end.
    pub synchronised: bool,
    /// This host's end, `ip:port` or `unix:PATH`.
    pub local: String,
    /// The other end, as [`Self::local`]; a unix socket's client has no name: `unix:`.
    pub peer: String,
    /// The process that owns the local socket.
    pub process: Option<Process>,
    /// The container of that process.
    pub container: Option<Container>,
    /// The systemd service of that process, outside of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The mark of a handshake that `wstap audit` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initiator {
    /// This host.
    Local,
    /// The other end.
    Peer,
    /// It cannot be told.
    Unknown,
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBy {
    /// A close frame came before the connection's end.
    CloseFrame,
    /// FIN without a close frame.
    Fin,
    /// RST without a close frame.
    Rst,
    /// Neither was seen.
    Timeout,
}
