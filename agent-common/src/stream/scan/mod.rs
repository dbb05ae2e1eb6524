//! What a segment holds: what it begins with, whether a handshake's own word stands in it, where a head ends.
//!
//! Each scan is a method of a trait, beside the function that does it: the kernel's view of a packet runs it as a global
//! function, which the verifier checks once, however often it is called.

mod head;
mod start;
mod word;

pub use head::{
    CRLF_CRLF, HEAD_END_SCAN, HeadScan, STATUS_LINE, Which, chunk_head_end, ends_head, head_end,
    head_end_near, push_tail, status_line,
};
pub use start::{Start, is_lone_preamble, start};
pub use word::{Buffer, GROUP, SCAN, WordScan, is_get, is_plain_get, names_websocket, sign, signs};

/// A payload with every scan that the machine asks for.
pub trait Scan: WordScan + HeadScan {}

impl<P: WordScan + HeadScan + ?Sized> Scan for P {}
