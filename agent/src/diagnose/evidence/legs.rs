//! The leg into a proxy and the leg to its backend, joined by `Sec-WebSocket-Key`: what the proxy changed.
//!
//! In: exchanges with their verdicts, as they are settled. Out: the same, a moment later, with what the other
//! legs show. Bounds: [`KEYS`], [`LEGS`], [`KEPT`], [`BYTES`], [`HOLD`], [`HELD`]; a leg that is not found costs nothing
//! but the join.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;

use crate::diagnose::{
    Hop, ProxyChange, Verdict, changes,
    products::{self, Proxy},
};
use crate::{
    handshake::{Answer, Connection, Exchange},
    http::RequestHead,
};

/// At most so many keys are remembered; the one that was longest not seen goes first, and is counted when a
/// leg could still have been joined by it.
pub const KEYS: NonZeroUsize = NonZeroUsize::new(2048).unwrap();
/// At most so many legs of one key are remembered; more are not joined. Chains of proxies are shorter.
pub const LEGS: usize = 8;
/// A leg is remembered for so long after its answer: a proxy that waits for another backend does so until its timeout
/// (nginx: 60 s).
pub const KEPT: Duration = Duration::from_secs(60);
/// At most so many bytes are held, of legs that are remembered and of handshakes that wait: a head has up to 64 KiB. At
/// the bound the same happens as at [`KEYS`] and, when that is not enough, as at [`HELD`].
pub const BYTES: usize = 32 * 1024 * 1024;
/// A failed handshake waits so long for the leg into the proxy, which is answered a moment after the one
/// behind it. Accepted ones do not wait.
pub const HOLD: Duration = Duration::from_millis(100);
/// At most so many wait; at the bound the oldest goes on without waiting longer.
pub const HELD: usize = 4096;

/// Keys of the specification's examples, which scripts send over and over: they join nothing.
const EXAMPLE_KEYS: &[&str] = &["dGhlIHNhbXBsZSBub25jZQ==", "x3JJHMbDL1EzLkh9GBhXDw=="];

/// An exchange, its verdict, and what the proxy in front of it did.
#[derive(Clone, Debug)]
pub struct Joined {
    /// What was seen.
    pub exchange: Exchange,
    /// What it means, with what the other legs show.
    pub verdict: Verdict,
    /// What the proxy changed between the leg into it and this one.
    pub changes: Vec<ProxyChange>,
    /// The leg into that proxy: its local end belongs to the process that made the changes.
    pub proxy: Option<Connection>,
    /// The proxy that stands in front of who refused, as far as the legs tell.
    pub in_front: Hop,
    /// Whether this is the leg into that proxy.
    pub relayed: bool,
}

/// One leg of a handshake.
#[derive(Debug)]
struct Leg {
    connection: Connection,
    asked: Duration,
    answered: Duration,
    request: Arc<RequestHead>,
    status: Option<u16>,
    /// Who answered it, when that is a proxy.
    proxy: Option<&'static Proxy>,
    /// What was said of it, once it was said.
    verdict: Option<Box<Verdict>>,
}

impl Leg {
    fn of(exchange: &Exchange) -> Self {
        Self {
            connection: exchange.connection.clone(),
            asked: exchange.time,
            answered: exchange.time + exchange.duration,
            request: Arc::clone(&exchange.request),
            status: match &exchange.answer {
                Answer::Response(response) => Some(response.status),
                _ => None,
            },
            proxy: match &exchange.answer {
                Answer::Response(response) => products::answered(response),
                _ => None,
            },
            verdict: None,
        }
    }

    /// How many bytes it takes. What waits holds the same head, but need not.
    fn held(&self) -> usize {
        let verdict = self.verdict.as_deref().map_or(0, Verdict::held);
        size_of::<Self>() + self.request.held() + verdict
    }

    /// Whether `inner` can be the leg that a proxy made to answer this one: asked later, answered earlier,
    /// and of another listener.
    fn encloses(&self, inner: &Self) -> bool {
        self.asked <= inner.asked
            && inner.answered <= self.answered
            && self.connection.service() != inner.connection.service()
            && self.connection.cookie != inner.connection.cookie
    }
}

/// The memory of recent legs, and the failed handshakes that wait for them.
#[derive(Debug)]
pub struct Legs {
    hasher: RandomState,
    keys: LruCache<u64, Vec<Leg>>,
    held: VecDeque<(Duration, Exchange, Verdict)>,
    /// How many bytes `keys` and `held` take.
    bytes: usize,
    now: Duration,
    forgotten: u64,
}

impl Default for Legs {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            keys: LruCache::new(KEYS),
            held: VecDeque::new(),
            bytes: 0,
            now: Duration::ZERO,
            forgotten: 0,
        }
    }
}

