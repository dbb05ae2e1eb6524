//! Clients that try again, and those that gave up.
//!
//! A client is who has the same address (the forwarded one, where a proxy tells it), `User-Agent`, origin and path, at
//! the same server. One client has at most one handshake under way with a server (RFC 6455 section 4.1): two that
//! overlap show that several clients look alike, and then nothing is told of them.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroUsize,
    time::Duration,
};

use lru::LruCache;

use crate::{
    diagnose::Cause,
    event::{ClosureEvent, GaveUpEvent, HandshakeEvent, Outcome, RoleName, timestamp},
    handshake::{Closure, Exchange, Role},
};

/// At most so many clients that failed are remembered; the one that was longest not seen goes first, and is counted.
pub(super) const CLIENTS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// Their origins and paths take at most so many bytes.
pub(super) const TEXTS: usize = 2 * 1024 * 1024;
/// Of at most so many open connections it is remembered whose they are; the ends of others begin no attempt.
pub(super) const OPEN: usize = 65_536;
/// A client that was not seen for so long is forgotten: what it does then is no retry.
const QUIET: Duration = Duration::from_secs(600);
/// A client has given up when it was not back after four times its last distance, within these bounds.
const GIVEN_UP: (Duration, Duration) = (Duration::from_secs(30), QUIET);
/// So many failures at least: fewer are no habit.
const FAILURES: u32 = 3;

/// The clients that failed, and whose the open connections are.
#[derive(Debug)]
pub(super) struct Clients {
    hasher: RandomState,
    failed: LruCache<u64, Client>,
    texts: usize,
    open: HashMap<u64, u64>,
    forgotten: u64,
}

/// One client, from its first failure to its next success.
#[derive(Debug)]
struct Client {
    role: RoleName,
    origin: Option<Box<str>>,
    path: Box<str>,
    /// Handshakes that failed in a row.
    failures: u32,
    /// An abnormal end came before them.
    after_end: bool,
    first: Duration,
    /// When the last attempt began and ended.
    last: (Duration, Duration),
    /// The first and the last distance between attempts.
    distances: Option<(Duration, Duration)>,
    /// No distance was shorter than the one before, but for a fifth: wrappers vary them by chance.
    grow: bool,
    cause: Option<Cause>,
    /// Several that look alike.
    is_crowd: bool,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            failed: LruCache::unbounded(),
            texts: 0,
            open: HashMap::new(),
            forgotten: 0,
        }
    }
}

impl Client {
    fn texts(&self) -> usize {
        self.path.len() + self.origin.as_ref().map_or(0, |origin| origin.len())
    }

    fn overlaps(&self, (begin, end): (Duration, Duration)) -> bool {
        self.failures > 0 && begin < self.last.1 && self.last.0 < end
    }

    fn has_given_up(&self, now: Duration) -> bool {
        let Some((first, last)) = self.distances else { return false };
        !self.is_crowd
            && self.failures >= FAILURES
            && self.grow
            && last * 4 > first * 5
            && now.saturating_sub(self.last.1) > (last * 4).clamp(GIVEN_UP.0, GIVEN_UP.1)
    }
}

impl Clients {
    pub(super) fn handshake(&mut self, exchange: &Exchange, event: &mut HandshakeEvent) {
        if event.outcome == Outcome::Unobserved {
            // It may have been accepted: what comes next is no retry for sure.
            self.forget(self.key(exchange));
            return;
        }
        let key = self.key(exchange);
        let span = (exchange.time, exchange.time + exchange.duration);
        if let Some(client) = self.failed.get_mut(&key) {
            client.is_crowd |= client.overlaps(span);
            let begins = span.0.checked_sub(client.last.1);
            if let Some(after) = begins.filter(|_| !client.is_crowd) {
                event.attempt = Some(client.failures + u32::from(client.after_end) + 1);
                event.retry_after_ms = u64::try_from(after.as_millis()).ok();
            }
        }
        if event.has_failed() {
            self.fails(key, span, event);
        } else {
            let is_crowd = self.failed.peek(&key).is_some_and(|client| client.is_crowd);
            if !is_crowd {
                self.forget(key);
            }
            if self.open.len() < OPEN {
                self.open.insert(exchange.connection.cookie, key);
            }
        }
    }

