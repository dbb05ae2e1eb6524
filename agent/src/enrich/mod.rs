//! Who owns the local socket of an event: its process, and the container and pod of that; and which container is
//! at the other end, when it is on this host.
//!
//! In: judged events, on a thread of their own. Out: the same with names, where they can be found.
//! A name that cannot be found is absent, never an error. Server role: the process that listens; of several
//! that share the socket, one worker. Client role: the process that holds the connection, while it is open.
//! Names of containers and pods only with the socket of the container runtime.
//! Bounds: [`OWNERS`], [`SHARE`] and [`BURST`] of look-up time, [`FOLDERS`], [`CONTAINERS`],
//! [`ADDRESSES`].

mod budget;
mod cgroup;
mod container;
mod cri;
mod holder;
mod peers;
mod sockets;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use budget::{BURST, SHARE};
pub use cgroup::FOLDERS;
pub use cri::{CONTAINERS, PACE};
use lru::LruCache;
pub use peers::ADDRESSES;

use self::{budget::Budget, cgroup::Cgroups, cri::Names, holder::Holder, peers::Peers};
use crate::{
    event::{Container, Event, Process},
    handshake::{Connection, Role},
    judge::Judged,
};

/// At most so many owners are remembered; the one that was longest not asked for goes first, and is counted.
pub const OWNERS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// What was found is believed for so long without a look whether it still holds.
const RECHECK: Duration = Duration::from_millis(500);
/// What was not found is not looked for again for so long.
const MISS: Duration = Duration::from_secs(1);
/// A listener that ended is named for so long, unless another took its place: its connections end with it,
/// and their events come now.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Names the owners of connections.
#[derive(Debug)]
pub struct Owners {
    cgroups: Cgroups,
    remembered: LruCache<Key, Entry>,
    names: Option<Names>,
    peers: Peers,
    budget: Budget,
    counters: Arc<Counters>,
}

/// What the naming counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Searches of /proc.
    pub searches: AtomicU64,
    /// Those that found no process.
    pub not_found: AtomicU64,
    /// Events without a process because searches had used up their share of the time.
    pub over_budget: AtomicU64,
    /// Owners that were forgotten at the bound [`OWNERS`].
    pub forgotten: AtomicU64,
    /// Containers that were left without a name at the bound [`CONTAINERS`], at each answer of the runtime.
    pub containers_beyond: AtomicU64,
    /// Addresses of containers that were left out at the bound [`ADDRESSES`], at each reading.
    pub addresses_beyond: AtomicU64,
    /// Questions that the container runtime did not answer.
    pub runtime_errors: AtomicU64,
}

/// What an owner is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// All connections to a listener have its owner.
    Listener { cgroup: u64, local: SocketAddr },
    /// A connection that this host made: found while it is open, told again when it has ended.
    Connection { cookie: u64 },
}

/// Whose a connection is, as far as it can be told.
#[derive(Debug, Default)]
struct Owner {
    process: Option<Process>,
    container: Option<Container>,
}

#[derive(Clone, Debug)]
struct Entry {
    holder: Option<Holder>,
    /// The id of its container.
    container: Option<String>,
    /// When it was last true.
    held: Instant,
    /// Until when it is believed without another look.
    fresh_until: Instant,
}

