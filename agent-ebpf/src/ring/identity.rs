//! Who talks to whom: the addresses and ports of a connection as this host sees them.

use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use wstap_common::record::Record;

use crate::packet::{Packet, load};

/// The connection's 4-tuple; IPv4 addresses are mapped into IPv6 (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Identity {
    pub local_addr: [u8; 16],
    pub peer_addr: [u8; 16],
    pub local_port: u16,
    pub peer_port: u16,
}

/// An IPv4 address, given in network byte order, as an IPv6 one.
#[inline(always)]
pub fn mapped(addr: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = addr;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

impl Identity {
    /// Of a packet's connection.
    #[inline(always)]
    pub fn of(packet: &Packet, incoming: bool) -> Option<Self> {
        let (source, target) = if packet.v6 {
            (load::<16>(packet.skb, 8)?, load::<16>(packet.skb, 24)?)
        } else {
            (mapped(load::<4>(packet.skb, 12)?), mapped(load::<4>(packet.skb, 16)?))
        };
        let [from, to] = packet.ports();
        Some(if incoming {
            Self { local_addr: target, peer_addr: source, local_port: to, peer_port: from }
        } else {
            Self { local_addr: source, peer_addr: target, local_port: from, peer_port: to }
        })
    }

    /// The 4-tuple in 64 bits, as the key of the listener's table: a key of its own size would cost
    /// stack in every function that looks it up. Two connections that share a key are told apart by
    /// their sequence numbers.
    #[inline(always)]
    pub fn key(&self) -> u64 {
        let mut key = u64::from(self.local_port) << 16 | u64::from(self.peer_port);
        for addr in [&self.local_addr, &self.peer_addr] {
            let word = u128::from_ne_bytes(*addr);
            key = mix(mix(key, word as u64), (word >> 64) as u64);
        }
        key
    }
}

/// One step of a multiplicative hash (Fibonacci hashing).
#[inline(always)]
const fn mix(key: u64, word: u64) -> u64 {
    let mixed = (key ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// Writes what stands before an IPv4 address that is mapped into IPv6 (see [`mapped`]), by words.
///
/// # Safety
/// `address` must be valid for writes and aligned for words.
#[inline(always)]
unsafe fn map_prefix(address: *mut [u8; 16]) {
    // SAFETY: the caller vouches for the place.
    unsafe {
        address.cast::<u64>().write(0);
        address.cast::<u32>().add(2).write(u32::from_ne_bytes([0, 0, 0xff, 0xff]));
    }
}

/// Writes a packet's addresses and ports into a record, in place: the stack has no room for them.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
pub unsafe fn write_identity(packet: &Packet, incoming: bool, record: *mut Record) {
    let [from, to] = packet.ports();
    // SAFETY: the caller vouches for `record`.
    unsafe {
        let (local, peer) = (&raw mut (*record).local_addr, &raw mut (*record).peer_addr);
        let (source, target) = if incoming { (peer, local) } else { (local, peer) };
        (*record).local_port = if incoming { to } else { from };
        (*record).peer_port = if incoming { from } else { to };
        if packet.v6 {
            bpf_skb_load_bytes(packet.skb.cast(), 8, source.cast(), 16);
            bpf_skb_load_bytes(packet.skb.cast(), 24, target.cast(), 16);
        } else {
            map_prefix(source);
            map_prefix(target);
            bpf_skb_load_bytes(packet.skb.cast(), 12, source.cast::<u8>().add(12).cast(), 4);
            bpf_skb_load_bytes(packet.skb.cast(), 16, target.cast::<u8>().add(12).cast(), 4);
        }
    }
}
