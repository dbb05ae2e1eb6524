//! A segment's payload as the stream machine reads it: by small copies at an offset, which is all
//! that a packet in the kernel can give.

use core::mem::MaybeUninit;

use crate::stream::{
    older,
    scan::{self, Which},
};

/// How much is read at once. It lives on the BPF stack (512 bytes in all).
pub const CHUNK: usize = 128;

/// How much is read at once where little else is on the stack.
pub const LARGE_CHUNK: usize = 256;

/// What is read at once; aligned, so that it may be written by words.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Chunk<const N: usize>(pub [u8; N]);

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

    /// The `N` bytes at `offset`, zeros behind the payload's end. They are read into `room`, which nobody has to
    /// clear before: in the kernel that cost as much as all look-ups of a packet.
    fn chunk<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Chunk<N>>,
    ) -> &'a Chunk<N>;

    // The scans of `stream::scan`, which the kernel's view runs as functions of their own.

    /// See [`scan::names_websocket`].
    fn names_websocket(&self, offset: u32) -> bool {
        scan::names_websocket(self, offset)
    }

    /// See [`scan::chunk_has_ends`].
    fn chunk_has_ends(&self, offset: u32) -> bool {
        scan::chunk_has_ends(self, offset)
    }

    /// See [`scan::chunk_names_websocket`].
    fn chunk_names_websocket(&self, offset: u32) -> bool {
        scan::chunk_names_websocket(self, offset)
    }

    /// See [`scan::signs`].
    fn signs(&self, offset: u32) -> u32 {
        scan::signs(self, offset)
    }

    /// See [`scan::is_websocket`].
    fn is_websocket(&self, offset: u32) -> bool {
        scan::is_websocket(self, offset)
    }

    /// See [`scan::head_end`].
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        scan::head_end(self, offset, tail, which)
    }

    /// See [`scan::chunk_head_end`].
    fn chunk_head_end(&self, offset: u32, which: Which, found: u32) -> u32 {
        scan::chunk_head_end(self, offset, which, found)
    }

    /// See [`scan::head_end_near`].
    fn head_end_near(&self, offset: u32) -> u32 {
        scan::head_end_near(self, offset)
    }

    /// See [`scan::status_line`].
    fn status_line(&self, offset: u32, line: u32, tail: u32) -> u64 {
        scan::status_line(self, offset, line, tail)
    }

    /// See [`older::whole_frame`].
    fn whole_frame(&self, offset: u32) -> u32 {
        older::whole_frame(self, offset)
    }
}

impl Payload for [u8] {
    fn len(&self) -> u32 {
        u32::try_from(<[u8]>::len(self)).unwrap_or(u32::MAX)
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk().copied()
    }

    fn chunk<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Chunk<N>>,
    ) -> &'a Chunk<N> {
        let rest = self.get(offset as usize..).unwrap_or_default();
        let part = rest.get(..N).unwrap_or(rest);
        let mut chunk = Chunk([0; N]);
        if let Some(into) = chunk.0.get_mut(..part.len()) {
            into.copy_from_slice(part);
        }
        room.write(chunk)
    }
}
