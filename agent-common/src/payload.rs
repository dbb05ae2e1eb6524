//! A segment's payload as the stream machine reads it: by small copies at an offset, which is all
//! that a packet in the kernel can give.

use core::mem::MaybeUninit;

/// How much is read at once. It lives on the BPF stack (512 bytes in all).
pub const CHUNK: usize = 128;

/// How much is read at once where there is room beside the stack: many requests, whole.
pub const LARGE_CHUNK: usize = 512;

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
