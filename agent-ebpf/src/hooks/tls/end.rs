//! The end of a connection: whose word came first, and the records of it.
//!
//! What the socket shows (FIN, RST) may come before the program has read what came before it, so it is noted, and told as the
//! socket is closed or the object freed.

use core::mem::size_of;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use wstap_common::{
    record::{Kind, Summary, flags, half, role},
    stream::observe::{Interest, interest},
};

use super::binding::unbind;
use crate::{
    arguments,
    connection::state::Tunnel,
    hooks::probe::connection::{Connection, walks},
    ring::emit::reserve,
};

/// Bits of `Connection::ended`: which ends have said that they send no more, and how.
pub mod at {
    pub const LOCAL: u32 = 1;
    pub const PEER: u32 = 2;
    pub const LOCAL_RST: u32 = 4;
    pub const PEER_RST: u32 = 8;
    /// The peer's word came first.
    pub const PEER_FIRST: u32 = 16;
}

/// One end says that it sends no more; `how` is a bit of [`at`] for it, and one for an RST.
#[inline(always)]
pub fn ended(key: u64, how: u32) {
    // SAFETY: not null means that it lives as long as the program runs; a bit that is lost to another CPU comes again
    // with the socket's close.
    let Some(connection) = (unsafe { Connection::of(key).as_mut() }) else { return };
    if connection.ended & (at::LOCAL | at::PEER) == 0 && how & at::PEER != 0 {
        connection.ended |= at::PEER_FIRST;
    }
    connection.ended |= how;
}

/// The peer's close_notify was read.
#[inline(always)]
pub fn peer_ends(key: u64) {
    ended(key, at::PEER);
}

/// The program frees the object.
#[inline(always)]
pub fn freed(key: u64) {
    // SAFETY: as above.
    let Some(connection) = (unsafe { Connection::of(key).as_ref() }) else { return };
    // Of a socket that is not known nobody can tell whose end came first.
    if connection.socket != 0 && connection.ended & (at::LOCAL | at::PEER) == 0 {
        ended(key, at::LOCAL);
    }
    wt_settle(key);
}

/// Tells the end of a connection to whoever waits for it, and forgets the connection.
// VERIFIER: a global function, see `packet/scans.rs`; it is called from hooks of every kind, so it calls only helpers that all
// of them have.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wt_settle(key: u64) -> u32 {
    // SAFETY: as above.
    let Some(connection) = (unsafe { Connection::of(key).as_mut() }) else { return 0 };
    let stream = &connection.stream;
    let lost = stream.request_lost | stream.response_lost != 0;
    let interest = interest(stream.request.word, stream.response.word, lost);
    if interest != Interest::None {
        let ended = connection.ended;
        let first = if ended & at::PEER_FIRST != 0 { at::PEER } else { at::LOCAL };
        wt_tell_end(key, first);
        wt_tell_end(key, (at::LOCAL | at::PEER) ^ first);
        let answered = if interest == Interest::Lost { flags::ANSWERED } else { 0 };
        tell(key, Kind::Closed, half::REQUEST, answered);
    }
    unbind(connection.socket);
    Connection::forget(key);
    1
}

/// Tells that one end sends no more, when it said so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wt_tell_end(key: u64, end: u32) -> u32 {
    // SAFETY: as above.
    let Some(connection) = (unsafe { Connection::of(key).as_ref() }) else { return 0 };
    if connection.ended & end == 0 {
        return 0;
    }
    let rst = connection.ended & if end == at::PEER { at::PEER_RST } else { at::LOCAL_RST } != 0;
    let requests = (end == at::PEER) == (connection.stream.role == role::SERVER);
    // SAFETY: as above; whoever sent on this half has ended.
    if let Some(tunnel) = unsafe { walks(key, false).as_mut() } {
        tunnel.half(if requests { arguments::REQUEST } else { 0 }).ended(false, rst);
    }
    let half = if requests { half::REQUEST } else { half::RESPONSE };
    tell(key, Kind::Ending, half, if rst { flags::RST } else { 0 });
    1
}

/// A record of the connection with what its walks know.
#[inline(always)]
fn tell(key: u64, kind: Kind, half: u8, flags: u8) {
    let Some(mut entry) = reserve::<{ size_of::<Summary>() }>() else { return };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and a Summary; a connection that is not null lives as long as the program runs.
    unsafe {
        let record = &raw mut (*place).record;
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup = 0;
        (*record).local_addr = [0; 16];
        (*record).peer_addr = [0; 16];
        (*record).local_port = 0;
        (*record).peer_port = 0;
        (*record).kind = kind as u8;
        (*record).half = half;
        if let Some(connection) = Connection::of(key).as_ref() {
            let stream = &connection.stream;
            let lost = stream.request_lost | stream.response_lost != 0;
            (*record).cookie = connection.cookie;
            (*record).role = stream.role;
            (*record).flags = flags | stream.flags | if lost { flags::LOST } else { 0 };
            (*record).epoch = stream.request.word as u16;
            (*record).seq =
                if half == half::REQUEST { stream.request.next } else { stream.response.next };
        } else {
            (*record).cookie = 0;
            (*record).role = 0;
            (*record).flags = flags;
            (*record).epoch = 0;
            (*record).seq = 0;
        }
        Tunnel::write(
            walks(key, false).as_ref(),
            record,
            (&raw mut (*place).content).cast(),
            false,
        );
    }
    entry.submit(0);
}
