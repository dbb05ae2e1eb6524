//! Exchanges of TLS connections whose socket is not found yet: it is, if at all, with the packet that carries the answer.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::{Connection, Exchange};

/// How long an exchange waits for its addresses: then it is emitted without.
const WAIT: Duration = Duration::from_millis(100);
/// How many may wait. At the bound the oldest is emitted without its addresses.
const WAITING_MAX: usize = 1024;

/// Exchanges that wait for their addresses.
#[derive(Default)]
pub(super) struct Unbound {
    waiting: VecDeque<(u64, Exchange)>,
    /// Exchanges that went on without their addresses.
    pub(super) without: u64,
}

impl Connection {
    /// A TLS connection whose socket is not known.
    pub fn is_unbound(&self) -> bool {
        self.is_tls() && self.local.port() == 0
    }

    /// Its plaintext was taken at a TLS library.
    pub fn is_tls(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.tls)
    }
}

impl Unbound {
    /// Gives the exchange back, unless it is to wait for its addresses; or an older one that has to give way to it.
    pub(super) fn pass(&mut self, now_ns: u64, exchange: Exchange) -> Option<Exchange> {
        if !exchange.connection.is_unbound() {
            return Some(exchange);
        }
        self.waiting.push_back((now_ns, exchange));
        if self.waiting.len() > WAITING_MAX { self.give_up() } else { None }
    }

    /// The connection's socket was found: what waits for it.
    pub(super) fn bound(
        &mut self,
        cookie: u64,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Vec<Exchange> {
        let mut found = Vec::new();
        self.waiting.retain_mut(|(_, exchange)| {
            if exchange.connection.cookie != cookie {
                return true;
            }
            let mut exchange = exchange.clone();
            (exchange.connection.local, exchange.connection.peer) = (local, peer);
            found.push(exchange);
            false
        });
        found
    }

    /// What waited long enough by `now_ns`; all of it at the end of time.
    pub(super) fn expired(&mut self, now_ns: u64) -> Option<Exchange> {
        let (since, _) = self.waiting.front()?;
        let wait = u64::try_from(WAIT.as_nanos()).unwrap_or(u64::MAX);
        if since.saturating_add(wait) > now_ns {
            return None;
        }
        self.give_up()
    }

    /// The oldest goes on without its addresses.
    fn give_up(&mut self) -> Option<Exchange> {
        let (_, exchange) = self.waiting.pop_front()?;
        self.without += 1;
        Some(exchange)
    }
}
