//! Which socket a TLS object's records go through: no library tells it, but the packet that leaves next on the thread that wrote
//! has a TLS record of just the length that the plaintext makes.
//!
//! The first match binds, both ways exclusively, and is never changed; what contradicts it is counted. A binding gives
//! addresses and the end of the connection, and no verdict.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SOCK_OPS_STATE_CB, BPF_TCP_CLOSE},
    btf_maps::LruHashMap,
    helpers::generated::{bpf_get_current_task, bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::{btf_map, cgroup_skb, sock_ops},
    programs::{SkBuffContext, SockOpsContext},
};
use wstap_common::{
    counters::Counter,
    payload::Payload,
    record::{Kind, half},
};

use super::{
    binding::{bind_to, owner},
    end::{at, ended, wt_settle},
};
use crate::{
    counters::count,
    hooks::probe::connection::Connection,
    packet::Packet,
    ring::{
        emit::{Meta, reserve},
        identity::write_identity,
    },
};

/// What a thread wrote last, while no packet was seen that may be it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Wrote {
    /// The connection; 0 for one that is not followed.
    key: u64,
    /// In plaintext.
    length: u64,
    /// Since when something that this thread wrote waits for its packet.
    since_ns: u64,
    /// How many earlier writes wait, too: a packet that TCP held back leaves later, whoever runs then, so none of these can
    /// be told from the others.
    before: u32,
    /// Whether there were any.
    doubtful: u32,
}

/// How long a write may wait for its packet; one that comes later is not looked for (its connection may be gone).
const WAITS_NS: u64 = 1_000_000_000;

/// By task. When more write at a time than there is room for, the first go, and their connections are bound later.
#[btf_map]
static TLS_WROTE: LruHashMap<u64, Wrote, 8192> = LruHashMap::new();

/// Allows the packet, whatever was seen.
const ALLOW: i32 = 1;
/// A TLS record of application data, and the version that every record has (RFC 8446 section 5.1).
const APPLICATION_DATA: [u8; 2] = [0x17, 3];
/// The most plaintext in a record.
const RECORD_MAX: u64 = 16_384;
/// What a record is longer than its plaintext: the content type and a tag (TLS 1.3); the nonce's explicit part and a tag (TLS 1.2
/// with GCM); a tag (TLS 1.2 with ChaCha20).
const EXTRA: [u64; 3] = [17, 24, 16];
/// How many records of a packet are looked at: a server's first answer in TLS 1.3 may stand behind its session tickets.
const RECORDS: u32 = 4;

/// A program is about to send this much of a connection.
#[inline(always)]
pub fn wrote(key: u64, length: u32) {
    // SAFETY: not null means that it lives as long as the program runs.
    let key = match unsafe { Connection::of(key).as_ref() } {
        Some(connection) if connection.socket == 0 => key,
        // Its packets are known by their socket.
        Some(_) => return,
        None => 0,
    };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let task = task();
    let mut wrote = Wrote { key, length: length.into(), since_ns: now, before: 0, doubtful: 0 };
    if let Some(last) = TLS_WROTE.get_ptr(task) {
        // SAFETY: the entry lives as long as the program runs.
        let last = unsafe { *last };
        if now.wrapping_sub(last.since_ns) < WAITS_NS {
            let others = u32::from(last.key != key);
            wrote.since_ns = last.since_ns;
            wrote.before = last.before + others;
            wrote.doubtful = last.doubtful | others;
        }
    }
    let _ = TLS_WROTE.insert(task, &wrote, 0);
}

#[inline(always)]
fn task() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_task() }
}

/// Packets that go out.
#[cgroup_skb]
pub fn wt_skb_out(context: SkBuffContext) -> i32 {
    let skb = context.skb.skb;
    if let Some(packet) = Packet::parse(skb) {
        if packet.payload.read(0) == Some(APPLICATION_DATA) {
            let _ = bind(skb, &packet);
        }
        note_end(&packet, at::LOCAL, at::LOCAL_RST);
    }
    ALLOW
}

