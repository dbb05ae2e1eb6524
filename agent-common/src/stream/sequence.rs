//! Where a segment stands among those of its half (RFC 9293 section 3.4: modular arithmetic).

/// How far ahead of the next byte a segment may begin and still be taken for a reordered one. A head
/// has at most 64 KiB; what begins further ahead is noise or forged.
pub const WINDOW: u32 = 128 * 1024;

/// Where a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its bytes from this offset on are new and next in line.
    Next(u32),
    /// Next in line as far as the kernel knows, but this many bytes before it were never seen.
    Missed(u32),
    /// Ahead of bytes that are still to come.
    Ahead,
    /// Seen before, or too far ahead to be believed.
    Noise,
}

/// Places the segment `seq..seq + len` of a half whose next byte is `next` and whose receiver has
/// everything before `received`.
#[inline(always)]
pub const fn place(next: u32, received: u32, seq: u32, len: u32) -> Place {
    let seen = next.wrapping_sub(seq);
    if seen == 0 {
        return Place::Next(0);
    }
    if seen.cast_signed() > 0 {
        return if seen < len { Place::Next(seen) } else { Place::Noise };
    }
    let gap = seq.wrapping_sub(next);
    if received.wrapping_sub(seq).cast_signed() >= 0 {
        return Place::Missed(gap);
    }
    if gap <= WINDOW { Place::Ahead } else { Place::Noise }
}