impl Legs {
    /// How many legs were forgotten, or went on without waiting, at a bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many bytes are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a judged exchange; hands on what need not wait any longer.
    pub fn take(&mut self, exchange: Exchange, verdict: Verdict, out: &mut dyn FnMut(Joined)) {
        self.remember(&exchange);
        self.now = self.now.max(exchange.time + exchange.duration);
        if verdict.cause.is_none() {
            let (changes, proxy, in_front) = (Vec::new(), None, Hop::None);
            out(Joined { exchange, verdict, changes, proxy, in_front, relayed: false });
        } else {
            self.bytes += exchange.held() + verdict.held();
            self.held.push_back((self.now + HOLD, exchange, verdict));
        }
        while self.bytes > BYTES
            && let Some((_, legs)) = self.keys.pop_lru()
        {
            self.forget(&legs);
        }
        while self.held.len() > HELD || (self.bytes > BYTES && !self.held.is_empty()) {
            self.forgotten += 1;
            self.release(out);
        }
        self.tick(self.now, out);
    }

    /// The time is `now`, since the Unix epoch: hands on what waited long enough.
    pub fn tick(&mut self, now: Duration, out: &mut dyn FnMut(Joined)) {
        self.now = self.now.max(now);
        while self.held.front().is_some_and(|(due, ..)| *due <= self.now) {
            self.release(out);
        }
        // The one that was longest not seen comes first.
        while let Some((_, legs)) = self.keys.peek_lru()
            && legs.iter().all(|leg| leg.answered + KEPT <= self.now)
            && let Some((_, legs)) = self.keys.pop_lru()
        {
            self.forget(&legs);
        }
    }

    /// Nothing more will come: hands on everything.
    pub fn finish(&mut self, out: &mut dyn FnMut(Joined)) {
        while !self.held.is_empty() {
            self.release(out);
        }
    }

    fn remember(&mut self, exchange: &Exchange) {
        let Some(key) = self.key(exchange) else { return };
        let leg = Leg::of(exchange);
        let held = leg.held();
        if let Some(legs) = self.keys.get_mut(&key) {
            if legs.len() >= LEGS {
                self.forgotten += 1;
                return;
            }
            legs.push(leg);
        } else if let Some((_, legs)) = self.keys.push(key, vec![leg]) {
            self.forget(&legs);
        }
        self.bytes += held;
    }

    /// The legs of a key are no longer remembered.
    fn forget(&mut self, legs: &[Leg]) {
        self.bytes -= legs.iter().map(Leg::held).sum::<usize>();
        let recent = legs.iter().any(|leg| leg.answered + HOLD > self.now);
        self.forgotten += u64::from(recent);
    }

    fn key(&self, exchange: &Exchange) -> Option<u64> {
        let key = exchange.request.key.as_ref()?.reveal();
        (!EXAMPLE_KEYS.contains(&key)).then(|| self.hasher.hash_one(key))
    }

    /// Hands on the one that waits longest.
    fn release(&mut self, out: &mut dyn FnMut(Joined)) {
        let Some((_, exchange, mut verdict)) = self.held.pop_front() else { return };
        self.bytes -= exchange.held() + verdict.held();
        let key = self.key(&exchange);
        let legs = key.and_then(|key| self.keys.peek(&key));
        let legs = legs.map(Vec::as_slice).unwrap_or_default();
        let this = Leg::of(&exchange);
        // Of a chain the nearest is answered last, and knows what those behind it know.
        let (mut in_front, mut relayed) = (Hop::None, false);
        match legs.iter().filter(|leg| this.encloses(leg)).max_by_key(|leg| leg.answered) {
            Some(inner) => {
                (in_front, relayed) = (Hop::of(this.proxy), true);
                let same = inner.status == this.status;
                let behind = inner.verdict.as_deref().filter(|_| same);
                changes::answered_behind(&mut verdict, behind, inner.status);
            }
            None => changes::answered_alone(&mut verdict),
        }
        let mut outer: Vec<&Leg> = legs.iter().filter(|leg| leg.encloses(&this)).collect();
        outer.sort_by_key(|leg| leg.asked);
        // A server that takes two handshakes with one key at a time is not a chain of proxies.
        let ambiguous =
            outer.windows(2).any(|pair| matches!(pair, [a, b] if a.connection.service() == b.connection.service() && a.connection.role == b.connection.role));
        let (mut found, mut proxy) = (Vec::new(), None);
        if !ambiguous && let (Some(first), Some(nearest)) = (outer.first(), outer.last()) {
            changes::refine(&mut verdict, &first.request, &exchange.request);
            found = changes::between(&nearest.request, &exchange.request);
            proxy = Some(nearest.connection.clone());
            if !relayed {
                in_front = Hop::of(nearest.proxy);
            }
        }
        let own = |leg: &&mut Leg| {
            leg.connection.cookie == exchange.connection.cookie && leg.asked == exchange.time
        };
        let legs = key.and_then(|key| self.keys.peek_mut(&key));
        if let Some(leg) = legs.and_then(|legs| legs.iter_mut().find(own)) {
            let before = leg.held();
            leg.verdict = Some(Box::new(verdict.clone()));
            self.bytes = self.bytes + leg.held() - before;
        }
        out(Joined { exchange, verdict, changes: found, proxy, in_front, relayed });
    }
}
