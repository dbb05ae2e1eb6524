//! What a server did with others: a bounded memory of what each path lets pass and what it refuses.
//!
//! In: exchanges, and whether they were accepted. Out: the evidence that one refusal alone cannot give.
//! What was accepted is a fact of the server's. What was refused anybody can bring about: it takes certainty away, and
//! makes another cause only when [`CLIENTS`] distinct ones were refused.
//! Bounds: [`SERVERS`], [`PATHS`], [`ORIGINS`], [`ACCEPTED`], [`ANSWERS`], [`SUBPROTOCOLS_TAKEN`], [`WINDOW`].

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    time::Duration,
};

use lru::LruCache;

use crate::{
    diagnose::{
        features::Features,
        forwarded,
        origin::{Authority, Origin},
        words,
    },
    handshake::{Answer, Exchange, Service},
    http::RequestHead,
};

/// At most so many servers are remembered; the one that was longest not seen goes first, and is counted.
pub const SERVERS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// At most so many paths of a server are remembered, in the same way.
pub const PATHS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// At most so many accepted origins, each with its path and the headers beside it, are remembered for a server, in
/// the same way.
pub const ACCEPTED: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// At most so many origins, and so many clients, are remembered as refused at a path; more are not needed, and do not
/// count.
pub const ORIGINS: usize = 16;
/// At most so many different answers of a path are remembered, in the same way.
pub const ANSWERS: usize = 8;
/// At most so many subprotocols that a path took are remembered; a path that takes more is not one that takes few.
pub const SUBPROTOCOLS_TAKEN: usize = 16;
/// A server is forgotten when this much time has passed since it was first seen: configurations change.
pub const WINDOW: Duration = Duration::from_secs(600);
/// A path "refuses every origin" from so many different ones on.
const EVERY_ORIGIN: usize = 3;
/// From so many clients, by their addresses, what was refused makes another cause.
pub(in crate::diagnose) const CLIENTS: usize = 3;

/// What a server did with others than one handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PopulationEvidence {
    /// What this path let pass.
    pub(in crate::diagnose) passed_here: Features,
    /// What other paths of this server let pass.
    pub(in crate::diagnose) passed_elsewhere: Features,
    /// This path accepted somebody.
    pub(in crate::diagnose) accepts_here: bool,
    /// A page of the server's own host, as `Host` had it, was accepted here: a rewritten `Host` can matter.
    pub(in crate::diagnose) own_page_here: bool,
    /// The same origin was accepted at another path of the same server.
    pub(in crate::diagnose) accepted_elsewhere: bool,
    /// The same origin was accepted at this very path.
    pub(in crate::diagnose) accepted_here: bool,
    /// And so were all headers that an origin check may compare.
    pub(in crate::diagnose) accepted_alike: bool,
    /// [`CLIENTS`] clients with different origins were refused here, nobody was accepted, and another path accepts.
    pub(in crate::diagnose) refuses_everybody: bool,
    /// A sound handshake got the same answer here.
    pub(in crate::diagnose) sound_refused: bool,
    /// A sound handshake from a page of the server's own host got the same answer here.
    pub(in crate::diagnose) own_page_refused: bool,
    /// From so many clients a request that was no handshake (its `Upgrade` was gone) was refused here with the same
    /// status.
    pub(in crate::diagnose) plain_refusals: usize,
    /// What subprotocols this path takes.
    pub(in crate::diagnose) subprotocols: PathSubprotocols,
}

/// What subprotocols a path takes, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::diagnose) struct PathSubprotocols {
    /// It chose some, and never went on without one that was offered.
    pub(in crate::diagnose) selective: bool,
    /// It took what this request offers, or took a request that offered none as this one does.
    pub(in crate::diagnose) takes_this: bool,
}

/// What happened at one server.
#[derive(Debug)]
struct Server {
    since: Duration,
    /// Accepted origins, each with its path and all that an origin check may compare.
    accepted: LruCache<(u64, u64, u64), ()>,
    paths: LruCache<u64, Path>,
}

