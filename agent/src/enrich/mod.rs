//! Who owns the local socket of an event: its process.
//!
//! In: judged events, on a thread of their own. Out: the same with names, where they can be found.
//! A name that cannot be found is absent, never an error. Server role: the process that listens; of several
//! that share the socket, one worker. Client role: the process that holds the connection, while it is open.
//! Bounds: [`OWNERS`], [`SHARE`] and [`BURST`] of look-up time, [`FOLDERS`].

mod budget;
mod cgroup;
mod holder;
mod sockets;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use budget::{BURST, SHARE};
pub use cgroup::FOLDERS;
use lru::LruCache;

use self::{budget::Budget, cgroup::Cgroups, holder::Holder};
use crate::{
    event::{Event, Process},
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
}

/// What an owner is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// All connections to a listener have its owner.
    Listener { cgroup: u64, local: SocketAddr },
    /// A connection that this host made: found while it is open, told again when it has ended.
    Connection { cookie: u64 },
}

#[derive(Debug)]
struct Entry {
    holder: Option<Holder>,
    /// When it was last true.
    held: Instant,
    /// Until when it is believed without another look.
    fresh_until: Instant,
}

impl Owners {
    /// Nobody is known yet. `cgroup` is the cgroup v2 folder that the capture is attached to.
    pub fn new(cgroup: impl Into<PathBuf>) -> Self {
        Self {
            cgroups: Cgroups::new(cgroup.into()),
            remembered: LruCache::new(OWNERS),
            budget: Budget::new(),
            counters: Arc::default(),
        }
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
        let process = self.process(&judged.connection, now);
        match &mut judged.event {
            Event::Handshake(event) => {
                event.process = process;
                event.proxy = judged.proxy.as_ref().and_then(|leg| self.process(leg, now));
            }
            Event::Closure(event) => event.process = process,
            Event::Missed(_) => {}
        }
    }

    fn process(&mut self, connection: &Connection, now: Instant) -> Option<Process> {
        let key = match connection.role {
            Role::Server => Key::Listener { cgroup: connection.cgroup, local: connection.local },
            Role::Client => Key::Connection { cookie: connection.cookie },
        };
        let mut last = None;
        if let Some(entry) = self.remembered.get_mut(&key) {
            let process = entry.holder.as_ref().map(|holder| holder.process.clone());
            if now < entry.fresh_until || matches!(key, Key::Connection { .. }) {
                return process;
            }
            if entry.holder.as_ref().is_some_and(Holder::holds) {
                entry.held = now;
                entry.fresh_until = now + RECHECK;
                return process;
            }
            last = entry
                .holder
                .clone()
                .filter(|_| now < entry.held + LAST_EVENTS)
                .map(|holder| (holder, entry.held));
        }
        if !self.budget.allows(now) {
            self.counters.over_budget.fetch_add(1, Relaxed);
            return last.map(|(holder, _)| holder.process);
        }
        let found = self.search(connection, now);
        if found.for_this_connection_only {
            return found.holder.map(|holder| holder.process);
        }
        let entry = match (found.holder, last) {
            (Some(holder), _) => {
                Entry { holder: Some(holder), held: now, fresh_until: now + RECHECK }
            }
            (None, Some((holder, held))) => {
                Entry { holder: Some(holder), held, fresh_until: now + RECHECK }
            }
            // It may be found at the connection's next event only if it was lost in a race: not worth a place.
            (None, None) if matches!(key, Key::Connection { .. }) => return None,
            (None, None) => Entry { holder: None, held: now, fresh_until: now + MISS },
        };
        let process = entry.holder.as_ref().map(|holder| holder.process.clone());
        if self.remembered.push(key.clone(), entry).is_some_and(|(old, _)| old != key) {
            self.counters.forgotten.fetch_add(1, Relaxed);
        }
        process
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
