//! A segment's payload as the stream machine reads it: by small copies at an offset, which is all
//! that a packet in the kernel can give.

use crate::stream::scan::{self, Which};

/// The largest piece that is read at once. It lives on the BPF stack (512 bytes in all).
pub const CHUNK: usize = 128;

/// The payload of one TCP segment.
pub trait Payload {
    /// How many bytes there are.
    fn len(&self) -> u32;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `N` bytes at `offset`, or `None` when they are not all there.
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// Copies `min(CHUNK, len - offset)` bytes at `offset` into `chunk` and says how many. What
    /// `chunk` holds behind them is unspecified.
    fn chunk(&self, offset: u32, chunk: &mut [u8; CHUNK]) -> u32;

    /// Whether the word `websocket` stands in the first bytes from `offset`; see
    /// [`scan::names_websocket`], which the kernel's view runs as a function of its own.
    fn names_websocket(&self, offset: u32) -> bool {
        scan::names_websocket(self, offset)
    }

    /// Whether the word begins in the four bytes that end at `offset`; see [`scan::is_websocket`],
    /// which the kernel's view runs as a function of its own.
    fn is_websocket(&self, offset: u32) -> bool {
        scan::is_websocket(self, offset)
    }

    /// Where a head ends that begins to end in the four bytes at `offset`; see
    /// [`scan::head_end_near`], which the kernel's view runs as a function of its own.
    fn head_end_near(&self, offset: u32) -> u32 {
        scan::head_end_near(self, offset)
    }

    /// Where a head ends; see [`scan::head_end`], which the kernel's view runs as a function of its own.
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        scan::head_end(self, offset, tail, which)
    }
}

impl Payload for [u8] {
    fn len(&self) -> u32 {
        u32::try_from(<[u8]>::len(self)).unwrap_or(u32::MAX)
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk().copied()
    }

    fn chunk(&self, offset: u32, chunk: &mut [u8; CHUNK]) -> u32 {
        let rest = self.get(offset as usize..).unwrap_or_default();
        let part = rest.get(..CHUNK).unwrap_or(rest);
        if let Some(into) = chunk.get_mut(..part.len()) {
            into.copy_from_slice(part);
        }
        part.len() as u32
    }
}
