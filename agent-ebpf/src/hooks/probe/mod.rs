//! The probe family: what programs send and receive, taken at the kernel's own functions.
//!
//! When: as a call to a unix socket begins and ends; bytes come in order and once, with the process that moves them.
//! Misses: splice and sendfile (their pages are not read; what they move is a gap), io_uring's zero copy.
//!
//! Nothing here knows a kernel: [`layout`] has what the loader found in its BTF.

mod calls;
pub(super) mod connection;
mod emit;
mod iter;
mod kprobe;
mod layout;
mod memory;
pub(super) mod segment;
mod trace;