    pub(super) fn closure(&mut self, closure: &Closure, event: &ClosureEvent) {
        let Some(key) = self.open.remove(&closure.connection.cookie) else { return };
        let (Some(path), true) = (&event.path, event.is_abnormal()) else { return };
        if self.failed.contains(&key) {
            return;
        }
        let at = closure.time;
        let client = Client {
            role: event.role,
            origin: event.origin.as_deref().map(Into::into),
            path: path.as_str().into(),
            failures: 0,
            after_end: true,
            first: at,
            last: (at, at),
            distances: None,
            grow: true,
            cause: None,
            is_crowd: false,
        };
        self.remember(key, client);
    }

    fn fails(&mut self, key: u64, span: (Duration, Duration), event: &HandshakeEvent) {
        if let Some(client) = self.failed.get_mut(&key) {
            let distance = span.0.saturating_sub(client.last.1);
            if client.failures > 0 {
                client.grow &= client.distances.is_none_or(|(_, last)| distance * 5 >= last * 4);
                let first = client.distances.map_or(distance, |(first, _)| first);
                client.distances = Some((first, distance));
            } else {
                client.first = span.0;
            }
            client.failures = client.failures.saturating_add(1);
            client.last = span;
            client.cause = event.cause;
            return;
        }
        let client = Client {
            role: event.role,
            origin: event.origin.as_deref().map(Into::into),
            path: event.path.as_str().into(),
            failures: 1,
            after_end: false,
            first: span.0,
            last: span,
            distances: None,
            grow: true,
            cause: event.cause,
            is_crowd: false,
        };
        self.remember(key, client);
    }

    fn remember(&mut self, key: u64, client: Client) {
        self.texts += client.texts();
        self.failed.put(key, client);
        while self.failed.len() > CLIENTS.get() || self.texts > TEXTS {
            let Some((_, oldest)) = self.failed.pop_lru() else { break };
            self.texts -= oldest.texts();
            self.forgotten += 1;
        }
    }

    fn forget(&mut self, key: u64) {
        if let Some(client) = self.failed.pop(&key) {
            self.texts -= client.texts();
        }
    }

    pub(super) fn tick(&mut self, now: Duration, out: &mut dyn FnMut(GaveUpEvent)) {
        let gone = self.failed.iter().filter(|(_, client)| client.has_given_up(now));
        let gone: Vec<u64> = gone.map(|(key, _)| *key).collect();
        for key in gone {
            let Some(client) = self.failed.pop(&key) else { continue };
            self.texts -= client.texts();
            out(GaveUpEvent {
                id: None,
                time: timestamp(client.last.0),
                role: client.role,
                origin: client.origin.map(Into::into),
                path: client.path.into(),
                attempts: client.failures,
                seconds: client.last.0.saturating_sub(client.first).as_secs_f64(),
                cause: client.cause,
            });
        }
        while let Some((key, client)) = self.failed.peek_lru()
            && now.saturating_sub(client.last.1) > QUIET
        {
            self.forget(*key);
        }
    }

    #[cfg(test)]
    pub(super) fn texts_held(&self) -> usize {
        self.texts
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Who asks what of whom.
    fn key(&self, exchange: &Exchange) -> u64 {
        let (connection, headers) = (&exchange.connection, &exchange.request.headers);
        let server = match connection.role {
            Role::Server => connection.local,
            Role::Client => connection.peer,
        };
        let of_list = |name| headers.first(name).and_then(|list| list.split(',').next());
        let forwarded = of_list("x-forwarded-for")
            .or_else(|| of_list("forwarded"))
            .or_else(|| headers.first("x-real-ip"))
            .map(str::trim);
        self.hasher.hash_one((
            connection.role,
            server,
            connection.peer.ip(),
            forwarded,
            headers.first("user-agent"),
            headers.first("origin"),
            &exchange.request.path,
        ))
    }
}
