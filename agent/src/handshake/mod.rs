//! An opening handshake and what became of it: request and answer paired.
//!
//! In: heads and ends of one connection. Out: one [`Exchange`] for each handshake.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::http::{RequestHead, ResponseHead};

mod candidates;
mod h2;
mod losses;
mod open;
mod pairing;
mod pending;
mod service;
mod tunnel;
mod unbound;
mod values;

#[cfg(test)]
mod tests;

pub use h2::{ExtendedConnect, H2Connections};
pub use pairing::{Counters, Limits, Pairing};
pub use service::{Holder, Service};
pub use wstap_common::frame::Violation;

/// What the pairing tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A 101 passed. Its [`Observation::Exchange`] follows when its first moments are over.
    Switched(Switched),
    /// A handshake and what came back.
    Exchange(Exchange),
    /// An accepted connection ended.
    Closure(Closure),
}

/// A handshake that was answered with 101.
#[derive(Clone, Debug, PartialEq)]
pub struct Switched {
    /// Where it happened.
    pub connection: Connection,
    /// When the request's first byte was seen, since the Unix epoch.
    pub time: Duration,
    /// The request as this end saw it.
    pub request: Arc<RequestHead>,
    /// From the request's first byte to the answer's first byte.
    pub duration: Duration,
}

/// The end of an accepted connection, as far as the frame walk and TCP show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Closure {
    /// Which connection.
    pub connection: Connection,
    /// The handshake that opened it; `None` when the agent did not see one.
    pub handshake: Option<Opened>,
    /// When it ended, since the Unix epoch.
    pub time: Duration,
    /// The code of the first close frame: 1005 when it has none, 1006 when there was no close frame.
    pub code: u16,
    /// Whether both sides sent a close frame (RFC 6455 section 7.1.4).
    pub clean: bool,
    /// Who sent the first close frame; without one, whose FIN or RST came first. `None`: it cannot be told.
    pub initiator: Option<End>,
    /// Whether a close frame came.
    pub by_close_frame: bool,
    /// How TCP ended: the first FIN or RST.
    pub by: CloseBy,
    /// From the 101 to the end; of an older connection, from when its frames were recognised.
    pub lasted: Duration,
    /// The connection is older than the agent: `lasted` and the counts are what was seen of it, lower bounds.
    pub older: bool,
    /// From the last byte in either direction to the end.
    pub idle: Duration,
    /// Whole data messages from the peer.
    pub messages_in: u32,
    /// Whole data messages from this host.
    pub messages_out: u32,
    /// Pings from the peer.
    pub pings_in: u16,
    /// Pings from this host.
    pub pings_out: u16,
    /// Pongs from the peer; one may answer several pings, or none (RFC 6455 section 5.5.3).
    pub pongs_in: u16,
    /// Pongs from this host.
    pub pongs_out: u16,
    /// Whether the frame walk kept its place in both directions to the end.
    pub synchronised: bool,
    /// The first rule of RFC 6455 section 5 that either side broke, and who.
    pub violation: Option<(Violation, End)>,
}

/// What a closure says of the handshake that opened the connection, cut to what an event shows: it is kept for as long
/// as the connection is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The `Origin` fields as received, joined by `, `; `None` when there was none.
    pub origin: Option<Box<str>>,
    /// The path without the query.
    pub path: Box<str>,
    /// The mark of a handshake that `wstap audit` made.
    pub audit: Option<Box<str>>,
}

/// Which side of the connection this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The request came in: this host answers.
    Server,
    /// The request went out, for example a proxy's leg to its backend.
    Client,
}

/// One end of a connection, seen from this host (in a replay: from the accepting end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// This host.
    Local,
    /// The other one.
    Peer,
}

/// How an end of the connection stopped sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseBy {
    /// An orderly TCP FIN.
    Fin,
    /// A TCP RST.
    Rst,
    /// Neither was seen: the kernel gave the connection up.
    Timeout,
}

/// The connection that a handshake was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Unique while the agent runs (the kernel's socket cookie; in a replay a counter).
    pub cookie: u64,
    /// Which side this host is.
    pub role: Role,
    /// This host's address.
    pub local: SocketAddr,
    /// The other end's address.
    pub peer: SocketAddr,
    /// The cgroup v2 id of the socket's owner; 0 when not known (a replay).
    pub cgroup: u64,
    /// What the probe family saw of its holder; `None` where packets were seen.
    pub holder: Option<Arc<Holder>>,
}

/// One opening handshake with its answer, or with the way in which none came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Where it happened.
    pub connection: Connection,
    /// When the request's first byte was seen, since the Unix epoch.
    pub time: Duration,
    /// The request as this end saw it; shared with the memory of legs.
    pub request: Arc<RequestHead>,
    /// What came back.
    pub answer: Answer,
    /// From the request's first byte to the answer's first byte, or to the end without one.
    pub duration: Duration,
    /// What followed a 101 in its first moments; `None` for every other answer.
    pub opening: Option<Opening>,
}

impl Exchange {
    /// How many bytes it takes, with its request.
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.request.held() + self.answer.held()
    }
}

impl Answer {
    /// How many bytes it takes.
    fn held(&self) -> usize {
        match self {
            Self::Response(head) => head.held(),
            Self::Malformed(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// What came back for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A final response (interim 1xx other than 101 are skipped).
    Response(ResponseHead),
    /// The connection ended without a byte of answer.
    Closed {
        /// How.
        by: CloseBy,
        /// By whom: the end whose FIN or RST came first.
        initiator: End,
    },
    /// No answer within the handshake timeout.
    TimedOut,
    /// The server sent bytes, and they are not the head of a response: another protocol's, or a head that broke off. The
    /// first of them, at most [`BODY_PREFIX`](crate::http::BODY_PREFIX).
    Malformed(Box<[u8]>),
    /// There was, or may have been, an answer, but the agent missed it.
    Unobserved,
}

/// The first moments after a 101, as far as the frame walk shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The first rule of RFC 6455 section 5 that the server's bytes broke.
    pub violation: Option<Violation>,
    /// The first close frame, when it came within the first moments.
    pub close: Option<EarlyClose>,
    /// The end of the connection, when it came within the first moments.
    pub end: Option<EarlyEnd>,
    /// Data messages that the server had sent by the last that was told.
    pub messages_from_server: u32,
    /// Data messages that the client had sent by then.
    pub messages_from_client: u32,
    /// Whether the first moments passed to their end and nothing of them was lost: what is not here did not
    /// happen.
    pub watched: bool,
}

/// A close frame soon after the 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyClose {
    /// The code; 1005 when the frame has none.
    pub code: u16,
    /// Who sent it; `None` when it may be the answer to one of the other side that was not seen.
    pub sender: Option<End>,
    /// How long after the 101.
    pub after: Duration,
    /// Data messages that the server had sent before it.
    pub messages_from_server: u32,
    /// Data messages that the client had sent before it.
    pub messages_from_client: u32,
}

/// The end of the connection soon after the 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyEnd {
    /// FIN or RST.
    pub by: CloseBy,
    /// Whose came first.
    pub initiator: End,
    /// How long after the 101.
    pub after: Duration,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
