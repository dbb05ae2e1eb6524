//! Records of the probe family onto the ring, as `crate::ring::emit` writes those of packets.

use core::mem::size_of;

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns,
    bpf_probe_read_kernel,
};
use wstap_common::{
    counters::Counter,
    layout::Field,
    record::{Kind, NAME, Owner, Record, Summary, half, role},
};

use super::{
    connection::{Connection, walks},
    layout::{field, member},
    memory::Memory,
};
use crate::{
    arguments::{self, pair},
    connection::state::Tunnel,
    counters::count,
    ring::{
        emit::{LARGE, MIDDLE, Meta, PIECES, SMALL, TINY, reserve, submission},
        identity::mapped,
    },
    verifier::with_bounds,
};

const AF_INET: u16 = 2;

/// Sends the bytes of an element that `range` names, an offset and a length; 0 when any of it was lost.
/// `seq` is the element's sequence number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_send_bytes(sk: u64, base: u64, meta: u64, range: u64, seq: u32) -> u32 {
    let (from, len) = ((range >> 32) as u32, range as u32);
    let mut whole = 1;
    let mut done = 0;
    // VERIFIER: as `ws_send_bytes`.
    while done < PIECES * LARGE as u32 && done < len {
        let left = len - done;
        let size = if left > LARGE as u32 { LARGE as u32 } else { left };
        whole &= wp_send_piece(sk, base, meta, pair(from.wrapping_add(done), size), seq);
        done += LARGE as u32;
    }
    whole
}

/// As [`wp_send_bytes`], of at most [`LARGE`] bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_send_piece(sk: u64, base: u64, meta: u64, range: u64, seq: u32) -> u32 {
    let len = range as u32;
    if len <= TINY as u32 {
        send_piece::<TINY>(sk, base, meta, range, seq)
    } else if len <= SMALL as u32 {
        send_piece::<SMALL>(sk, base, meta, range, seq)
    } else if len <= MIDDLE as u32 {
        send_piece::<MIDDLE>(sk, base, meta, range, seq)
    } else {
        send_piece::<LARGE>(sk, base, meta, range, seq)
    }
}

#[inline(always)]
fn send_piece<const N: usize>(sk: u64, base: u64, meta: u64, range: u64, seq: u32) -> u32 {
    let (from, len) = ((range >> 32) as u32, range as u32);
    let Some(mut entry) = reserve::<N>() else { return 0 };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and N bytes; the length is at most N.
    let copied = unsafe {
        let record = &raw mut (*place).record;
        fill(record, sk, meta, seq.wrapping_add(from));
        let len = with_bounds::<N>(len);
        let extent = pair((meta >> 48) as u32, from.wrapping_add(len));
        let memory = Memory::new(base, extent);
        let copied = memory.copy(from, (&raw mut (*place).content).cast(), len);
        (*record).len = if copied { len as u16 } else { 0 };
        copied
    };
    let wake = (meta >> 24) as u8 == half::RESPONSE;
    entry.submit(submission(wake));
    if !copied {
        count(Counter::Unread);
    }
    u32::from(copied)
}

/// Sends what the connection's walks know; 0 when it was lost.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_send_summary(sk: u64, meta: u64, seq: u32) -> u32 {
    let Some(mut entry) = reserve::<{ size_of::<Summary>() }>() else { return 0 };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and a Summary; walks that are not null live as long as
    // the program runs.
    unsafe {
        let record = &raw mut (*place).record;
        fill(record, sk, meta, seq);
        let summary = (&raw mut (*place).content).cast();
        Tunnel::write(walks(sk, false).as_ref(), record, summary, false);
    }
    entry.submit(0);
    1
}

