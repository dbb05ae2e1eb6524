//! Every map, with who writes it.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf, SkStorage},
    macros::btf_map,
};
use wstap_common::{
    counters::{COUNT, Counter},
    stream::older::Evidence,
};

use crate::{
    hooks::probe::{Call, Connection},
    streams::{Stream, Tunnel},
};

/// The ring to user space, 8 MiB unless the loader says otherwise. Written by all hooks.
#[btf_map]
pub static RECORDS: RingBuf<[u8; 0], { 8 << 20 }> = RingBuf::new();

/// The state of every connection that spoke HTTP, freed with its socket. Each half is written by the
/// hook of its direction alone.
#[btf_map]
pub static STREAMS: SkStorage<Stream> = SkStorage::new();

/// The frame walks of every connection that was upgraded, freed with its socket. Each walk is written
/// by the hook of its direction alone.
#[btf_map]
pub static TUNNELS: SkStorage<Tunnel> = SkStorage::new();

/// Of the flows whose walks may be taken quickly, the last one at each place, by its two ports: to look for walks
/// first costs all other traffic a look-up. Another flow with the same ports looks in vain; one whose place was
/// taken is walked the general way, and takes it back. Written by the packets' hooks.
#[btf_map]
pub static FLOWS: Array<u32, FLOWS_MAX> = Array::new();

const FLOWS_MAX: usize = 1 << FLOWS_BITS;
const FLOWS_BITS: u32 = 14;

/// What a request's first segment began on a listening socket, until sock_ops gives it to the
/// connection, which happens in the same softirq. The key is [`crate::identity::Identity::key`]. An entry that is never claimed ages out.
#[btf_map]
pub static LISTENED: LruHashMap<u64, Stream, 4096> = LruHashMap::new();

/// What connections without a state carried lately of what looks like frames, outgoing and incoming, by
/// their sockets' cookies. Each direction is written by its hook alone. When more of them speak in turn
/// than there is room for, the one that was quiet longest is forgotten, and is found later or not at all.
#[btf_map]
pub static OLDER: LruHashMap<u64, [Evidence; 2], 16384> = LruHashMap::new();

/// Of the probe family: the state of every connection that spoke HTTP, by its socket's address, until the socket ends.
/// The loader makes it small where there are no probes. When it is full, new connections are not followed, and counted.
// VERIFIER: not the sockets' storage: 5.10 gives it to no program of the family ("unknown func
// bpf_sk_storage_get").
#[btf_map]
pub static CONNECTIONS: HashMap<u64, Connection, 8192> = HashMap::new();

/// Of the probe family: as [`TUNNELS`], by the socket's address.
#[btf_map]
pub static WALKS: HashMap<u64, Tunnel, 8192> = HashMap::new();

/// Of the probe family: the receiving calls that are under way, by their thread. When it is full, what a
/// call brings is not read, and counted.
#[btf_map]
pub static CALLS: HashMap<u64, Call, 8192> = HashMap::new();

/// The counters of [`Counter`]. Written by all hooks.
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, COUNT> = PerCpuArray::new();

/// Whether the walk of the flow with these ports may be taken quickly ([`FLOWS`]).
#[inline(always)]
pub fn is_quick(ports: [u8; 4]) -> bool {
    // SAFETY: not null means that it is an aligned word of a map's value.
    FLOWS
        .get_ptr(place(ports))
        .is_some_and(|flow| unsafe { flow.read_volatile() } == u32::from_ne_bytes(ports))
}

/// From here on it may.
#[inline(always)]
pub fn hint(ports: [u8; 4]) {
    if let Some(flow) = FLOWS.get_ptr_mut(place(ports)) {
        // SAFETY: as above.
        unsafe { flow.write_volatile(u32::from_ne_bytes(ports)) };
    }
}

/// The place in [`FLOWS`] of a flow: the upper bits of a product with 2^32 divided by the golden ratio (Fibonacci
/// hashing).
#[inline(always)]
const fn place(ports: [u8; 4]) -> u32 {
    u32::from_ne_bytes(ports).wrapping_mul(0x9e37_79b9) >> (u32::BITS - FLOWS_BITS)
}

/// Adds to a word that other CPUs, and programs that interrupt this one, add to as well.
// `core` has no atomic addition for this target, the machine has one (BPF_XADD, Linux 3.18). It gives nothing back: what
// does came with 5.12.
#[inline(always)]
pub fn add(word: &mut u32, number: u32) {
    // SAFETY: the word is aligned, and a reference.
    unsafe {
        core::arch::asm!("lock *(u32 *)({word} + 0) += {number}", word = in(reg) word, number = in(reg) u64::from(number));
    }
}

/// Counts one.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // A softirq may run another hook between the load and the store of a plain increment, and
        // the loss equation must hold exactly. `core` has no atomic addition for this target, the
        // machine has one (BPF_XADD, Linux 3.18).
        // SAFETY: the slot is an aligned u64 that lives as long as the map.
        unsafe {
            core::arch::asm!("lock *(u64 *)({slot} + 0) += {one}", slot = in(reg) slot, one = in(reg) 1_u64);
        }
    }
}
