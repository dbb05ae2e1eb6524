//! A packet's TCP payload.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};

/// A TCP segment's payload.
#[derive(Clone, Copy)]
pub struct SkbPayload {
    pub(super) skb: *mut __sk_buff,
    pub(super) start: u32,
    pub(super) len: u32,
}

impl SkbPayload {
    /// The payload that begins at offset `start` of the packet.
    #[inline(always)]
    pub fn at(skb: *mut __sk_buff, start: u32) -> Self {
        // SAFETY: the hook's context is valid while the program runs; the verifier checks the field.
        let len = unsafe { (*skb).len };
        Self { skb, start, len: len.saturating_sub(start) }
    }

    /// Where it begins in the packet.
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// Copies `len` bytes from `offset` to `into`; false when they are not all there.
    ///
    /// # Safety
    /// `into` must be valid for writes of `len` bytes, and the verifier must see that.
    #[inline(always)]
    pub unsafe fn copy(&self, offset: u32, into: *mut u8, len: u32) -> bool {
        // SAFETY: the caller vouches for `into`; the helper checks the packet's bounds.
        unsafe { bpf_skb_load_bytes(self.skb.cast(), self.start + offset, into.cast(), len) == 0 }
    }
}

/// The `N` bytes at `offset` of the packet, or `None` when they are not all there.
#[inline(always)]
pub fn load<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: `bytes` has N bytes; the helper checks the packet's bounds.
    let got =
        unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    // SAFETY: the helper filled all N bytes.
    if got == 0 { Some(unsafe { bytes.assume_init() }) } else { None }
}
