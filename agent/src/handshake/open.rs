//! The open connections, and those that ended a moment ago: within their bounds.

use std::{collections::VecDeque, num::NonZeroUsize, time::Duration};

use lru::LruCache;
use wstap_common::record::Summary;

use super::{Role, nanos, tunnel::Tunnel};
use crate::assemble::bounded;

/// How many open connections are remembered. At the bound the one that was opened first is forgotten and
/// counted ([`super::Counters::evicted_tunnels`]); its closure then has no origin.
pub(super) const TUNNELS_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();

/// How many bytes of origins and paths are remembered of them. At the bound the same happens.
const TUNNEL_BYTES: usize = 32 * 1024 * 1024;

/// How many ended connections are remembered, so that what still comes of them is no other end: the socket is
/// closed, or, behind that, segments of the other side that crossed it are answered with RST. At the bound the
/// oldest is forgotten.
// Less than half of what a hash table of 16,384 places takes: then it is cleaned now and again. With 8,192 it was
// doubled, after some 150,000 ends.
const ENDED_MAX: NonZeroUsize = NonZeroUsize::new(7_000).unwrap();

/// How long an older connection of which one side has ended waits for the other's end. Of such a one the kernel does not
/// tell when it closes, and the peer's FIN passes no hook once TCP has put the socket into TIME_WAIT, which it keeps for a
/// minute (`net.ipv4.tcp_fin_timeout`).
const HALF_CLOSED_WAIT: Duration = Duration::from_secs(65);

/// The tables.
pub(super) struct Tunnels {
    table: LruCache<u64, Tunnel>,
    bytes: usize,
    /// How many of `table` have no handshake, of this host as the server and as the client.
    unseen: (usize, usize),
    /// Connections whose end was told, and of which something may still come.
    ended: LruCache<u64, ()>,
    /// Older connections of which one side has ended, in the order of their time.
    half_closed: VecDeque<(u64, u64)>,
    evicted: u64,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            table: bounded(TUNNELS_MAX),
            bytes: 0,
            unseen: (0, 0),
            ended: bounded(ENDED_MAX),
            half_closed: VecDeque::new(),
            evicted: 0,
        }
    }
}

impl Tunnels {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many there are whose handshake was not seen, of this host as the server and as the client.
    pub(super) fn unseen(&self) -> (usize, usize) {
        self.unseen
    }

    /// How many were forgotten at a bound.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn contains(&self, cookie: u64) -> bool {
        self.table.contains(&cookie)
    }

    pub(super) fn peek(&self, cookie: u64) -> Option<&Tunnel> {
        self.table.peek(&cookie)
    }

    /// One of them. How many bytes it holds, and whether it has a handshake, must stay.
    pub(super) fn peek_mut(&mut self, cookie: u64) -> Option<&mut Tunnel> {
        self.table.peek_mut(&cookie)
    }

    /// Whether its end was told a moment ago.
    pub(super) fn has_ended(&self, cookie: u64) -> bool {
        self.ended.contains(&cookie)
    }

    /// A connection is open.
    pub(super) fn remember(&mut self, cookie: u64, tunnel: Tunnel) {
        self.bytes += tunnel.held();
        if let Some(unseen) = self.unseen_of(&tunnel) {
            *unseen += 1;
        }
        if let Some((other, old)) = self.table.push(cookie, tunnel) {
            self.evicted += u64::from(other != cookie);
            self.uncount(&old);
        }
        while self.bytes > TUNNEL_BYTES
            && let Some((_, old)) = self.table.pop_lru()
        {
            self.evicted += 1;
            self.uncount(&old);
        }
    }

    /// A connection is open no longer; its end is not told here.
    pub(super) fn take(&mut self, cookie: u64) -> Option<Tunnel> {
        let tunnel = self.table.pop(&cookie)?;
        self.uncount(&tunnel);
        Some(tunnel)
    }

    /// A connection is open no longer, and its end is told.
    pub(super) fn end(&mut self, cookie: u64) -> Option<Tunnel> {
        let tunnel = self.take(cookie)?;
        self.ended.push(cookie, ());
        Some(tunnel)
    }

    /// One side of an older connection has ended: `summary` is what is known of it.
    pub(super) fn half_close(&mut self, cookie: u64, summary: &Summary, now_ns: u64) {
        let Some(tunnel) = self.table.peek_mut(&cookie) else { return };
        if tunnel.half_closed.replace(Box::new(*summary)).is_none() {
            self.half_closed.push_back((now_ns, cookie));
        }
    }

    /// The next older connection of which one side ended long before `now_ns`, and what was known of it then.
    pub(super) fn half_closed(&mut self, now_ns: u64) -> Option<(u64, Box<Summary>)> {
        while let Some(&(since_ns, cookie)) = self.half_closed.front()
            && since_ns.saturating_add(nanos(HALF_CLOSED_WAIT)) <= now_ns
        {
            self.half_closed.pop_front();
            let tunnel = self.table.peek_mut(&cookie);
            if let Some(summary) = tunnel.and_then(|tunnel| tunnel.half_closed.take()) {
                return Some((cookie, summary));
            }
        }
        None
    }

    /// A connection is no longer remembered.
    fn uncount(&mut self, tunnel: &Tunnel) {
        self.bytes -= tunnel.held();
        if let Some(unseen) = self.unseen_of(tunnel) {
            *unseen -= 1;
        }
    }

    /// Where a connection is counted whose handshake was not seen.
    fn unseen_of(&mut self, tunnel: &Tunnel) -> Option<&mut usize> {
        match (&tunnel.handshake, tunnel.connection.role) {
            (Some(_), _) => None,
            (None, Role::Server) => Some(&mut self.unseen.0),
            (None, Role::Client) => Some(&mut self.unseen.1),
        }
    }
}
