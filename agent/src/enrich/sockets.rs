//! The kernel's socket tables (`/proc/<pid>/net/tcp`, `tcp6`): which sockets a connection belongs to.
//!
//! In: a process of the network namespace, a connection. Out: socket inodes. Needs no capability.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use procfs::{
    FromBufReadSI as _, current_system_info,
    net::{TcpNetEntries, TcpNetEntry, TcpState},
};

/// The state `TCP_LISTEN` as the table prints it. The kernel prints all of these before any other.
const LISTEN: &str = "0A";

/// The sockets that listen for `local` in the namespace of `pid`: those bound to the very address, else
/// those bound to all of its family, else those bound to `::`, which takes IPv4 too. Several listen at
/// once with `SO_REUSEPORT`.
pub(super) fn listeners(pid: i32, local: SocketAddr) -> Vec<u64> {
    let local = canonical(local);
    let mut found = Vec::new();
    let mut best = 0;
    for entry in read(pid, local, None) {
        let rank = match (canonical(entry.local_address).ip(), local.ip()) {
            (bound, own) if bound == own => 3,
            (IpAddr::V4(bound), IpAddr::V4(_)) if bound.is_unspecified() => 2,
            (IpAddr::V6(bound), IpAddr::V6(_)) if bound.is_unspecified() => 2,
            (IpAddr::V6(bound), IpAddr::V4(_)) if bound.is_unspecified() => 1,
            _ => continue,
        };
        if rank > best {
            found.clear();
            best = rank;
        }
        if rank == best {
            found.push(entry.inode);
        }
    }
    found
}

/// The inode of the socket of this connection in the namespace of `pid`; 0 when it is there but belongs
/// to no process any more (`TIME_WAIT`).
pub(super) fn connected(pid: i32, local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let (local, peer) = (canonical(local), canonical(peer));
    read(pid, local, Some(peer)).into_iter().find_map(|entry| {
        let ends = (canonical(entry.local_address), canonical(entry.remote_address));
        (entry.state != TcpState::Listen && ends == (local, peer)).then_some(entry.inode)
    })
}

/// Whether `address` is one of the namespace of `pid`.
pub(super) fn assigned(pid: i32, address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || addresses(pid).contains(&address)
}

/// The addresses of the namespace of `pid`, without loopback.
pub(super) fn addresses(pid: i32) -> BTreeSet<IpAddr> {
    let read = |file| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
    let (trie, table) = (read("fib_trie"), read("if_inet6"));
    // A leaf of the trie, and on the next line what it is; each stands there twice ("Main" and "Local").
    let leaves = trie.lines().map(str::trim_start).zip(trie.lines().map(str::trim_start).skip(1));
    let v4 = leaves
        .filter(|(_, what)| *what == "/32 host LOCAL")
        .filter_map(|(leaf, _)| leaf.strip_prefix("|-- ")?.parse::<Ipv4Addr>().ok())
        .map(IpAddr::V4);
    let v6 = table
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok())
        .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    v4.chain(v6).filter(|address| !address.is_loopback()).collect()
}

/// The rows with the port of `local` and, if there is a `peer`, with its port; without one listeners only.
/// The other rows are skipped as text: a busy host has many thousands.
fn read(pid: i32, local: SocketAddr, peer: Option<SocketAddr>) -> Vec<TcpNetEntry> {
    let own_port = format!(":{:04X}", local.port());
    let peer_port = peer.map(|peer| format!(":{:04X}", peer.port()));
    let tables: &[&str] = if local.is_ipv4() { &["tcp", "tcp6"] } else { &["tcp6"] };
    let mut rows = "header\n".to_owned();
    for table in tables {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{table}")) else { continue };
        let mut file = BufReader::new(file);
        let mut line = String::new();
        let mut header = true;
        while file.read_line(&mut line).is_ok_and(|read| read > 0) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            if let (false, Some(own), Some(remote), Some(state)) =
                (header, fields.next(), fields.next(), fields.next())
            {
                if peer.is_none() && state != LISTEN {
                    break;
                }
                if own.ends_with(&own_port)
                    && peer_port.as_ref().is_none_or(|port| remote.ends_with(port.as_str()))
                {
                    rows.push_str(&line);
                }
            }
            header = false;
            line.clear();
        }
    }
    TcpNetEntries::from_buf_read(rows.as_bytes(), current_system_info())
        .map(|table| table.0)
        .unwrap_or_default()
}

/// IPv4 on a socket of family IPv6 (`::ffff:192.0.2.1`) is IPv4; scope ids are not in the tables.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
