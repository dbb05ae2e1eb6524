//! What other handshakes say: a bounded memory of which paths refuse and accept which origins.
//!
//! In: exchanges with their verdicts. Out: the evidence that one refusal alone cannot give.
//! Bounds: [`SERVERS`], [`PATHS`], [`ORIGINS`], [`ACCEPTED`], [`WINDOW`].

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    time::Duration,
};

use lru::LruCache;

use crate::diagnose::{
    Cause, Evidence, Outcome, Verdict,
    case::{Case, Finding},
    forwarded,
    origin::{Authority, Origin},
    refusal,
};
use crate::{
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
/// At most so many origins are remembered as refused at a path; more are not needed, and do not count.
pub const ORIGINS: usize = 16;
/// A server is forgotten when this much time has passed since it was first seen: configurations change.
pub const WINDOW: Duration = Duration::from_secs(600);
/// A path "refuses every origin" from so many different ones on.
const EVERY_ORIGIN: usize = 3;

/// What other handshakes say about a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PopulationEvidence {
    /// How many different origins this path refused, when it accepted nobody.
    pub refuses_every_origin: Option<usize>,
    /// The same origin was accepted at another path of the same server.
    pub accepted_elsewhere: bool,
    /// The same origin was accepted at this very path.
    pub accepted_here: bool,
    /// And so were all headers that an origin check may compare.
    pub accepted_alike: bool,
    /// Another path of the same server accepted somebody.
    pub other_path_accepts: bool,
    /// The same server refused a request at this path that was no handshake (its `Upgrade` was gone)
    /// with the same status.
    pub plain_refused: bool,
}

/// What happened at one server.
#[derive(Debug)]
struct Server {
    since: Duration,
    /// Accepted origins, each with its path and all that an origin check may compare.
    accepted: LruCache<(u64, u64, u64), ()>,
    paths: LruCache<u64, Path>,
}

/// The refusals of one path.
#[derive(Debug, Default)]
struct Path {
    refused: HashSet<u64>,
    plain_refusals: HashSet<u16>,
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
        let refused = here.map_or(0, |p| p.refused.len());
        let accepted = || server.accepted.iter().map(|((origin, path, _), ())| (*origin, *path));
        let accepts_here = accepted().any(|(_, p)| p == path);
        PopulationEvidence {
            refuses_every_origin: (!accepts_here && refused >= EVERY_ORIGIN).then_some(refused),
            accepted_elsewhere: accepted().any(|(o, p)| o == origin && p != path),
            accepted_here: accepted().any(|pair| pair == (origin, path)),
            accepted_alike: server.accepted.contains(&(
                origin,
                path,
                self.compared(&exchange.request),
            )),
            other_path_accepts: accepted().any(|(_, p)| p != path),
            plain_refused: status(exchange)
                .is_some_and(|s| here.is_some_and(|p| p.plain_refusals.contains(&s))),
        }
    }

    /// Remembers what became of `exchange`.
    pub fn observe(&mut self, exchange: &Exchange, verdict: &Verdict) {
        let Some(status) = status(exchange) else { return };
        let (address, path) = self.place(exchange);
        let origin = self.origin(&exchange.request);
        let accepted = (verdict.outcome == Outcome::Accepted)
            .then(|| (origin, path, self.compared(&exchange.request)));
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
        let Some(server) = self.servers.get_mut(&address) else { return };
        if let Some(accepted) = accepted {
            server.accepted.put(accepted, ());
            return;
        }
        // A 101 that failed is no refusal: the server took the origin.
        if status == 101 {
            return;
        }
        if !server.paths.contains(&path) {
            self.forgotten += u64::from(server.paths.push(path, Path::default()).is_some());
        }
        let Some(path) = server.paths.get_mut(&path) else { return };
        if verdict.cause == Some(Cause::UpgradeStripped) {
            if path.plain_refusals.len() < ORIGINS && status >= 400 {
                path.plain_refusals.insert(status);
            }
        } else if path.refused.len() < ORIGINS {
            path.refused.insert(origin);
        }
    }

    /// The answering end and the path.
    fn place(&self, exchange: &Exchange) -> (Service, u64) {
        (exchange.connection.service(), self.hasher.hash_one(&*exchange.request.path))
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

/// Causes that lie in what an origin check compares. For an origin that is not allowed there are rules of its own.
const COMPARED: &[Cause] = &[
    Cause::OriginAbsent,
    Cause::OriginStripped,
    Cause::OriginNull,
    Cause::OriginMalformed,
    Cause::OriginRewritten,
    Cause::HostRewritten,
    Cause::PortMismatch,
    Cause::ForwardedProtoMissing,
    Cause::ForwardedProtoWrong,
];

/// Corrects a finding that was concluded from headers alone by what other handshakes show.
pub(in crate::diagnose) fn correct(
    finding: Finding,
    population: &PopulationEvidence,
    case: &Case<'_>,
) -> Finding {
    if !finding.presumed {
        return finding;
    }
    let path = &*case.request.path;
    let evidence = |what: &str| [Evidence::new("path", path), Evidence::new("others", what)];
    let answer =
        finding.evidence.iter().find(|e| e.name == "answer" || e.name == "status").cloned();
    // What the server itself says stands.
    if population.accepted_alike
        && COMPARED.contains(&finding.cause)
        && !refusal::speaks_of_origin(&case.words)
    {
        return Finding::likely(
            Cause::Forbidden,
            "the same Origin, Host and forwarded headers are accepted here at other times: the \
             refusal is not about them",
        )
        .with(evidence("same headers accepted here at other times"))
        .with(answer);
    }
    // A rewritten Host or a missing scheme refuses every origin of a path, too: those stand.
    if !matches!(finding.cause, Cause::OriginNotAllowed | Cause::Forbidden) {
        return finding;
    }
    if let Some(origins) = population.refuses_every_origin
        && population.other_path_accepts
    {
        return Finding::likely(
            Cause::RouteNotFound,
            "this path refuses every origin while other paths of the server accept: \
             no handler, or authorisation",
        )
        .with(evidence(&format!("{origins} origins refused here")))
        .with(answer);
    }
    let place = match population {
        PopulationEvidence { accepted_here: true, .. } => Some("here at other times"),
        PopulationEvidence { accepted_elsewhere: true, .. } => Some("at another path"),
        _ => None,
    };
    if let Some(place) = place
        && finding.cause == Cause::OriginNotAllowed
    {
        return Finding::likely(
            Cause::Forbidden,
            format!("this origin is accepted {place}: the refusal is not about the origin"),
        )
        .with(evidence(&format!("same origin accepted {place}")))
        .with(answer);
    }
    if population.plain_refused {
        return Finding::likely(
            Cause::Forbidden,
            "ordinary requests are refused here in the same way: something in front of the \
             handler refuses",
        )
        .with(evidence("ordinary request refused alike"))
        .with(answer);
    }
    finding
}
