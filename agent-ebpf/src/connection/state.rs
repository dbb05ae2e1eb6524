//! A connection's state and where it is kept: in the socket's own storage, freed with it.

use core::{
    mem::{MaybeUninit, offset_of, size_of},
    ptr::null_mut,
};

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{bpf_jiffies64, bpf_sk_storage_get},
    macros::btf_map,
};
use wstap_common::{
    counters::Counter,
    frame::Walk,
    record::{flags, half},
    stream::{RequestHalf, ResponseHalf},
};

use crate::{
    arguments,
    counters::count,
    ring::debug_log::{self, ws_log_event},
};

/// The state of every connection that spoke HTTP, freed with its socket. Each half is written by the
/// hook of its direction alone.
#[btf_map]
static STREAMS: SkStorage<Stream> = SkStorage::new();

/// The frame walks of every connection that was upgraded, freed with its socket. Each walk is written
/// by the hook of its direction alone.
#[btf_map]
static TUNNELS: SkStorage<Tunnel> = SkStorage::new();

/// The state of a connection that spoke HTTP, 52 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Stream {
    pub request: RequestHalf,
    pub response: ResponseHalf,
    /// A value of `record::role`. Written once.
    pub role: u8,
    /// Whether a record of the request half was lost.
    pub request_lost: u8,
    /// Whether a record of the response half was lost.
    pub response_lost: u8,
    /// Bits of `record::flags` that every record of the connection has: `FOUND` or none. Written once.
    pub flags: u8,
    /// The epoch of the last candidate, with [`SHED`], when it was not told because the ring was crowded. Written by
    /// the request half's hook.
    shed: u32,
}

/// A bit of [`Stream::shed`]: there was such a candidate.
const SHED: u32 = 1 << 16;

/// The walks of a connection that was upgraded. Each has a cache line of its own, since the two directions' hooks run on
/// different CPUs; the first line is hardly ever written.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Tunnel {
    /// When the 101's head ended, or since when an older connection is followed (CLOCK_MONOTONIC, ns); 0
    /// before.
    pub opened_ns: u64,
    /// CLOCK_MONOTONIC less the kernel's count of ticks as time, to a tick.
    ticks_behind_ns: u64,
    /// Whose bytes those that go out and those that come in are ([`part`]), once they are frames for the rest of the
    /// connection. Each is written by the hook of its direction.
    parts: [u8; 2],
    // In a socket's storage the value begins 8 bytes behind a line's beginning (`struct bpf_local_storage_data`).
    reserved: [u8; LINE - 8 - 18],
    pub request: Walk,
    pub response: Walk,
}

/// The size of a cache line.
const LINE: usize = 64;

/// Values of [`Tunnel::parts`]; 0 is not known yet.
mod part {
    pub const REQUEST: u8 = 1;
    pub const RESPONSE: u8 = 2;
}

/// How long a tick of the kernel's is. Written by the loader.
#[unsafe(no_mangle)]
static TICK_NS: u64 = 0;

/// The kernel's count of ticks as time: a read of memory, where CLOCK_MONOTONIC is one of a device.
#[inline(always)]
fn ticks_ns() -> u64 {
    // SAFETY: the helper has no preconditions; the loader may have written another value than the one that the
    // compiler sees.
    unsafe { bpf_jiffies64().wrapping_mul((&raw const TICK_NS).read_volatile()) }
}

impl Stream {
    pub fn new(request_next: u32, role: u8) -> Self {
        Self {
            request: RequestHalf::new(request_next),
            response: ResponseHalf::default(),
            role,
            request_lost: 0,
            response_lost: 0,
            flags: 0,
            shed: 0,
        }
    }

    /// The state of a connection that carries frames and whose 101 was not seen.
    pub fn found(role: u8) -> Self {
        Self {
            request: RequestHalf::found(),
            response: ResponseHalf::found(),
            flags: flags::FOUND,
            ..Self::new(0, role)
        }
    }

    /// A record of this half was lost.
    ///
    /// # Safety
    /// The stream must live, and this be the half's own hook.
    #[inline(always)]
    pub unsafe fn lose(this: *mut Self, half: u8) {
        // SAFETY: as the caller vouches; each byte has one writer.
        unsafe {
            if half == half::REQUEST {
                (*this).request_lost = 1;
            } else {
                (*this).response_lost = 1;
            }
        }
    }

    /// The role of a connection, and the flags of its records beside `flags`.
    ///
    /// # Safety
    /// The stream must live.
    #[inline(always)]
    pub unsafe fn role_and_flags(this: *const Self, flags: u8) -> (u8, u8) {
        // SAFETY: as the caller vouches; these are single bytes.
        let (role, lost, flags) = unsafe {
            ((*this).role, (*this).request_lost | (*this).response_lost, (*this).flags | flags)
        };
        (role, if lost == 0 { flags } else { flags | flags::LOST })
    }

    /// Whether the candidate is not told because the ring was crowded when it came.
    ///
    /// # Safety
    /// The stream must live.
    #[inline(always)]
    pub unsafe fn is_shed(this: *const Self, epoch: u16) -> bool {
        // SAFETY: as the caller vouches; an aligned word with one writer.
        unsafe { (&raw const (*this).shed).read_volatile() == SHED | u32::from(epoch) }
    }

