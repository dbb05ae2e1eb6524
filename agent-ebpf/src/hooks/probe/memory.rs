//! One element of a call as the stream machine reads it, and the scans of it as global functions
//! (`packet/scans.rs` says why they are).

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use wstap_common::{
    payload::{Chunk, Payload},
    stream::{
        older::{self, FrameScan},
        scan::{self, HeadScan, Which, WordScan},
    },
};

use crate::{
    arguments,
    packet::{self, fill, which_of},
};

/// A piece of memory that belongs to a message.
#[derive(Clone, Copy)]
pub struct Memory {
    base: u64,
    /// Its length, and in the upper half bits of [`arguments`], of which `KERNEL` counts here.
    extent: u64,
}

/// Bit of an extent: the memory is the kernel's, not a program's.
const KERNEL: u64 = (arguments::KERNEL as u64) << 32;

impl Memory {
    #[inline(always)]
    pub const fn new(base: u64, extent: u64) -> Self {
        Self { base, extent }
    }

    /// Copies `len` bytes from `offset` to `into`; false when they cannot be read.
    ///
    /// # Safety
    /// `into` must be valid for writes of `len` bytes, and the verifier must see that. The caller knows that
    /// `offset` and `len` lie within the memory.
    #[inline(always)]
    pub unsafe fn copy(&self, offset: u32, into: *mut u8, len: u32) -> bool {
        let from = self.base.wrapping_add(u64::from(offset)) as *const _;
        // SAFETY: the caller vouches for `into`; the helpers refuse addresses that cannot be read.
        unsafe {
            if self.extent & KERNEL == 0 {
                bpf_probe_read_user(into.cast(), len, from) == 0
            } else {
                bpf_probe_read_kernel(into.cast(), len, from) == 0
            }
        }
    }
}

impl Payload for Memory {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.extent as u32
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let len = self.len();
        if offset > len || len - offset < N as u32 {
            return None;
        }
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: `bytes` has N bytes; they lie within the memory.
        if unsafe { self.copy(offset, bytes.as_mut_ptr().cast(), N as u32) } {
            // SAFETY: the helper filled all N bytes.
            Some(unsafe { bytes.assume_init() })
        } else {
            None
        }
    }

    #[inline(always)]
    fn chunk<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Chunk<N>>,
    ) -> &'a Chunk<N> {
        // SAFETY: the room has what is asked for.
        let copy = |into, len| unsafe { self.copy(offset, into, len) };
        // SAFETY: the helper writes so many bytes, or clears them. Of the memory no byte behind its length is read.
        unsafe { fill(room, self.len().saturating_sub(offset), copy) }
    }
}

impl WordScan for Memory {
    #[inline(always)]
    fn names_websocket(&self, offset: u32) -> bool {
        wp_names_word(self.base, self.extent, offset) != 0
    }

    #[inline(always)]
    fn signs(&self, offset: u32) -> u32 {
        wp_signs(self.base, self.extent, offset)
    }
}

impl HeadScan for Memory {
    #[inline(always)]
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        wp_head_end(self.base, self.extent, offset, tail, which as u32)
    }

    #[inline(always)]
    fn chunk_head_end(&self, offset: u32, which: Which, found: u32) -> u32 {
        wp_chunk_end(self.base, self.extent, offset, which as u32, found)
    }

    #[inline(always)]
    fn head_end_near(&self, offset: u32) -> u32 {
        wp_head_end_at(self.base, self.extent, offset)
    }

    #[inline(always)]
    fn status_line(&self, offset: u32, line: u32, tail: u32) -> u64 {
        wp_status_line(self.base, self.extent, offset, line, tail)
    }
}

impl FrameScan for Memory {
    #[inline(always)]
    fn whole_frame(&self, offset: u32) -> u32 {
        older::whole_frame(self, offset)
    }
}

/// [`scan::names_websocket`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_names_word(base: u64, extent: u64, offset: u32) -> u32 {
    u32::from(scan::names_websocket(&Memory::new(base, extent), offset))
}

/// [`scan::signs`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_signs(base: u64, extent: u64, offset: u32) -> u32 {
    let memory = Memory::new(base, extent);
    // SAFETY: the room has what is asked for, and the memory so many bytes from `offset` on.
    let copy = |into, len| unsafe { memory.copy(offset, into, len) };
    packet::signs(memory.len().saturating_sub(offset), copy)
}

/// [`scan::head_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_head_end(base: u64, extent: u64, offset: u32, tail: u32, which: u32) -> u32 {
    scan::head_end(&Memory::new(base, extent), offset, tail, which_of(which))
}

/// [`scan::chunk_head_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_chunk_end(base: u64, extent: u64, offset: u32, which: u32, found: u32) -> u32 {
    scan::chunk_head_end(&Memory::new(base, extent), offset, which_of(which), found)
}

/// [`scan::head_end_near`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_head_end_at(base: u64, extent: u64, offset: u32) -> u32 {
    scan::head_end_near(&Memory::new(base, extent), offset)
}

/// [`scan::status_line`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_status_line(base: u64, extent: u64, offset: u32, line: u32, tail: u32) -> u64 {
    scan::status_line(&Memory::new(base, extent), offset, line, tail)
}
