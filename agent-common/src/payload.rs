//! A segment's payload as the stream machine reads it: by small copies at an offset, which is all
//! that a packet in the kernel can give.

use core::mem::MaybeUninit;

use crate::stream::{
    older,
    scan::{self, Which},
};

/// How much is read at once. It lives on the BPF stack (512 bytes in all).
pub const CHUNK: usize = 128;

/// How much is read at once where there is room beside the stack: many requests, whole.
pub const LARGE_CHUNK: usize = 512;

/// What [`scan::signs`] is given: a [`LARGE_CHUNK`] at most, by words, and zeros behind it to the end of its
/// [`scan::GROUP`] at least.
pub type Room = [u64; LARGE_CHUNK / 8 + scan::GROUP];

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

    /// [`scan::signs`] of the [`LARGE_CHUNK`] at `offset`, or of what there is of it.
    fn signs(&self, offset: u32) -> u32 {
        let mut chunk = MaybeUninit::<Chunk<LARGE_CHUNK>>::uninit();
        let (words, _) = self.chunk(offset, &mut chunk).0.as_chunks();
        let mut room: Room = [0; _];
        for (to, from) in room.iter_mut().zip(words) {
            *to = u64::from_ne_bytes(*from);
        }
        scan::signs(&room, self.len().saturating_sub(offset).min(LARGE_CHUNK as u32))
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
