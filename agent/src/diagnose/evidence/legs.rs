//! The leg into a proxy and the leg to its backend, joined by `Sec-WebSocket-Key`: what the proxy changed.
//!
//! In: exchanges, as they are settled. Out: the same with their verdicts, a moment later, when what the other legs show is
//! known. Bounds: [`KEYS`], [`LEGS`], [`KEPT`], [`BYTES`], [`HOLD`], [`HELD`]; a leg that is not found costs nothing
//! but the join.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;

use crate::{
    diagnose::{
        Hop, Outcome, PopulationEvidence, ProxyChange, Verdict, changes,
        context::{Behind, Context},
        features::Features,
        products::{self, Proxy},
        weighing::weigh,
    },
    handshake::{Answer, Connection, Exchange, Role, Switched},
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

/// What a server did with others than an exchange.
type Others<'a> = &'a dyn Fn(&Exchange) -> PopulationEvidence;

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

    fn of_switched(switched: Switched) -> Self {
        Self {
            asked: switched.time,
            answered: switched.time + switched.duration,
            connection: switched.connection,
            request: switched.request,
            status: Some(101),
            proxy: None,
            verdict: None,
        }
    }

    /// Whether it is the same leg, of the same connection and time.
    fn is(&self, connection: &Connection, asked: Duration) -> bool {
        self.connection.cookie == connection.cookie && self.asked == asked
    }

    fn upgrades(&self) -> bool {
        self.request.headers.has_token("upgrade", "websocket")
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
    held: VecDeque<(Duration, Exchange)>,
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

    /// A 101 passed: the leg is known, and what becomes of it is not.
    pub fn switched(&mut self, switched: Switched) {
        let Some(key) = self.key(&switched.request) else { return };
        self.remember(key, Leg::of_switched(switched));
        self.bound();
    }

    /// Takes an exchange; hands on what need not wait any longer, judged by what `others` shows. Tells what became of it,
    /// as far as that is known without its other legs.
    pub fn take(
        &mut self,
        exchange: Exchange,
        others: Others<'_>,
        out: &mut dyn FnMut(Joined),
    ) -> Outcome {
        let key = self.key(&exchange.request);
        if let Some(key) = key {
            let legs = self.keys.peek(&key);
            let known = |leg: &Leg| leg.is(&exchange.connection, exchange.time);
            if !legs.is_some_and(|legs| legs.iter().any(known)) {
                self.remember(key, Leg::of(&exchange));
            }
        }
        self.now = self.now.max(exchange.time + exchange.duration);
        let switched = matches!(&exchange.answer, Answer::Response(head) if head.status == 101);
        let mut outcome = Outcome::Rejected;
        let mut waits = exchange.answer != Answer::Unobserved;
        let mut verdict = None;
        if switched || !waits {
            let context = Context { population: others(&exchange), ..Context::default() };
            let alone = weigh(&exchange, &context);
            outcome = alone.outcome;
            // The leg behind it failed, and what a proxy made of that is no success.
            let failed_behind = switched && self.failed_behind(&exchange);
            waits &= outcome == Outcome::Failed || failed_behind;
            if let Some(key) = key.filter(|_| outcome == Outcome::Failed) {
                self.said(key, &exchange, &alone);
            }
            verdict = Some(alone);
        }
        if let Some(verdict) = verdict.filter(|_| !waits) {
            let (changes, proxy, in_front) = (Vec::new(), None, Hop::None);
            out(Joined { exchange, verdict, changes, proxy, in_front, relayed: false });
        } else {
            self.bytes += exchange.held();
            self.held.push_back((self.now + HOLD, exchange));
        }
        self.bound();
        while self.held.len() > HELD || (self.bytes > BYTES && !self.held.is_empty()) {
            self.forgotten += 1;
            self.release(others, out);
        }
        self.tick(self.now, others, out);
        outcome
    }

    /// Whether a leg behind this one was accepted and failed.
    fn failed_behind(&self, exchange: &Exchange) -> bool {
        let this = Leg::of(exchange);
        let legs = self.key(&exchange.request).and_then(|key| self.keys.peek(&key));
        legs.is_some_and(|legs| {
            legs.iter().any(|leg| {
                let failed = leg.verdict.as_ref().is_some_and(|v| v.outcome == Outcome::Failed);
                failed && this.encloses(leg)
            })
        })
    }

    fn bound(&mut self) {
        while self.bytes > BYTES
            && let Some((_, legs)) = self.keys.pop_lru()
        {
            self.forget(&legs);
        }
    }

    /// The time is `now`, since the Unix epoch: hands on what waited long enough.
    pub fn tick(&mut self, now: Duration, others: Others<'_>, out: &mut dyn FnMut(Joined)) {
        self.now = self.now.max(now);
        while self.held.front().is_some_and(|(due, ..)| *due <= self.now) {
            self.release(others, out);
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
    pub fn finish(&mut self, others: Others<'_>, out: &mut dyn FnMut(Joined)) {
        while !self.held.is_empty() {
            self.release(others, out);
        }
    }

    fn remember(&mut self, key: u64, leg: Leg) {
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

    fn key(&self, request: &RequestHead) -> Option<u64> {
        let key = request.key.as_ref()?.reveal();
        (!EXAMPLE_KEYS.contains(&key)).then(|| self.hasher.hash_one(key))
    }

    /// Remembers what was said of a leg, for the one before it.
    fn said(&mut self, key: u64, exchange: &Exchange, verdict: &Verdict) {
        let own = |leg: &&mut Leg| leg.is(&exchange.connection, exchange.time);
        if let Some(leg) = self.keys.peek_mut(&key).and_then(|legs| legs.iter_mut().find(own)) {
            let before = leg.held();
            leg.verdict = Some(Box::new(verdict.clone()));
            self.bytes = self.bytes + leg.held() - before;
        }
    }

    /// Hands on the one that waits longest.
    fn release(&mut self, others: Others<'_>, out: &mut dyn FnMut(Joined)) {
        let Some((_, exchange)) = self.held.pop_front() else { return };
        self.bytes -= exchange.held();
        let key = self.key(&exchange.request);
        let legs = key.and_then(|key| self.keys.peek(&key));
        let legs = legs.map(Vec::as_slice).unwrap_or_default();
        let this = Leg::of(&exchange);
        let around = Around::of(legs, &this);
        if around.is_subrequest(legs, &this) {
            return;
        }
        let context = Context {
            population: others(&exchange),
            before: around.first.map(|first| &*first.request),
            proven: around.is_proven(legs, &this),
            behind: around
                .behind
                .map(|inner| Behind { verdict: inner.verdict.as_deref(), status: inner.status }),
        };
        let verdict = weigh(&exchange, &context);
        let changes =
            around.nearest.map(|nearest| changes::between(&nearest.request, &exchange.request));
        let proxy = around.nearest.map(|nearest| nearest.connection.clone());
        let relayed = around.behind.is_some();
        let in_front = match around.nearest {
            _ if relayed => Hop::of(this.proxy),
            Some(nearest) => Hop::of(nearest.proxy),
            None => Hop::None,
        };
        let changes = changes.unwrap_or_default();
        if let Some(key) = key {
            self.said(key, &exchange, &verdict);
        }
        out(Joined { exchange, verdict, changes, proxy, in_front, relayed });
    }
}

/// The other legs of one leg.
struct Around<'a> {
    /// The first leg before it that was seen.
    first: Option<&'a Leg>,
    /// The leg into the proxy that made this one.
    nearest: Option<&'a Leg>,
    /// The leg that a proxy made to answer this one.
    behind: Option<&'a Leg>,
}

impl<'a> Around<'a> {
    fn of(legs: &'a [Leg], this: &Leg) -> Self {
        // Of a chain the nearest is answered last, and knows what those behind it know.
        let behind = legs.iter().filter(|leg| this.encloses(leg)).max_by_key(|leg| leg.answered);
        let mut outer: Vec<&Leg> = legs.iter().filter(|leg| leg.encloses(this)).collect();
        outer.sort_by_key(|leg| leg.asked);
        // A server that takes two handshakes with one key at a time is not a chain of proxies.
        let ambiguous = outer.windows(2).any(|pair| {
            matches!(pair, [a, b] if a.connection.service() == b.connection.service()
                && a.connection.role == b.connection.role)
        });
        let outer = if ambiguous { Vec::new() } else { outer };
        Self { first: outer.first().copied(), nearest: outer.last().copied(), behind }
    }

    /// Whether `this` is a request that a proxy made on behalf of a handshake before it went on (nginx: `auth_request`):
    /// its headers are the handshake's but for the hop-by-hop ones, its path is another one, and the handshake itself goes on
    /// behind it, or is refused with the same word.
    fn is_subrequest(&self, legs: &[Leg], this: &Leg) -> bool {
        let Some(outer) = self.nearest else { return false };
        let plain = Features::of(&this.request).any(Features::NO_UPGRADE) && outer.upgrades();
        if !plain || outer.request.path == this.request.path {
            return false;
        }
        let goes_on = legs
            .iter()
            .any(|leg| leg.asked >= this.answered && outer.encloses(leg) && leg.upgrades());
        let refused = matches!(this.status, Some(401 | 403)) && outer.status == this.status;
        goes_on || refused
    }

    /// Whether the process that took the leg into the proxy made this one: a key proves nothing, since a client may send
    /// one key to two servers. Both sockets belong to one cgroup, and the client that sent the first is not in it.
    fn is_proven(&self, legs: &[Leg], this: &Leg) -> bool {
        let Some(outer) = self.nearest else { return false };
        let made = |leg: &&Leg| {
            leg.connection.role == Role::Client
                && (leg.connection.cookie == this.connection.cookie
                    || leg.connection.local == this.connection.peer)
        };
        let taken = outer.connection.cgroup;
        let client = legs.iter().find(|leg| {
            leg.connection.role == Role::Client && leg.connection.local == outer.connection.peer
        });
        outer.connection.role == Role::Server
            && taken != 0
            && legs.iter().find(made).is_some_and(|leg| leg.connection.cgroup == taken)
            && client.is_none_or(|client| client.connection.cgroup != taken)
    }
}
