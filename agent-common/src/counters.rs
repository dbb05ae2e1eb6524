//! The kernel half's own counters: one slot each in a per-CPU array.

/// What the kernel half counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Records that the hooks set out to send. Always `Seen = delivered + RingFull`.
    Seen = 0,
    /// Records that found the ring full.
    RingFull = 1,
    /// Connections whose state the kernel refused to store (socket option memory).
    StateRefused = 2,
    /// Heads that were longer than [`crate::stream::HEAD_CAP`].
    Truncated = 3,
    /// First segments that were seen on their listener and handed to the connection.
    Adopted = 4,
    /// Connections whose 101 was seen and whose frames are or were followed.
    Opened = 5,
    /// Connections whose 101 was not seen and whose frames are or were followed.
    Found = 6,
    /// Calls whose bytes the probe family could not read, or not all of them, while they mattered.
    Unread = 7,
    /// Requests that were not told, nor was what followed them, because the ring was crowded. Of a GET it was not looked
    /// whether it is a handshake.
    Shed = 8,
    /// TLS connections whose socket was found.
    TlsBound = 9,
    /// Matches of a TLS connection with a socket that contradict an earlier one, which stands.
    TlsContradicted = 10,
}

impl Counter {
    /// Every counter, in the order of the slots.
    pub const ALL: &[Self] = &[
        Self::Seen,
        Self::RingFull,
        Self::StateRefused,
        Self::Truncated,
        Self::Adopted,
        Self::Opened,
        Self::Found,
        Self::Unread,
        Self::Shed,
        Self::TlsBound,
        Self::TlsContradicted,
    ];
}

/// How many slots there are.
pub const COUNT: usize = Counter::ALL.len();
