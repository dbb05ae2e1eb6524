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
    flows::{Flow, PLACES},
    hooks::probe::{Call, Connection},
    room::Reading,
    streams::{Stream, Tunnel},
};

/// The ring to user space, of the size that the loader says. Written by all hooks.
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

/// What is known of connections whose next segments can be handled without their state, of the last one at each place:
/// cheaper than a look-up of the state. One whose place was taken is handled the general way, and takes it back. Written by
/// the packets' hooks.
#[btf_map]
pub static FLOWS: Array<Flow, PLACES> = Array::new();

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

/// Of the probe family: the calls that are under way and whose end must know how they began, by their thread. When it is
/// full, what a call brings is not read, and counted.
#[btf_map]
pub static CALLS: HashMap<u64, Call, 8192> = HashMap::new();

/// Each CPU's room for a large read. Written by all hooks, in turn.
#[btf_map]
pub static READINGS: PerCpuArray<Reading, 1> = PerCpuArray::new();

/// The counters of [`Counter`]. Written by all hooks.
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, COUNT> = PerCpuArray::new();

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