/// What one path took and refused.
#[derive(Debug, Default)]
struct Path {
    passed: Features,
    accepts: bool,
    own_page: bool,
    took: Vec<u64>,
    took_none: bool,
    /// It went on without a subprotocol that was offered.
    indifferent: bool,
    origins: Vec<u64>,
    clients: Vec<u64>,
    refusals: Vec<Refusal>,
    /// Clients whose ordinary requests were refused, by status.
    plain: Vec<(u16, u64)>,
}

/// One answer that a path gave to handshakes that it refused.
#[derive(Debug)]
struct Refusal {
    answer: u64,
    /// A handshake without a defect got it.
    sound: bool,
    /// And one from a page of the server's own host.
    own_page: bool,
}

/// Adds `value` where it is new and there is room.
fn add(values: &mut Vec<u64>, most: usize, value: u64) {
    if values.len() < most && !values.contains(&value) {
        values.push(value);
    }
}

/// A bounded memory of recent handshakes.
#[derive(Debug)]
pub struct Population {
    hasher: RandomState,
    servers: LruCache<Service, Server>,
    forgotten: u64,
}

impl Default for Population {
    fn default() -> Self {
        Self { hasher: RandomState::new(), servers: LruCache::new(SERVERS), forgotten: 0 }
    }
}

impl Population {
    /// How many servers and paths were forgotten at a bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What the memory says about a handshake like `exchange`.
    pub fn evidence(&self, exchange: &Exchange) -> PopulationEvidence {
        let (address, path) = self.place(exchange);
        let fresh = |server: &&Server| exchange.time.saturating_sub(server.since) < WINDOW;
        let Some(server) = self.servers.peek(&address).filter(fresh) else {
            return PopulationEvidence::default();
        };
        let origin = self.origin(&exchange.request);
        let here = server.paths.peek(&path);
        let accepted = || server.accepted.iter().map(|((origin, path, _), ())| (*origin, *path));
        let elsewhere = server.paths.iter().filter(|(other, _)| **other != path);
        let passed_elsewhere =
            elsewhere.fold(Features::NONE, |passed, (_, path)| passed.with(path.passed));
        let other_path_accepts =
            server.paths.iter().any(|(other, seen)| *other != path && seen.accepts);
        let mut evidence = PopulationEvidence {
            passed_elsewhere,
            accepted_elsewhere: accepted().any(|(o, p)| o == origin && p != path),
            accepted_here: accepted().any(|pair| pair == (origin, path)),
            accepted_alike: server.accepted.contains(&(
                origin,
                path,
                self.compared(&exchange.request),
            )),
            ..PopulationEvidence::default()
        };
        let Some(here) = here else { return evidence };
        evidence.passed_here = here.passed;
        evidence.accepts_here = here.accepts;
        evidence.own_page_here = here.own_page;
        evidence.refuses_everybody = !here.accepts
            && other_path_accepts
            && here.origins.len() >= EVERY_ORIGIN
            && here.clients.len() >= CLIENTS;
        if let Some(answer) = self.answer(exchange)
            && let Some(refusal) = here.refusals.iter().find(|refusal| refusal.answer == answer)
        {
            evidence.sound_refused = refusal.sound;
            evidence.own_page_refused = refusal.own_page;
        }
        let status = status(exchange);
        evidence.plain_refusals =
            here.plain.iter().filter(|(plain, _)| Some(*plain) == status).count();
        let offered = || exchange.request.subprotocols.iter();
        evidence.subprotocols = PathSubprotocols {
            selective: !here.took.is_empty()
                && !here.indifferent
                && here.took.len() < SUBPROTOCOLS_TAKEN,
            takes_this: if exchange.request.subprotocols.is_empty() {
                here.took_none
            } else {
                offered().any(|one| here.took.contains(&self.hasher.hash_one(one.reveal())))
            },
        };
        evidence
    }

