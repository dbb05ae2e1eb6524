//! The kernel's structures, read where user space said that this kernel keeps what is wanted.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use wstap_common::layout::{FIELDS, Field, Layout};

/// Written by the loader, then read-only: to the verifier each field is a constant.
#[unsafe(no_mangle)]
static LAYOUT: Layout = [0; FIELDS];

/// One field of the layout.
#[inline(always)]
pub fn field(field: Field) -> u32 {
    // SAFETY: the field is one of the array's; the loader may have written another value than the one
    // that the compiler sees.
    unsafe { (&raw const LAYOUT).cast::<u32>().add(field as usize).read_volatile() }
}

/// What lies at an address of the kernel's; `None` when it cannot be read.
#[inline(always)]
pub fn read<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `value` has room; the helper refuses addresses that cannot be read.
    let got = unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _)
    };
    // SAFETY: the helper filled all of it; `T` is a number or an array of them.
    if got == 0 { Some(unsafe { value.assume_init() }) } else { None }
}

/// A member of the structure at an address.
#[inline(always)]
pub fn member<T: Copy>(address: u64, place: Field) -> Option<T> {
    read(address.wrapping_add(u64::from(field(place))))
}
