//! What other handshakes say: a bounded memory of which paths refuse and accept which origins.
//!
//! In: exchanges with their verdicts. Out: the evidence that one refusal alone cannot give.
//! Bounds: [`SERVERS`], [`PATHS`], [`ORIGINS`], [`ACCEPTED`], [`WINDOW`].

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    net::SocketAddr,
    time::Duration,
};

use super::{Cause, Confidence, Evidence, Outcome, Verdict, case::Finding, origin};
use crate::{
    handshake::{Answer, Exchange, Role},
    http::RequestHead,
};

/// At most so many servers are remembered; at the bound all are forgotten at once and counted.
pub const SERVERS: usize = 256;
/// At most so many paths of a server are remembered; more are not, and are counted.
pub const PATHS: usize = 256;
/// At most so many origins are remembered as refused at a path; more are not needed, and do not count.
pub const ORIGINS: usize = 16;
/// At most so many pairs of an accepted origin and its path are remembered for a server; the oldest goes.
pub const ACCEPTED: usize = 64;
/// A server is forgotten when this much time has passed since it was first seen: configurations change.
pub const WINDOW: Duration = Duration::from_secs(600);
/// A path "refuses every origin" from so many different ones on.
const EVERY_ORIGIN: usize = 3;

/// What other handshakes say about a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PopulationEvidence {
    /// How many different origins this path refused, when it accepted none of them and no other.
    pub refuses_every_origin: Option<usize>,
    /// The same origin was accepted at another path of the same server.
    pub accepted_elsewhere: bool,
    /// The same origin was accepted at this very path.
    pub accepted_here: bool,
    /// Another path of the same server accepted somebody.
    pub other_path_accepts: bool,
    /// The same server refused a request at this path that was no handshake (its `Upgrade` was gone)
    /// with the same status.
    pub plain_refused: bool,
}

/// What happened at one server.
#[derive(Debug, Default)]
struct Server {
    since: Duration,
    /// Accepted origins, each with its path.
    accepted: VecDeque<(u64, u64)>,
    paths: HashMap<u64, Path>,
}

/// The refusals of one path.
#[derive(Debug, Default)]
struct Path {
    refused: HashSet<u64>,
    plain_refusals: HashSet<u16>,
}

/// A bounded memory of recent handshakes.
#[derive(Debug, Default)]
pub struct Population {
    hasher: RandomState,
    servers: HashMap<SocketAddr, Server>,
    forgotten: u64,
}

impl Population {
    /// How many servers and paths were forgotten, or not remembered, at a bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What the memory says about a handshake like `exchange`.
    pub fn evidence(&self, exchange: &Exchange) -> PopulationEvidence {
        let (address, path) = self.place(exchange);
        let fresh = |server: &&Server| exchange.time.saturating_sub(server.since) < WINDOW;
        let Some(server) = self.servers.get(&address).filter(fresh) else {
            return PopulationEvidence::default();
        };
        let origin = self.origin(&exchange.request);
        let here = server.paths.get(&path);
        let accepts_here = server.accepted.iter().any(|(_, p)| *p == path);
        let refused = here.map_or(0, |p| p.refused.len());
        PopulationEvidence {
            refuses_every_origin: (!accepts_here && refused >= EVERY_ORIGIN).then_some(refused),
            accepted_elsewhere: server.accepted.iter().any(|(o, p)| *o == origin && *p != path),
            accepted_here: server.accepted.contains(&(origin, path)),
            other_path_accepts: server.accepted.iter().any(|(_, p)| *p != path),
            plain_refused: status(exchange)
                .is_some_and(|s| here.is_some_and(|p| p.plain_refusals.contains(&s))),
        }
    }

    /// Remembers what became of `exchange`.
    pub fn observe(&mut self, exchange: &Exchange, verdict: &Verdict) {
        let Some(status) = status(exchange) else { return };
        let (address, path) = self.place(exchange);
        let origin = self.origin(&exchange.request);
        if self.servers.len() >= SERVERS && !self.servers.contains_key(&address) {
            self.forgotten += self.servers.len() as u64;
            self.servers.clear();
        }
        let fresh = || Server { since: exchange.time, ..Server::default() };
        let server = self.servers.entry(address).or_insert_with(fresh);
        if exchange.time.saturating_sub(server.since) >= WINDOW {
            *server = fresh();
        }
        if verdict.outcome == Outcome::Accepted {
            if !server.accepted.contains(&(origin, path)) {
                server.accepted.truncate(ACCEPTED - 1);
                server.accepted.push_front((origin, path));
            }
            return;
        }
        if server.paths.len() >= PATHS && !server.paths.contains_key(&path) {
            self.forgotten += 1;
            return;
        }
        let path = server.paths.entry(path).or_default();
        if verdict.cause == Some(Cause::UpgradeStripped) {
            if path.plain_refusals.len() < ORIGINS && status >= 400 {
                path.plain_refusals.insert(status);
            }
        } else if path.refused.len() < ORIGINS {
            path.refused.insert(origin);
        }
    }

    /// The answering end and the path.
    fn place(&self, exchange: &Exchange) -> (SocketAddr, u64) {
        let server = match exchange.connection.role {
            Role::Server => exchange.connection.local,
            Role::Client => exchange.connection.peer,
        };
        (server, self.hasher.hash_one(&*exchange.request.path))
    }

    fn origin(&self, request: &RequestHead) -> u64 {
        let value = request.headers.first("origin");
        self.hasher.hash_one(value.map(|v| origin::normalised(v).unwrap_or_else(|| v.to_owned())))
    }
}

fn status(exchange: &Exchange) -> Option<u16> {
    match &exchange.answer {
        Answer::Response(response) => Some(response.status),
        _ => None,
    }
}

/// Corrects a finding that was concluded from headers alone by what other handshakes show.
pub(super) fn correct(finding: Finding, population: &PopulationEvidence, path: &str) -> Finding {
    // A rewritten Host or a missing scheme refuses every origin of a path, too: those stand.
    if !finding.presumed || !matches!(finding.cause, Cause::OriginNotAllowed | Cause::Forbidden) {
        return finding;
    }
    let evidence = |what: &str| [Evidence::new("path", path), Evidence::new("others", what)];
    let answer =
        finding.evidence.iter().find(|e| e.name == "answer" || e.name == "status").cloned();
    if let Some(origins) = population.refuses_every_origin
        && population.other_path_accepts
    {
        return Finding::likely(
            Cause::RouteNotFound,
            "this path refuses every origin while other paths of the server accept: no handler, or authorisation",
        )
        .with(evidence(&format!("{origins} origins refused here")))
        .with(answer);
    }
    let guessed = finding.cause == Cause::OriginNotAllowed;
    if guessed && (population.accepted_elsewhere || population.accepted_here) {
        let place =
            if population.accepted_here { "here at other times" } else { "at another path" };
        return Finding::new(
            Cause::Forbidden,
            Confidence::Likely,
            format!("this origin is accepted {place}: the refusal is not about the origin"),
        )
        .with(evidence(&format!("same origin accepted {place}")))
        .with(answer);
    }
    if population.plain_refused {
        return Finding::likely(
            Cause::Forbidden,
            "ordinary requests are refused here in the same way: something in front of the handler refuses",
        )
        .with(evidence("ordinary request refused alike"))
        .with(answer);
    }
    finding
}
