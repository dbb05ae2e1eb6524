//! Which container has an address: the other end of a connection, when it is a container of this host.
//!
//! Its socket is often closed by the time of the event, but a pod's address is its own. So all namespaces are
//! read, now and then, and remembered by address. Containers that share the host's namespace are not found.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{container::Place, holder, sockets};

/// At most so many addresses are remembered; more are left out, and counted.
pub const ADDRESSES: usize = 16_384;
/// What was read is used for so long: a container that starts is known after that time.
const REREAD: Duration = Duration::from_secs(5);

/// The containers of each address: those whose processes are in the namespace that has it.
#[derive(Debug, Default)]
pub(super) struct Peers {
    containers: HashMap<IpAddr, BTreeSet<String>>,
    read: Option<Instant>,
}

impl Peers {
    /// Whether it is time to read again.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.read.is_none_or(|read| now >= read + REREAD)
    }

    /// Reads all namespaces; answers how many addresses were left out.
    pub(super) fn read(&mut self, now: Instant) -> u64 {
        self.containers.clear();
        self.read = Some(now);
        let mut beyond = 0;
        for members in holder::namespaces(&holder::all()).into_values() {
            let Some(first) = members.first() else { continue };
            let containers: BTreeSet<String> = members
                .iter()
                .filter_map(|pid| Place::of_process(pid.cast_unsigned())?.container)
                .collect();
            for address in sockets::addresses(*first) {
                let full = self.containers.len() >= ADDRESSES;
                match self.containers.entry(address) {
                    // Two namespaces have it: nothing tells which is meant.
                    hash_map::Entry::Occupied(mut other) => other.get_mut().clear(),
                    hash_map::Entry::Vacant(_) if full => beyond += 1,
                    hash_map::Entry::Vacant(place) => drop(place.insert(containers.clone())),
                }
            }
        }
        beyond
    }

    /// The containers at an address, among them the one that only holds a pod's namespaces ("pause").
    pub(super) fn containers(&self, address: IpAddr) -> impl Iterator<Item = &String> {
        self.containers.get(&address.to_canonical()).into_iter().flatten()
    }
}
