//! Who owns the local socket of an event: its process, and the container and pod of that; and which container is
//! at the other end, when it is on this host.
//!
//! In: judged events, on a thread of their own. Out: the same with names, where they can be found.
//! A name that cannot be found is absent, never an error. Server role: the process that listens; of several
//! that share the socket, one worker. Client role: the process that holds the connection, while it is open.
//! Names of containers and pods only with the socket of the container runtime. Outside of containers: the systemd
//! service, by the cgroup.
//! Bounds: [`OWNERS`], [`SHARE`] and [`BURST`] of processor time, [`FOLDERS`], [`CONTAINERS`],
//! [`ADDRESSES`], [`WORKLOADS`].

mod budget;
mod cgroup;
mod container;
mod cri;
mod holder;
mod peers;
mod pod;
mod sockets;
mod workloads;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
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

pub use workloads::WORKLOADS;

use self::{
    budget::Budget,
    cgroup::Cgroups,
    container::Place,
    cri::Names,
    holder::Holder,
    peers::Peers,
    workloads::{Sign, Workloads},
};
use crate::{
    clock::worked,
    event::{Container, Event, Process, RoleName, UNKNOWN, Workload},
    handshake::{Connection, Holder as Seen, Role},
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

/// What is asked for beyond processes and the ids of containers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The CRI socket of the container runtime, if containers and pods are to be named.
    pub cri_socket: Option<PathBuf>,
    /// The keys of the pods' labels that events carry.
    pub pod_labels: Vec<String>,
    /// How long a workload that has gone is remembered; `None`: workloads are not watched.
    pub workload_grace: Option<Duration>,
}

/// Names the owners of connections.
#[derive(Debug)]
pub struct Owners {
    cgroups: Cgroups,
    remembered: LruCache<Key, Entry>,
    names: Option<Names>,
    peers: Peers,
    workloads: Option<Workloads>,
    made_room: Vec<Workload>,
    budget: Budget,
    counters: Arc<Counters>,
    /// Whether this process is in the initial pid namespace.
    sees_all_pids: bool,
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
    /// Workloads that were taken for gone at the bound [`WORKLOADS`].
    pub workloads_beyond: AtomicU64,
    /// Questions that the container runtime did not answer.
    pub runtime_errors: AtomicU64,
}

/// The inode number of the initial pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

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
    unit: Option<String>,
    sign: Option<Sign>,
}

#[derive(Clone, Debug)]
struct Entry {
    holder: Option<Holder>,
    place: Place,
    /// When it was last true.
    held: Instant,
    /// Until when it is believed without another look.
    fresh_until: Instant,
}

