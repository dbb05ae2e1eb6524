//! What the global functions take: bits of `args`, which say what a packet is and what is asked for it, and pairs.

/// It comes in.
pub const INCOMING: u32 = 1;
/// Its socket is a listener.
pub const LISTENER: u32 = 2;
/// It travels in the direction of requests.
pub const REQUEST: u32 = 4;
/// A frame begins at the given offset; the walk is made when there is none.
pub const BEGIN: u32 = 8;
/// The walk joins here.
pub const JOIN: u32 = 16;
/// It is an RST.
pub const RST: u32 = 32;
/// Of a probe: the socket is TCP's, not a unix one.
pub const TCP: u32 = 64;
/// Of a probe: the bytes lie in kernel memory.
pub const KERNEL: u32 = 128;
/// Its half stays with the walk for the rest of the connection.
pub const STAYS: u32 = 256;

/// Of a TLS library's call: the bytes are plaintext, and no socket is known.
pub const TLS: u32 = 512;

/// Two words in one, the first in the upper half: a global function takes five arguments.
#[inline(always)]
pub const fn pair(first: u32, second: u32) -> u64 {
    (first as u64) << 32 | second as u64
}
