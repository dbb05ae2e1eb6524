//! What clients do after a failure: they try again, give up, or all come back at once.
//!
//! In: handshakes with their verdicts, and ends, as they are told. Out: `attempt` and `retry_after_ms` of a handshake,
//! and events about clients that gave up and about reconnect storms. Addresses serve to tell clients apart, as hashes,
//! and go no further. Bounds: [`clients::CLIENTS`], [`clients::TEXTS`], [`clients::OPEN`], [`storms::ORIGINS`].

mod clients;
mod storms;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::{clients::Clients, storms::Storms};
use crate::{
    event::{ClosureEvent, Event, HandshakeEvent},
    handshake::{Closure, Exchange},
};

/// What gave up is looked for so often.
const LOOK: Duration = Duration::from_secs(1);

/// Follows clients over their attempts.
#[derive(Debug, Default)]
pub struct Retries {
    clients: Clients,
    storms: Storms,
    looked: Duration,
}

impl Retries {
    /// Writes into the event which attempt of its client it is.
    pub fn handshake(&mut self, exchange: &Exchange, event: &mut HandshakeEvent) {
        self.storms.handshake(exchange.time, event);
        self.clients.handshake(exchange, event);
    }

    /// Takes the end of an accepted connection.
    pub fn closure(&mut self, closure: &Closure, event: &ClosureEvent) {
        self.storms.closure(closure.time, event);
        self.clients.closure(closure, event);
    }

    /// The time is `now`, since the Unix epoch: tells of clients that gave up and of storms that are over.
    pub fn tick(&mut self, now: Duration, out: &mut dyn FnMut(Event)) {
        if now.saturating_sub(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        self.storms.tick(now, &mut |storm| out(Event::Storm(storm)));
        self.clients.tick(now, &mut |client| out(Event::GaveUp(client)));
    }

    /// How many clients and origins were forgotten at a bound.
    pub fn forgotten(&self) -> u64 {
        self.clients.forgotten() + self.storms.forgotten()
    }
}
