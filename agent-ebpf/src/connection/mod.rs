//! A connection: its state, and the ways in which a segment is taken to it.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};

use self::state::Stream;
use crate::arguments;

pub mod adopt;
pub mod fast_path;
pub mod frame_walk;
pub mod listened;
pub mod state;
pub mod summary;

/// The state of a packet's connection, which the listener's table has while its socket is the listener.
#[inline(always)]
pub fn stream(skb: *mut __sk_buff, sk: *mut bpf_sock, args: u32) -> Option<*mut Stream> {
    let stream = if args & arguments::LISTENER == 0 { Stream::of(sk) } else { listened::of(skb)? };
    if stream.is_null() { None } else { Some(stream) }
}