    /// Remembers what became of `exchange`; `accepted`: a 101 that came to something.
    pub fn observe(&mut self, exchange: &Exchange, accepted: bool) {
        let switched = status(exchange) == Some(101);
        let Some(answer) = self.answer(exchange) else { return };
        // A 101 that failed is no refusal: the server took the request.
        if switched && !accepted {
            return;
        }
        let (address, path) = self.place(exchange);
        let request = &*exchange.request;
        let features = Features::of(request);
        let origin = self.origin(request);
        let compared = self.compared(request);
        let client = self.hasher.hash_one(exchange.connection.client());
        let known = self.servers.peek(&address);
        if known.is_none_or(|known| exchange.time.saturating_sub(known.since) >= WINDOW) {
            let server = Server {
                since: exchange.time,
                accepted: LruCache::new(ACCEPTED),
                paths: LruCache::new(PATHS),
            };
            let evicted = self.servers.push(address.clone(), server);
            self.forgotten += u64::from(evicted.is_some_and(|(other, _)| other != address));
        }
        let chosen = match &exchange.answer {
            Answer::Response(response) => response.subprotocols.first(),
            _ => None,
        };
        let chosen = chosen.map(|chosen| self.hasher.hash_one(chosen.reveal()));
        let Some(server) = self.servers.get_mut(&address) else { return };
        if !server.paths.contains(&path) {
            self.forgotten += u64::from(server.paths.push(path, Path::default()).is_some());
        }
        let Some(here) = server.paths.get_mut(&path) else { return };
        if switched {
            server.accepted.put((origin, path, compared), ());
            here.accepts = true;
            here.passed = here.passed.with(features);
            here.own_page |= features.any(Features::OWN_PAGE);
            match chosen {
                Some(chosen) => add(&mut here.took, SUBPROTOCOLS_TAKEN, chosen),
                None if request.subprotocols.is_empty() => here.took_none = true,
                None => here.indifferent = true,
            }
            return;
        }
        if features.any(Features::NO_UPGRADE) {
            if let Some(status) = status(exchange).filter(|status| *status >= 400)
                && here.plain.len() < ORIGINS
                && !here.plain.contains(&(status, client))
            {
                here.plain.push((status, client));
            }
            return;
        }
        add(&mut here.origins, ORIGINS, origin);
        add(&mut here.clients, ORIGINS, client);
        let sound = !features.any(Features::DEFECTS);
        let own_page = sound && features.any(Features::OWN_PAGE);
        if let Some(known) = here.refusals.iter_mut().find(|refusal| refusal.answer == answer) {
            known.sound |= sound;
            known.own_page |= own_page;
        } else if here.refusals.len() < ANSWERS {
            here.refusals.push(Refusal { answer, sound, own_page });
        }
    }

    /// The answering end and the path.
    fn place(&self, exchange: &Exchange) -> (Service, u64) {
        (exchange.connection.service(), self.hasher.hash_one(&*exchange.request.path))
    }

    /// What stands for an answer: its status and its words, without numbers, which are often another one each time.
    fn answer(&self, exchange: &Exchange) -> Option<u64> {
        let letters =
            |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>();
        match &exchange.answer {
            Answer::Response(response) if response.status == 101 => Some(101),
            Answer::Response(response) => {
                let text = letters(&words::message(response));
                Some(self.hasher.hash_one((response.status, text)))
            }
            Answer::Malformed(bytes) => {
                Some(self.hasher.hash_one((0_u16, letters(&words::of_bytes(bytes)))))
            }
            Answer::Closed { .. } => Some(self.hasher.hash_one("closed")),
            Answer::TimedOut | Answer::Unobserved => None,
        }
    }

    fn origin(&self, request: &RequestHead) -> u64 {
        match request.headers.first("origin").map(|value| (value, Origin::parse(value))) {
            Some((_, Some(origin))) => {
                let Authority { host, .. } = &origin.authority;
                self.hasher.hash_one((&*origin.scheme, &**host, origin.effective_port()))
            }
            Some((value, None)) => self.hasher.hash_one(value),
            None => self.hasher.hash_one(""),
        }
    }

    /// What an origin check may compare, as it is written.
    fn compared(&self, request: &RequestHead) -> u64 {
        let headers = &request.headers;
        let values = |name: &'static str| headers.all(name).collect::<Vec<_>>();
        self.hasher.hash_one((
            ["origin", "host", "x-forwarded-port"].map(values),
            forwarded::schemes(headers),
            forwarded::hosts(headers),
        ))
    }
}

fn status(exchange: &Exchange) -> Option<u16> {
    match &exchange.answer {
        Answer::Response(response) => Some(response.status),
        _ => None,
    }
}