impl Owners {
    /// Nobody is known yet. `cgroup` is the cgroup v2 folder that the capture is attached to; `runtime` the
    /// CRI socket of the container runtime, if containers and pods are to be named.
    pub fn new(cgroup: impl Into<PathBuf>, runtime: Option<PathBuf>) -> io::Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let start = |socket| Names::start(socket, Arc::clone(&counters));
        Ok(Self {
            cgroups: Cgroups::new(cgroup.into()),
            remembered: LruCache::new(OWNERS),
            names: runtime.map(start).transpose()?,
            peers: Peers::default(),
            budget: Budget::new(),
            counters,
        })
    }

    /// The counters, to be read while the naming goes on.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Writes into the event whose the connections are. Reads /proc, and may take some milliseconds when the
    /// owner is not known yet.
    pub fn name(&mut self, judged: &mut Judged) {
        self.name_at(judged, Instant::now());
    }

    fn name_at(&mut self, judged: &mut Judged, now: Instant) {
        let owner = self.owner(&judged.connection, now);
        match &mut judged.event {
            Event::Handshake(event) => {
                (event.process, event.container) = (owner.process, owner.container);
                let proxy =
                    judged.proxy.as_ref().map(|leg| self.owner(leg, now)).unwrap_or_default();
                (event.proxy, event.proxy_container) = (proxy.process, proxy.container);
                event.peer_container = self.peer(judged.connection.peer.ip(), now);
            }
            Event::Closure(event) => {
                (event.process, event.container) = (owner.process, owner.container);
            }
            Event::Missed(_) => {}
        }
    }

    fn owner(&mut self, connection: &Connection, now: Instant) -> Owner {
        let (holder, container) = self.find(connection, now);
        let container = container.map(|id| self.named(id));
        Owner { process: holder.map(|holder| holder.process), container }
    }

    /// The container at the other end, when it alone has that address on this host.
    fn peer(&mut self, address: IpAddr, now: Instant) -> Option<Container> {
        if address.is_loopback() {
            return None;
        }
        if self.peers.is_old(now) && self.budget.allows(now) {
            let began = Instant::now();
            let beyond = self.peers.read(now);
            self.budget.spend(now, began.elapsed());
            self.counters.addresses_beyond.fetch_add(beyond, Relaxed);
        }
        let ids: Vec<&String> = self.peers.containers(address).collect();
        // The runtime tells of containers, but not of "pause" as one.
        let known =
            |id: &&&String| self.names.as_ref().is_some_and(|names| names.known(id).is_some());
        let named: Vec<&String> = ids.iter().filter(known).copied().collect();
        match (named.as_slice(), ids.as_slice()) {
            ([id], _) | ([], [id]) => Some(self.named((*id).clone())),
            _ => None,
        }
    }

    fn named(&self, id: String) -> Container {
        let name = self.names.as_ref().and_then(|names| names.get(&id));
        let (name, pod, namespace) = name
            .map_or((None, None, None), |name| (Some(name.container), name.pod, name.namespace));
        Container { id, name, pod, namespace }
    }

    /// The holder of the connection's local socket, and the id of its container.
    fn find(&mut self, connection: &Connection, now: Instant) -> (Option<Holder>, Option<String>) {
        let key = match connection.role {
            Role::Server => Key::Listener { cgroup: connection.cgroup, local: connection.local },
            Role::Client => Key::Connection { cookie: connection.cookie },
        };
        let mut last = None;
        if let Some(entry) = self.remembered.get_mut(&key) {
            let fresh = now < entry.fresh_until || matches!(key, Key::Connection { .. });
            if !fresh && entry.holder.as_ref().is_some_and(Holder::holds) {
                entry.held = now;
                entry.fresh_until = now + RECHECK;
            }
            if fresh || entry.held == now {
                return (entry.holder.clone(), entry.container.clone());
            }
            last =
                (entry.holder.is_some() && now < entry.held + LAST_EVENTS).then(|| entry.clone());
        }
        if !self.budget.allows(now) {
            self.counters.over_budget.fetch_add(1, Relaxed);
            let known = self.cgroups.known(connection.cgroup).and_then(container_of);
            return last.map_or((None, known), |entry| (entry.holder, entry.container));
        }
        let found = self.search(connection, now);
        let container =
            self.cgroups.known(connection.cgroup).and_then(container_of).or_else(|| {
                found.holder.as_ref().and_then(|holder| container::of_process(holder.process.pid))
            });
        let entry = match last {
            Some(entry) if found.holder.is_none() => Entry { fresh_until: now + RECHECK, ..entry },
            _ => Entry {
                fresh_until: now + if found.holder.is_some() { RECHECK } else { MISS },
                holder: found.holder,
                container,
                held: now,
            },
        };
        let owner = (entry.holder.clone(), entry.container.clone());
        // That a connection's socket is gone is not worth a place.
        let worth = !found.for_this_connection_only
            && (owner.0.is_some() || !matches!(key, Key::Connection { .. }));
        if worth && self.remembered.push(key.clone(), entry).is_some_and(|(old, _)| old != key) {
            self.counters.forgotten.fetch_add(1, Relaxed);
        }
        owner
    }

    /// Searches first where the socket was made, then everywhere: a listener may be passed on.
    fn search(&mut self, connection: &Connection, now: Instant) -> holder::Found {
        let began = Instant::now();
        self.counters.searches.fetch_add(1, Relaxed);
        let members =
            self.cgroups.folder(connection.cgroup).map(cgroup::processes).unwrap_or_default();
        let mut found = holder::find(&members, connection);
        // A socket that systemd opened for a service is found with both only when all are searched.
        if found.holder.as_ref().is_none_or(|holder| holder.process.pid == 1) {
            found = holder::find(&holder::all(), connection);
        }
        if found.holder.is_none() {
            found.holder = holder::only_program(&members, connection);
        }
        if found.holder.is_none() {
            self.counters.not_found.fetch_add(1, Relaxed);
        }
        self.budget.spend(now, began.elapsed());
        found
    }
}

fn container_of(folder: &Path) -> Option<String> {
    container::id(folder.to_str()?).map(str::to_owned)
}
