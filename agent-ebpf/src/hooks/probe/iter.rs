//! The kernel's `iov_iter`: where the bytes of a call lie.

use wstap_common::layout::{Field, NONE};

use super::layout::{field, member, read};
use crate::verifier::forget_bounds;

/// Elements of a call that are read; what lies in those behind is a gap.
pub const ELEMENTS: u32 = 8;

/// An iterator as it was when the call began. The kernel moves its own one on; the elements stay.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Iter {
    /// Where the elements are, or the one buffer.
    vector: u64,
    /// How far into the first element the bytes begin.
    offset: u64,
    /// How many bytes there are in all.
    pub count: u64,
    /// A value of [`kind`].
    kind: u32,
    elements: u32,
}

/// What the elements are.
mod kind {
    /// Nothing that is read.
    pub const OTHER: u32 = 0;
    /// One buffer in user memory.
    pub const BUFFER: u32 = 1;
    /// Several there.
    pub const USER: u32 = 2;
    /// Several in kernel memory.
    pub const KERNEL: u32 = crate::arguments::KERNEL;
}

/// A piece of memory that belongs to a message.
#[derive(Clone, Copy)]
pub struct Element {
    pub base: u64,
    pub len: u64,
}

impl Iter {
    /// The iterator of a `msghdr`.
    #[inline(always)]
    pub fn of(msg: u64) -> Option<Self> {
        let value = member::<u32>(msg, Field::IterKind)? & field(Field::IterKindMask);
        let kind = if value == field(Field::Iovec) {
            kind::USER
        } else if field(Field::Ubuf) != NONE && value == field(Field::Ubuf) {
            kind::BUFFER
        } else if value == field(Field::Kvec) {
            kind::KERNEL
        } else {
            kind::OTHER
        };
        Some(Self {
            vector: member(msg, Field::IterVector)?,
            offset: member(msg, Field::IterOffset)?,
            count: Self::count(msg)?,
            kind: forget_bounds(u64::from(kind), msg) as u32,
            elements: member::<u64>(msg, Field::IterElements)? as u32,
        })
    }

    /// How many bytes the iterator of a `msghdr` has left.
    #[inline(always)]
    pub fn count(msg: u64) -> Option<u64> {
        member(msg, Field::IterCount)
    }

    /// Whether the bytes lie in kernel memory: [`arguments::KERNEL`](crate::arguments::KERNEL) or 0.
    #[inline(always)]
    pub fn in_kernel(&self) -> u32 {
        self.kind & kind::KERNEL
    }

    /// The element with this number, without what lies before the bytes.
    #[inline(always)]
    pub fn element(&self, number: u32) -> Option<Element> {
        if self.kind == kind::BUFFER {
            let base = self.vector.wrapping_add(self.offset);
            return if number == 0 { Some(Element { base, len: self.count }) } else { None };
        }
        if self.kind == kind::OTHER || number >= self.elements {
            return None;
        }
        let place = self.vector.wrapping_add(u64::from(number * field(Field::ElementSize)));
        let base: u64 = read(place.wrapping_add(u64::from(field(Field::ElementBase))))?;
        let len: u64 = read(place.wrapping_add(u64::from(field(Field::ElementLen))))?;
        let before = if number == 0 { self.offset } else { 0 };
        // Never beyond the element: what lies behind it in memory is not the message's.
        Some(Element { base: base.wrapping_add(before), len: len.saturating_sub(before) })
    }
}
