//! A connection's state and where it is kept: in the socket's own storage, freed with it.

use core::{mem::size_of, ptr::null_mut};

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::generated::bpf_sk_storage_get,
};
use wstap_common::{
    frame::Walk,
    record::{Record, Summary, flags},
    stream::{RequestHalf, ResponseHalf},
};

use crate::{
    maps::{STREAMS, TUNNELS},
    rare::{self, ws_rare},
};

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
    pub shed: u32,
}

/// A bit of [`Stream::shed`]: there was such a candidate.
pub const SHED: u32 = 1 << 16;

/// The walks of a connection that was upgraded.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Tunnel {
    /// When the 101's head ended, or since when an older connection is followed (CLOCK_MONOTONIC, ns); 0
    /// before.
    pub opened_ns: u64,
    pub request: Walk,
    pub response: Walk,
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
            ws_rare(rare::STATE_REFUSED);
        }
        stored.cast()
    }
}

impl Tunnel {
    /// The stored walks of a socket, or null; made, all zero, when `create` is set.
    #[inline(always)]
    pub fn of(sk: *mut bpf_sock, create: bool) -> *mut Self {
        let flags = if create { u64::from(BPF_SK_STORAGE_GET_F_CREATE) } else { 0 };
        // SAFETY: `sk` is a full socket, as the caller and the verifier checked.
        let stored = unsafe { bpf_sk_storage_get(map(&TUNNELS), sk.cast(), null_mut(), flags) };
        if create && stored.is_null() {
            ws_rare(rare::STATE_REFUSED);
        }
        stored.cast()
    }

    /// Writes what a socket's walks know behind a record; all zero when there are none.
    ///
    /// # Safety
    /// `record` and `summary` must be valid for writes.
    #[inline(always)]
    pub unsafe fn write_summary(sk: *mut bpf_sock, record: *mut Record, summary: *mut Summary) {
        // SAFETY: the caller vouches for the places; a tunnel that is not null lives as long as the
        // program runs.
        unsafe { Self::write(Self::of(sk, false).as_ref(), record, summary) }
    }

    /// As [`Self::write_summary`], of these walks.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn write(tunnel: Option<&Self>, record: *mut Record, summary: *mut Summary) {
        // SAFETY: the caller vouches for the places.
        unsafe {
            (*record).len = size_of::<Summary>() as u16;
            match tunnel {
                Some(tunnel) => {
                    if tunnel.opened_ns != 0 {
                        (*record).flags |= flags::TUNNEL;
                    }
                    (*summary).opened_ns = tunnel.opened_ns;
                    (*summary).request = tunnel.request.summary();
                    (*summary).response = tunnel.response.summary();
                }
                None => *summary = Summary::default(),
            }
        }
    }
}

/// A map's address, as the helpers want it.
#[inline(always)]
fn map<T>(map: &'static T) -> *mut core::ffi::c_void {
    core::ptr::from_ref(map).cast_mut().cast()
}