/// Tells who makes the call, and a unix socket's name; 0 when it was lost.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_name(sk: u64, args: u32) -> u32 {
    let Some(mut entry) = reserve::<{ size_of::<Owner>() }>() else { return 0 };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and an Owner; a connection that is not null lives as long as
    // the program runs.
    unsafe {
        let record = &raw mut (*place).record;
        let (role, flags) = match Connection::of(sk).as_ref() {
            Some(connection) => (connection.stream.role, connection.stream.flags),
            None => (role::SERVER, 0),
        };
        let meta = Meta { kind: Kind::Owner, half: half::REQUEST, epoch: 0, flags, role, args };
        fill(record, sk, meta.pack(), 0);
        (*record).len = size_of::<Owner>() as u16;
        let owner: *mut Owner = (&raw mut (*place).content).cast();
        (*owner).process = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*owner).reserved = 0;
        let comm = &raw mut (*owner).comm;
        if bpf_get_current_comm(comm.cast(), size_of_val(&*comm) as u32) != 0 {
            (*owner).comm = [0; 16];
        }
        (*owner).name_len = if args & (arguments::TCP | arguments::TLS) == 0 {
            write_name(sk, role, owner)
        } else {
            0
        };
    }
    entry.submit(1);
    1
}

/// Writes the name of the server's end of a unix socket; gives its length.
///
/// # Safety
/// `owner` must be valid for writes.
#[inline(always)]
unsafe fn write_name(sk: u64, role: u8, owner: *mut Owner) -> u16 {
    // An accepted socket has its listener's name.
    let server = if role == role::SERVER { Some(sk) } else { member(sk, Field::UnixPeer) };
    let Some(address) = server.filter(|sk| *sk != 0).and_then(|sk| member(sk, Field::UnixAddress))
    else {
        return 0;
    };
    let address: u64 = address;
    if address == 0 {
        return 0;
    }
    // With the two bytes of the family.
    let len = member::<u32>(address, Field::UnixLen).unwrap_or(0).wrapping_sub(2);
    if len == 0 || len > NAME as u32 {
        return 0;
    }
    let len = with_bounds::<NAME>(len);
    let from = address.wrapping_add(u64::from(field(Field::UnixPath)));
    // SAFETY: the name has NAME bytes and the length is at most that.
    let got =
        unsafe { bpf_probe_read_kernel((&raw mut (*owner).name).cast(), len, from as *const _) };
    if got == 0 { len as u16 } else { 0 }
}

/// Writes the fixed part of a record; `len` is the caller's.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn fill(record: *mut Record, sk: u64, meta: u64, seq: u32) {
    // SAFETY: the caller vouches for `record`; the helpers have no preconditions; a connection that is
    // not null lives as long as the program runs.
    unsafe {
        (*record).cookie = Connection::of(sk).as_ref().map_or(0, |connection| connection.cookie);
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup = bpf_get_current_cgroup_id();
        if (meta >> 48) as u32 & arguments::TCP != 0 {
            write_identity(record, sk);
        } else {
            (*record).local_addr = [0; 16];
            (*record).peer_addr = [0; 16];
            (*record).local_port = 0;
            (*record).peer_port = 0;
        }
        (*record).seq = seq;
        Meta::write(meta, record);
    }
}

/// Writes the addresses and ports of a TCP socket.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn write_identity(record: *mut Record, sk: u64) {
    // SAFETY: the caller vouches for `record`.
    unsafe {
        if member::<u16>(sk, Field::Family) == Some(AF_INET) {
            (*record).local_addr = mapped(member(sk, Field::LocalV4).unwrap_or_default());
            (*record).peer_addr = mapped(member(sk, Field::PeerV4).unwrap_or_default());
        } else {
            (*record).local_addr = member(sk, Field::LocalV6).unwrap_or_default();
            (*record).peer_addr = member(sk, Field::PeerV6).unwrap_or_default();
        }
        (*record).local_port = member(sk, Field::LocalPort).unwrap_or_default();
        (*record).peer_port = u16::from_be(member(sk, Field::PeerPort).unwrap_or_default());
    }
}