    /// Sheds a candidate: a handshake that cannot be told whole is not told at all, which costs the traffic the least.
    ///
    /// # Safety
    /// The stream must live, and this be the request half's hook.
    #[inline(always)]
    pub unsafe fn shed(this: *mut Self, epoch: u16) {
        count(Counter::Shed);
        // SAFETY: as the caller vouches.
        unsafe { (&raw mut (*this).shed).write_volatile(SHED | u32::from(epoch)) };
    }

    /// No candidate is shed: what was shed before would else be believed of another one, 65,536 later.
    ///
    /// # Safety
    /// As [`Self::shed`].
    #[inline(always)]
    pub unsafe fn shed_none(this: *mut Self) {
        // SAFETY: as the caller vouches.
        unsafe { (&raw mut (*this).shed).write_volatile(0) };
    }

    /// The stored state of a socket, or null.
    #[inline(always)]
    pub fn of(sk: *mut bpf_sock) -> *mut Self {
        // SAFETY: `sk` is a full socket, as the caller and the verifier checked.
        unsafe { bpf_sk_storage_get(map(&STREAMS), sk.cast(), null_mut(), 0) }.cast()
    }

    /// Stores `self` as the state of a socket; null, and counted, when the kernel refuses.
    #[inline(always)]
    pub fn store(mut self, sk: *mut bpf_sock) -> *mut Self {
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let value = (&raw mut self).cast();
        // SAFETY: as above; the kernel copies the value.
        let stored = unsafe { bpf_sk_storage_get(map(&STREAMS), sk.cast(), value, create) };
        if stored.is_null() {
            ws_log_event(debug_log::STATE_REFUSED);
        }
        stored.cast()
    }
}

/// Walks that have not begun, all zero, as the kernel makes them in a socket's storage.
// Not on the stack, which is too small for it where the probes need it.
static EMPTY: MaybeUninit<Tunnel> = MaybeUninit::zeroed();

impl Tunnel {
    /// No walk has begun.
    #[inline(always)]
    pub fn empty() -> &'static Self {
        // SAFETY: numbers, of which all are valid.
        unsafe { EMPTY.assume_init_ref() }
    }

    /// The 101's head ended, or an older connection was found.
    #[inline(always)]
    pub fn open(&mut self, now_ns: u64) {
        self.ticks_behind_ns = now_ns.wrapping_sub(ticks_ns());
        self.opened_ns = now_ns;
    }

    /// The time on CLOCK_MONOTONIC, to a tick; only of a tunnel that was opened.
    #[inline(always)]
    pub fn coarse_ns(&self) -> u64 {
        self.ticks_behind_ns.wrapping_add(ticks_ns())
    }

    /// From here on the bytes of this direction are frames.
    #[inline(always)]
    pub fn settle(&mut self, incoming: bool, from_client: bool) {
        let part = if from_client { part::REQUEST } else { part::RESPONSE };
        let [outgoing, ingoing] = &mut self.parts;
        let own = if incoming { ingoing } else { outgoing };
        if *own != part && self.opened_ns != 0 {
            *own = part;
        }
    }

    /// The walk of a direction whose bytes are frames for the rest of the connection, and whether the client sends
    /// them.
    #[inline(always)]
    pub fn settled(&mut self, incoming: bool) -> Option<(&mut Walk, bool)> {
        let [outgoing, ingoing] = self.parts;
        match if incoming { ingoing } else { outgoing } {
            part::REQUEST => Some((&mut self.request, true)),
            part::RESPONSE => Some((&mut self.response, false)),
            _ => None,
        }
    }

    /// The stored walks of a socket, or null; made, all zero, when `create` is set.
    #[inline(always)]
    pub fn of(sk: *mut bpf_sock, create: bool) -> *mut Self {
        let flags = if create { u64::from(BPF_SK_STORAGE_GET_F_CREATE) } else { 0 };
        // SAFETY: `sk` is a full socket, as the caller and the verifier checked.
        let stored = unsafe { bpf_sk_storage_get(map(&TUNNELS), sk.cast(), null_mut(), flags) };
        if create && stored.is_null() {
            ws_log_event(debug_log::STATE_REFUSED);
        }
        stored.cast()
    }

    /// The walk of the half that `args` names.
    // VERIFIER: computed, not chosen: 5.10 and 6.1 go on from a choice once for each half.
    #[inline(always)]
    pub fn half(&mut self, args: u32) -> &mut Walk {
        let mut walk: *mut Walk = (&raw mut *self).cast();
        // SAFETY: `walk` is moved on to the request, and when the bit of `args` is not set, from there to the response.
        unsafe {
            core::arch::asm!(
                "{half} >>= {bit}",
                "{half} &= 1",
                "{half} += -1",
                "{half} &= {between}",
                "{walk} += {half}",
                "{walk} += {request}",
                half = inout(reg) u64::from(args) => _,
                walk = inout(reg) walk,
                bit = const arguments::REQUEST.trailing_zeros(),
                between = const offset_of!(Tunnel, response) - offset_of!(Tunnel, request),
                request = const offset_of!(Tunnel, request),
            );
            &mut *walk
        }
    }
}

/// A map's address, as the helpers want it.
#[inline(always)]
fn map<T>(map: &'static T) -> *mut core::ffi::c_void {
    core::ptr::from_ref(map).cast_mut().cast()
}

const _: () =
    assert!(size_of::<Tunnel>() == 3 * LINE - 8, "with the kernel's own 72 bytes it fills 256");
