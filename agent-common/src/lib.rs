//! The contract between the kernel half and user space, and the stream machine.
//!
//! - [`record`]: what the kernel half tells user space, byte for byte.
//! - [`stream`]: which bytes of a connection are worth telling (pure; the kernel feeds it).
//! - [`payload`]: how the machine reads a segment.
//! - [`counters`]: what the kernel half counts.
//! - [`frame`]: the walk over WebSocket frame headers after a 101 (pure).
//! - [`lock`]: a lock for what one hook may use at a time.
//! - [`layout`]: what the probe family must know of the running kernel.
#![cfg_attr(not(test), no_std)]

pub mod counters;
pub mod frame;
pub mod layout;
pub mod lock;
pub mod payload;
pub mod record;
pub mod stream;
