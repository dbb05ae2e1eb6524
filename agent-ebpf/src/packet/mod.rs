//! A packet: its headers, its TCP payload, and the payload as the stream machine reads it.

mod copy;
mod headers;
mod large_read;
mod payload;
mod scans;

pub use copy::fill;
pub use headers::Packet;
pub use large_read::signs;
pub use payload::{SkbPayload, load};
pub use scans::which_of;