impl Owners {
    /// Nobody is known yet. `cgroup` is the cgroup v2 folder that the capture is attached to.
    pub fn new(cgroup: impl Into<PathBuf>, settings: Settings) -> io::Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let start = |socket| Names::start(socket, settings.pod_labels, Arc::clone(&counters));
        Ok(Self {
            cgroups: Cgroups::new(cgroup.into()),
            remembered: LruCache::new(OWNERS),
            names: settings.cri_socket.map(start).transpose()?,
            peers: Peers::default(),
            workloads: settings.workload_grace.map(Workloads::new),
            made_room: Vec::new(),
            budget: Budget::new(),
            counters,
            sees_all_pids: fs::metadata("/proc/self/ns/pid")
                .is_ok_and(|namespace| namespace.ino() == INITIAL_PID_NAMESPACE),
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
        if !matches!(judged.event, Event::Handshake(_) | Event::Closure(_)) {
            // Of no single connection.
            return;
        }
        let owner = self.owner(&judged.connection, now);
        match &mut judged.event {
            Event::Handshake(event) => {
                (event.process, event.container, event.unit) =
                    (owner.process, owner.container, owner.unit);
                let proxy =
                    judged.proxy.as_ref().map(|leg| self.owner(leg, now)).unwrap_or_default();
                (event.proxy, event.proxy_container) = (proxy.process, proxy.container);
                event.peer_container = self.peer(judged.connection.peer.ip(), now);
                if let Some(scene) = &mut judged.scene {
                    let (proxy, local) = (event.proxy.as_ref(), event.process.as_ref());
                    let client = event.role == RoleName::Client;
                    scene.meet(proxy.map(|p| &*p.name), local.map(|p| &*p.name), client);
                    event.fix = scene.fix();
                }
            }
            Event::Closure(event) => {
                (event.process, event.container, event.unit) =
                    (owner.process, owner.container, owner.unit);
            }
            _ => {}
        }
        if let (Some(workloads), Some(sign)) = (&mut self.workloads, owner.sign) {
            let workload = Workload::of(&judged.event, self.names.is_some());
            if workload.name != UNKNOWN
                && let Some(quietest) = workloads.seen(workload, sign, now)
            {
                self.made_room.push(quietest);
                self.counters.workloads_beyond.fetch_add(1, Relaxed);
            }
        }
    }

    /// The workloads that have gone from this host since the last call, for as long as the grace time.
    pub fn gone(&mut self) -> Vec<Workload> {
        let mut gone = std::mem::take(&mut self.made_room);
        if let Some(workloads) = &mut self.workloads {
            gone.extend(workloads.take_gone(self.names.as_ref(), Instant::now()));
        }
        gone
    }

    fn owner(&mut self, connection: &Connection, now: Instant) -> Owner {
        if let Some(seen) = connection.holder.as_deref() {
            return self.seen(connection, seen, now);
        }
        let (holder, place) = self.find(connection, now);
        let container = place.container.clone().map(|id| self.named(id));
        let sign = self.workloads.is_some().then(|| {
            let folder = |folder: &Path| Sign::Folder(folder.to_owned());
            if container.as_ref().is_some_and(|container| container.workload.is_some()) {
                return Some(Sign::Runtime);
            }
            let own =
                |folder: &&Path| place.unit.is_some() && place_of(folder).as_ref() == Some(&place);
            let unit = self.cgroups.known(connection.cgroup).filter(own).map(folder);
            unit.or_else(|| holder.clone().map(Sign::Process))
        });
        Owner {
            process: holder.map(|holder| holder.process),
            container,
            unit: place.unit,
            sign: sign.flatten(),
        }
    }

    /// The owner that the probe family saw make the calls.
    fn seen(&mut self, connection: &Connection, seen: &Seen, now: Instant) -> Owner {
        // The kernel tells ids of the initial pid namespace, which mean nothing in another one.
        let named = self.sees_all_pids.then(|| Process::new(seen.pid, seen.comm.clone()));
        let known = self.cgroups.known(connection.cgroup).and_then(place_of);
        let place = known.or_else(|| {
            if !self.budget.allows(now) {
                self.counters.over_budget.fetch_add(1, Relaxed);
                return None;
            }
            let before = worked();
            let found = self.cgroups.folder(connection.cgroup).and_then(place_of);
            self.budget.spend(now, worked().saturating_sub(before));
            found
        });
        let place = place.unwrap_or_default();
        let container = place.container.map(|id| self.named(id));
        let runs = container.as_ref().is_some_and(|container| container.workload.is_some());
        let sign = self.workloads.is_some().then(|| {
            let folder = self.cgroups.known(connection.cgroup).filter(|_| place.unit.is_some());
            if runs {
                Some(Sign::Runtime)
            } else {
                folder.map(|folder| Sign::Folder(folder.to_owned()))
            }
        });
        Owner { process: named, container, unit: place.unit, sign: sign.flatten() }
    }

    /// The container at the other end, when it alone has that address on this host.
    fn peer(&mut self, address: IpAddr, now: Instant) -> Option<Container> {
        if address.is_loopback() {
            return None;
        }
        if self.peers.is_old(now) && self.budget.allows(now) {
            let before = worked();
            let beyond = self.peers.read(now);
            self.budget.spend(now, worked().saturating_sub(before));
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
        name.map_or_else(
            || Container { id: id.clone(), ..Container::default() },
            |name| Container {
                id: id.clone(),
                name: Some(name.container),
                pod: name.pod,
                namespace: name.namespace,
                workload: name.workload,
                labels: name.labels,
            },
        )
    }

    /// The holder of the connection's local socket, and where it runs.
    fn find(&mut self, connection: &Connection, now: Instant) -> (Option<Holder>, Place) {
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
                return (entry.holder.clone(), entry.place.clone());
            }
            last =
                (entry.holder.is_some() && now < entry.held + LAST_EVENTS).then(|| entry.clone());
        }
        if !self.budget.allows(now) {
            self.counters.over_budget.fetch_add(1, Relaxed);
            let known = self.cgroups.known(connection.cgroup).and_then(place_of);
            return last.map_or_else(
                || (None, known.unwrap_or_default()),
                |entry| (entry.holder, entry.place),
            );
        }
        let found = self.search(connection, now);
        let place = self.cgroups.known(connection.cgroup).and_then(place_of).or_else(|| {
            found.holder.as_ref().and_then(|holder| Place::of_process(holder.process.pid))
        });
        let entry = match last {
            Some(entry) if found.holder.is_none() => Entry { fresh_until: now + RECHECK, ..entry },
            _ => Entry {
                fresh_until: now + if found.holder.is_some() { RECHECK } else { MISS },
                holder: found.holder,
                place: place.unwrap_or_default(),
                held: now,
            },
        };
        let owner = (entry.holder.clone(), entry.place.clone());
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
        let before = worked();
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
        self.budget.spend(now, worked().saturating_sub(before));
        found
    }
}

fn place_of(folder: &Path) -> Option<Place> {
    Place::of_path(folder.to_str()?)
}
