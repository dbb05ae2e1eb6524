//! A connection's state, by its socket's address.

use core::ptr::null_mut;

use aya_ebpf::{
    btf_maps::HashMap,
    helpers::generated::{
        bpf_get_current_ancestor_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
        bpf_ktime_get_ns,
    },
    macros::btf_map,
};
use wstap_common::{
    layout::Field,
    record::{flags, role},
};

use super::layout::member;
use crate::{
    arguments,
    connection::state::{Stream, Tunnel},
    ring::debug_log::{self, ws_log_event},
};

/// The state of every connection that spoke HTTP, by its socket's address, until the socket ends.
/// The loader makes it small where there are no probes. When it is full, new connections are not followed, and counted.
// VERIFIER: not the sockets' storage: 5.10 gives it to no program of the family ("unknown func
// bpf_sk_storage_get").
#[btf_map]
static CONNECTIONS: HashMap<u64, Connection, 8192> = HashMap::new();

/// The frame walks of every connection that was upgraded, by its socket's address.
#[btf_map]
static WALKS: HashMap<u64, Tunnel, 8192> = HashMap::new();

/// The state of a connection that spoke HTTP, 88 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Connection {
    /// Unique while the machine runs.
    pub cookie: u64,
    /// Of a unix socket: how many bytes were sent since the state was made, modulo 2^32.
    pub sent: u32,
    /// As `sent`, of what was received.
    pub received: u32,
    /// Whether its owner was told.
    pub named: u32,
    /// Which ends were told: bits of [`ended`].
    pub ended: u32,
    pub stream: Stream,
    /// Of the TLS family: the process, of whose id the key has not all.
    pub process: u32,
    /// Of the TLS family: the cookie of the socket that its records go through; 0 until that is found.
    pub socket: u64,
}

/// Bits of [`Connection::ended`].
pub mod ended {
    pub const LOCAL: u32 = 1;
    pub const PEER: u32 = 2;
}

/// The cgroup v2 id below which processes are looked at; 0 for all. Written by the loader.
#[unsafe(no_mangle)]
static SCOPE: u64 = 0;

/// How deep cgroups are nested at most where [`SCOPE`] is looked for.
const LEVELS: i32 = 16;

/// Bit of a cookie that no socket's own cookie has.
const OURS: u64 = 1 << 63;

impl Connection {
    /// The stored state of a socket, or null.
    #[inline(always)]
    pub fn of(sk: u64) -> *mut Self {
        CONNECTIONS.get_ptr_mut(sk).unwrap_or(null_mut())
    }

    /// Makes the state of a socket whose first request begins at `seq`; null when the kernel has no room, and
    /// that is counted, or when the process is out of scope.
    #[inline(always)]
    pub fn begin(sk: u64, args: u32, seq: u32) -> *mut Self {
        if !in_scope() {
            return null_mut();
        }
        let role = if args & arguments::INCOMING != 0 { role::SERVER } else { role::CLIENT };
        let mut stream = Stream::new(seq, role);
        if args & arguments::TLS != 0 {
            stream.flags = flags::TLS;
        } else if args & arguments::TCP == 0 {
            stream.flags = flags::UNIX;
        }
        // SAFETY: the helpers have no preconditions.
        let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
        let cookie = OURS | now << 8 | u64::from(cpu & 0xff);
        let new = Self {
            cookie,
            sent: 0,
            received: 0,
            named: 0,
            ended: 0,
            stream,
            process: process(),
            socket: 0,
        };
        if CONNECTIONS.insert(sk, &new, 0).is_err() {
            ws_log_event(debug_log::STATE_REFUSED);
        }
        Self::of(sk)
    }

    /// The sequence number of the next byte that the program sends or, `incoming`, receives. TCP has one;
    /// a unix socket's is how many bytes there were.
    #[inline(always)]
    pub fn seq(sk: u64, args: u32) -> u32 {
        let incoming = args & arguments::INCOMING != 0;
        if args & arguments::TCP != 0 {
            let place = if incoming { Field::CopiedSeq } else { Field::WriteSeq };
            return member(sk, place).unwrap_or(0);
        }
        // SAFETY: not null means that it lives as long as the program runs; each word has one writer.
        match unsafe { Self::of(sk).as_ref() } {
            Some(connection) if incoming => connection.received,
            Some(connection) => connection.sent,
            None => 0,
        }
    }

    /// The socket ends.
    #[inline(always)]
    pub fn forget(sk: u64) {
        let _ = CONNECTIONS.remove(sk);
        let _ = WALKS.remove(sk);
    }
}

/// The process that makes the call.
#[inline(always)]
fn process() -> u32 {
    // SAFETY: the helper has no preconditions.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// The stored walks of a socket, or null; made, all zero, when `create` is set.
#[inline(always)]
pub fn walks(sk: u64, create: bool) -> *mut Tunnel {
    if let Some(walks) = WALKS.get_ptr_mut(sk) {
        return walks;
    }
    if create && wp_make_walks(sk) == 0 {
        ws_log_event(debug_log::STATE_REFUSED);
        return null_mut();
    }
    if create { WALKS.get_ptr_mut(sk).unwrap_or(null_mut()) } else { null_mut() }
}

/// Stores empty walks.
// VERIFIER: a function of its own, for its stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_make_walks(sk: u64) -> u32 {
    u32::from(WALKS.insert(sk, Tunnel::empty(), 0).is_ok())
}

/// Whether the process is among those that are looked at.
#[inline(always)]
fn in_scope() -> bool {
    // SAFETY: the loader may have written another value than the one that the compiler sees.
    let scope = unsafe { (&raw const SCOPE).read_volatile() };
    if scope == 0 {
        return true;
    }
    let mut level = 0;
    while level < LEVELS {
        // SAFETY: the helper has no preconditions.
        if unsafe { bpf_get_current_ancestor_cgroup_id(level) } == scope {
            return true;
        }
        level += 1;
    }
    false
}
