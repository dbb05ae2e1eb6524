//! A call that moves plaintext, from its beginning to its return.
//!
//! What a program sends is taken as the call begins, since a library may write to the socket within it; what it receives is
//! taken as the call returns. A call that is refused for now (`SSL_ERROR_WANT_WRITE`) is made again with the same bytes,
//! and the machine knows them by their number.

use aya_ebpf::{
    btf_maps::{HashMap, LruHashMap},
    helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::btf_map,
};

use super::{
    end::{at, ended, peer_ends},
    socket::wrote,
};
use crate::{
    arguments::{self, pair},
    atomic::add_long,
    hooks::probe::{connection::Connection, segment::segment},
    verifier::forget_bounds,
};

/// A call under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Call {
    /// The connection: [`key`].
    pub key: u64,
    /// Where the plaintext is, or will be.
    pub buffer: u64,
    /// Where the library writes how much it was; 0 when the call returns that.
    pub length_at: u64,
    /// Bits: [`SENDS`], [`EXTENDED`], [`TELLS_END`].
    pub kind: u64,
}

/// The program sends.
pub const SENDS: u64 = 1;
/// The library writes elsewhere how much was moved, and returns 1.
pub const EXTENDED: u64 = 2;
/// It returns 0 when the peer's close_notify was read (SSL_read(3)).
pub const TELLS_END: u64 = 4;

/// The calls under way, by the thread or goroutine that makes them. When it is full, what a call receives is not read.
#[btf_map]
static TLS_CALLS: HashMap<u64, Call, 8192> = HashMap::new();

/// How often each process was interrupted: user space lets go of those that pay too much. When more call than there is
/// room for, the one that was quiet longest begins anew.
#[btf_map]
static TLS_HITS: LruHashMap<u32, u64, 1024> = LruHashMap::new();

/// No call moves more (the length is an `int`).
const LENGTH_MAX: u64 = 0x7fff_ffff;

#[inline(always)]
pub fn thread() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_pid_tgid() }
}

#[inline(always)]
pub fn process() -> u32 {
    (thread() >> 32) as u32
}

/// A connection's key in the table that it shares with sockets' addresses: the process and the object. User addresses have
/// 47 bits and objects are aligned to 16; of a process id 21 bits are left, so the state has all of it ([`Connection::process`]).
#[inline(always)]
pub fn key(object: u64) -> u64 {
    u64::from(process()) << 43 | object >> 4 & ((1 << 43) - 1)
}

/// A call begins that is to move up to `length` bytes.
#[inline(always)]
pub fn begins(caller: u64, call: &Call, length: u64) {
    count_hit();
    if is_anothers(call.key) {
        return;
    }
    let _ = TLS_CALLS.insert(caller, call, 0);
    if call.kind & SENDS != 0 {
        let length = if length < LENGTH_MAX { length } else { LENGTH_MAX };
        // VERIFIER: as in `calls::take` of the probes.
        let length = forget_bounds(length, call.key) as u32;
        if length > 0 {
            let seq = Connection::seq(call.key, arguments::TLS);
            segment(call.key, call.buffer, pair(arguments::TLS, length), seq);
            wrote(call.key, length);
        }
    }
}

/// The call returns: how many bytes it moved, or what the library returns for "none".
#[inline(always)]
pub fn returns(caller: u64, result: i32) {
    let Some(call) = TLS_CALLS.get_ptr(caller) else { return };
    // SAFETY: the entry lives as long as the program runs.
    let call = unsafe { *call };
    let _ = TLS_CALLS.remove(caller);
    let mut moved = result;
    if call.length_at != 0 && result == 1 {
        let mut length = 0_u64;
        // SAFETY: `length` has eight bytes.
        let got =
            unsafe { bpf_probe_read_user((&raw mut length).cast(), 8, call.length_at as *const _) };
        if got != 0 {
            return;
        }
        moved = (length & LENGTH_MAX) as i32;
    }
    if moved > 0 {
        move_on(&call, moved as u32);
    } else if moved == 0 && call.kind & TELLS_END != 0 {
        peer_ends(call.key);
    }
}

/// So many bytes were sent or received.
#[inline(always)]
fn move_on(call: &Call, bytes: u32) {
    let key = call.key;
    if call.kind & SENDS == 0 {
        let bytes = forget_bounds(u64::from(bytes), key) as u32;
        let way = arguments::TLS | arguments::INCOMING;
        segment(key, call.buffer, pair(way, bytes), Connection::seq(key, way));
    }
    // SAFETY: not null means that it lives as long as the program runs; each word has one writer.
    let Some(connection) = (unsafe { Connection::of(key).as_mut() }) else { return };
    if call.kind & SENDS == 0 {
        connection.received = connection.received.wrapping_add(bytes);
    } else {
        connection.sent = connection.sent.wrapping_add(bytes);
    }
}

/// The program says that it sends no more.
#[inline(always)]
pub fn closes(object: u64) {
    count_hit();
    let key = key(object);
    // SAFETY: not null means that it lives as long as the program runs.
    let known = unsafe { Connection::of(key).as_ref() }.is_some_and(|one| one.socket != 0);
    if known && !is_anothers(key) {
        ended(key, at::LOCAL);
    }
}

/// Whether the state under this key is another process's whose id has the same lower bits.
#[inline(always)]
fn is_anothers(key: u64) -> bool {
    // SAFETY: not null means that it lives as long as the program runs; the word is written once.
    match unsafe { Connection::of(key).as_ref() } {
        Some(connection) => connection.process != process(),
        None => false,
    }
}

#[inline(always)]
fn count_hit() {
    let process = process();
    if let Some(hits) = TLS_HITS.get_ptr_mut(process) {
        // SAFETY: it lives as long as the program runs.
        add_long(unsafe { &mut *hits }, 1);
    } else {
        let _ = TLS_HITS.insert(process, &1, 0);
    }
}