/// Packets that come in.
#[cgroup_skb]
pub fn wt_skb_in(context: SkBuffContext) -> i32 {
    if let Some(packet) = Packet::parse(context.skb.skb) {
        note_end(&packet, at::PEER, at::PEER_RST);
    }
    ALLOW
}

/// The kernel closes a socket.
#[sock_ops]
pub fn wt_sock_ops(context: SockOpsContext) -> u32 {
    if context.op() == BPF_SOCK_OPS_STATE_CB && context.arg(1) == BPF_TCP_CLOSE {
        // SAFETY: the helper takes the hook's own context.
        let cookie = unsafe { bpf_get_socket_cookie(context.ops.cast()) };
        if let Some(key) = owner(cookie) {
            wt_settle(key);
        }
    }
    1
}

#[inline(always)]
fn cookie(skb: *mut __sk_buff) -> u64 {
    // SAFETY: the helper takes the hook's own context.
    unsafe { bpf_get_socket_cookie(skb.cast()) }
}

/// Notes a FIN or an RST of a bound socket.
#[inline(always)]
fn note_end(packet: &Packet, end: u32, rst: u32) {
    if (packet.fin || packet.rst)
        && let Some(key) = owner(cookie(packet.skb))
    {
        ended(key, if packet.rst { end | rst } else { end });
    }
}

/// Binds the connection that this thread wrote to last to the packet's socket, when one of its records has the length.
#[inline(always)]
fn bind(skb: *mut __sk_buff, packet: &Packet) -> Option<()> {
    let task = task();
    let wrote = TLS_WROTE.get_ptr_mut(task)?;
    // SAFETY: the entry lives as long as the program runs, and this task alone writes it.
    let wrote = unsafe { &mut *wrote };
    let (key, length) = (wrote.key, wrote.length);
    if !has_record(packet, if length < RECORD_MAX { length } else { RECORD_MAX }) {
        return None;
    }
    if wrote.before > 0 {
        wrote.before -= 1;
        return None;
    }
    let doubtful = wrote.doubtful != 0;
    let _ = TLS_WROTE.remove(task);
    if doubtful || key == 0 {
        return None;
    }
    let cookie = cookie(skb);
    // SAFETY: not null means that it lives as long as the program runs.
    let connection = unsafe { Connection::of(key).as_mut() }?;
    if connection.socket != 0 || owner(cookie).is_some_and(|other| other != key) {
        count(Counter::TlsContradicted);
        return None;
    }
    bind_to(cookie, key)?;
    connection.socket = cookie;
    count(Counter::TlsBound);
    tell(packet, connection);
    Some(())
}

/// Whether one of the first records is as long as this plaintext makes it.
#[inline(always)]
fn has_record(packet: &Packet, plaintext: u64) -> bool {
    let (mut at, mut number) = (0_u32, 0);
    while number < RECORDS {
        let Some([kind, major, _, high, low]) = packet.payload.read::<5>(at) else { return false };
        if [kind, major] != APPLICATION_DATA {
            return false;
        }
        let length = u64::from(high) << 8 | u64::from(low);
        let extra = length.wrapping_sub(plaintext);
        if extra == EXTRA[0] || extra == EXTRA[1] || extra == EXTRA[2] {
            return true;
        }
        at += 5 + length as u32;
        number += 1;
    }
    false
}

/// Tells the connection's addresses.
#[inline(always)]
fn tell(packet: &Packet, connection: &Connection) {
    let Some(mut entry) = reserve::<0>() else { return };
    let place = entry.as_mut_ptr();
    let stream = &connection.stream;
    // SAFETY: the entry has room for a Record; the helpers take the hook's own context.
    unsafe {
        let record = &raw mut (*place).record;
        (*record).cookie = connection.cookie;
        (*record).time_ns = bpf_ktime_get_ns();
        (*record).cgroup = 0;
        write_identity(packet, false, record);
        (*record).seq = 0;
        let (kind, half, epoch) = (Kind::Bound, half::REQUEST, stream.request.word as u16);
        let meta = Meta { kind, half, epoch, flags: stream.flags, role: stream.role, args: 0 };
        Meta::write(meta.pack(), record);
    }
    entry.submit(0);
}
