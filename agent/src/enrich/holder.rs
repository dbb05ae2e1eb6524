//! Which process holds a socket: from a connection, through its network namespace, to file descriptors.
//!
//! In: processes to search, a connection. Out: the holder. Reading other users' namespaces and file
//! descriptors needs CAP_SYS_PTRACE; without it they are not found.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use procfs::process::{Process as Proc, all_processes};

use super::sockets;
use crate::{
    clock,
    event::{Process, timestamp},
    handshake::{Connection, Role},
};

/// A process that holds a socket.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// Its id and name.
    pub(super) process: Process,
    /// Clock ticks since boot: tells it from a later process with the same pid.
    start: u64,
    parent: i32,
    /// The descriptor in /proc and what it links to; `None` when it may not be read.
    socket: Option<(PathBuf, PathBuf)>,
}

/// When a process started, of which /proc tells the ticks since boot (proc_pid_stat(5), field 22).
pub(super) fn started(ticks: u64) -> String {
    // Once, as the times of all events: a process must not seem to have started again because the clock was set.
    static BOOTED: LazyLock<Duration> =
        LazyLock::new(|| clock::wall().saturating_sub(clock::boot()));
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let after = Duration::from_millis(ticks.saturating_mul(1000) / a_second);
    timestamp(*BOOTED + after)
}

impl Holder {
    fn new(pid: i32, socket: Option<(PathBuf, PathBuf)>) -> Option<Self> {
        let stat = Proc::new(pid).and_then(|process| process.stat()).ok()?;
        Some(Self {
            process: Process {
                started: Some(started(stat.starttime)),
                ..Process::new(stat.pid.try_into().ok()?, stat.comm)
            },
            start: stat.starttime,
            parent: stat.ppid,
            socket,
        })
    }

    /// Whether it is still the same process, with the same socket.
    pub(super) fn holds(&self) -> bool {
        let held = |(descriptor, target): &(PathBuf, PathBuf)| {
            fs::read_link(descriptor).is_ok_and(|now| now == *target)
        };
        self.socket.as_ref().is_none_or(held) && self.lives()
    }

    /// Whether it is still the same process.
    pub(super) fn lives(&self) -> bool {
        let same = |process: Proc| process.stat().is_ok_and(|stat| stat.starttime == self.start);
        Proc::new(self.process.pid.cast_signed()).is_ok_and(same)
    }
}

#[cfg(test)]
impl Holder {
    pub(super) fn as_if_started_later(&self) -> Self {
        Self { start: self.start + 1, ..self.clone() }
    }

    pub(super) fn as_if_socket_was(&self, target: &str) -> Self {
        let socket = self.socket.clone().map(|(descriptor, _)| (descriptor, target.into()));
        Self { socket, ..self.clone() }
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The process to name.
    pub(super) holder: Option<Holder>,
    /// Only this connection says so: several namespaces have such a listener.
    pub(super) for_this_connection_only: bool,
}

/// Searches `pids` for the holder of the connection's local socket: the listener in the server role (the
/// connection's own socket is often closed by now), the connection's own in the client role.
pub(super) fn find(pids: &[i32], connection: &Connection) -> Found {
    let mut spaces: Vec<(Vec<i32>, Vec<u64>)> = namespaces(pids)
        .into_values()
        .filter_map(|members| {
            let inodes = members.first().map(|pid| sockets_of(*pid, connection))?;
            (!inodes.is_empty()).then_some((members, inodes))
        })
        .collect();
    let first = |members: &[i32]| members.first().copied().unwrap_or_default();
    let (local, peer) = (connection.local, connection.peer);
    if spaces.len() > 1 {
        spaces.retain(|(members, _)| sockets::assigned(first(members), local.ip()));
    }
    let for_this_connection_only = spaces.len() > 1;
    if for_this_connection_only {
        let connected = |pid, from, to| sockets::connected(pid, from, to).is_some();
        // The other end of a loopback connection is in the same namespace, and may be what is left of it.
        spaces.retain(|(members, _)| {
            connected(first(members), local, peer) || connected(first(members), peer, local)
        });
    }
    let holder = match spaces.as_slice() {
        [(members, inodes)] => pick(holders(members, inodes)),
        _ => None,
    };
    Found { holder, for_this_connection_only }
}

/// Every process that /proc shows.
pub(super) fn all() -> Vec<i32> {
    all_processes()
        .map(|processes| processes.flatten().map(|process| process.pid()).collect())
        .unwrap_or_default()
}

/// The program of a cgroup whose descriptors may not be read, when it is the only one there and listens
/// for the connection: what an agent without CAP_SYS_PTRACE can still tell.
pub(super) fn only_program(pids: &[i32], connection: &Connection) -> Option<Holder> {
    let denied = |pid: &i32| {
        fs::metadata(namespace(*pid))
            .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    let listens = |pid: &i32| !sockets::listeners(*pid, connection.local).is_empty();
    if connection.role != Role::Server
        || !pids.iter().all(denied)
        || !pids.first().is_some_and(listens)
    {
        return None;
    }
    let all: Vec<Holder> = pids.iter().map(|pid| Holder::new(*pid, None)).collect::<Option<_>>()?;
    let name = &all.first()?.process.name;
    all.iter().all(|holder| holder.process.name == *name).then(|| pick(all.clone()))?
}

fn sockets_of(pid: i32, connection: &Connection) -> Vec<u64> {
    match connection.role {
        Role::Server => sockets::listeners(pid, connection.local),
        Role::Client => sockets::connected(pid, connection.local, connection.peer)
            .filter(|inode| *inode != 0)
            .into_iter()
            .collect(),
    }
}

/// The processes by network namespace, those left out whose namespace may not be read.
pub(super) fn namespaces(pids: &[i32]) -> BTreeMap<u64, Vec<i32>> {
    let mut spaces: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for pid in pids {
        if let Ok(namespace) = fs::metadata(namespace(*pid)) {
            spaces.entry(namespace.ino()).or_default().push(*pid);
        }
    }
    spaces
}

/// The processes with a descriptor of one of the sockets.
fn holders(pids: &[i32], inodes: &[u64]) -> Vec<Holder> {
    let targets: Vec<PathBuf> =
        inodes.iter().map(|inode| format!("socket:[{inode}]").into()).collect();
    let holds = |pid: &i32| {
        let entries = fs::read_dir(descriptors(*pid)).ok()?;
        let held = entries.flatten().map(|entry| entry.path()).find_map(|descriptor| {
            let target = fs::read_link(&descriptor).ok()?;
            targets.contains(&target).then_some((descriptor, target))
        })?;
        Holder::new(*pid, Some(held))
    };
    pids.iter().filter_map(holds).collect()
}

/// Reading it takes the same right as reading where descriptors lead.
fn namespace(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("ns/net")
}

fn descriptors(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("fd")
}

/// One of several that share a socket: the lowest pid among those that are no parent of another. So a
/// pre-forking server's worker is named and not its master, and a service and not the systemd that
/// opened the socket for it. Which of the workers it was cannot be told.
fn pick(holders: Vec<Holder>) -> Option<Holder> {
    let parents: Vec<i32> = holders.iter().map(|holder| holder.parent).collect();
    holders
        .into_iter()
        .filter(|holder| !parents.contains(&holder.process.pid.cast_signed()))
        .min_by_key(|holder| holder.process.pid)
}
