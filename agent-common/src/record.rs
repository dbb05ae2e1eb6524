//! The records on the ring buffer: what the kernel half tells user space.
//!
//! Every record is a [`Record`] followed by `len` bytes of content, whose meaning [`Kind`] gives. The
//! layouts derive zerocopy's traits, so padding is a compile error and decoding needs no `unsafe`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record tells. The values are part of the contract between the two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of a head (or of the beginning of a response's content): the content is the bytes,
    /// `seq` the sequence number of the first of them. Segments may come twice or out of order.
    /// With `cookie` 0 they were seen on a listening socket, and an [`Kind::Adopted`] record with the
    /// same addresses and ports follows when the connection is established.
    Bytes = 1,
    /// The connection whose first bytes were seen on its listener now has a cookie. No content.
    Adopted = 2,
    /// After a 101: the first close frame or the first broken rule of a half (`half` names the
    /// sender's). The content is a [`Summary`] as of now.
    Frame = 3,
    /// The first FIN or RST ([`flags::RST`]) of a half (`half` names the sender's) while a handshake
    /// is pending or after a 101. The content is a [`Summary`] as of now.
    Ending = 4,
    /// The kernel closed the socket while a handshake was pending or after a 101. The content is a
    /// [`Summary`]. Sockets older than the agent never send it: they end with [`Kind::Ending`].
    Closed = 5,
    /// A connection whose 101 was not seen carries frames ([`crate::stream::older`]); they are followed
    /// from this segment on. The content is a [`Summary`].
    Found = 6,
    /// Who holds the connection on this host, told by the probe family before its first other record. The content is an [`Owner`].
    Owner = 7,
    /// After a 101: a FIN of a half passed ahead of bytes that are still to come. TCP takes it once they have, and no
    /// other packet need tell of it. The content is a [`Summary`].
    EarlyFin = 8,
    /// The socket of a connection of the TLS family was found: the record's addresses and ports are its own. No content.
    Bound = 9,
}

impl Kind {
    /// The kind with this value on the wire.
    pub const fn from_wire(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Bytes),
            2 => Some(Self::Adopted),
            3 => Some(Self::Frame),
            4 => Some(Self::Ending),
            5 => Some(Self::Closed),
            6 => Some(Self::Found),
            7 => Some(Self::Owner),
            8 => Some(Self::EarlyFin),
            9 => Some(Self::Bound),
            _ => None,
        }
    }
}

/// Bits of [`Record::flags`].
pub mod flags {
    /// A record of this connection was lost before this one (ring full).
    pub const LOST: u8 = 1;
    /// The head is larger than [`crate::stream::HEAD_CAP`]; the rest of it was not sent.
    pub const TRUNCATED: u8 = 2;
    /// With [`super::Kind::Ending`]: an RST, not a FIN.
    pub const RST: u8 = 4;
    /// The connection is a unix socket's: its record has no addresses and ports.
    pub const UNIX: u8 = 8;
    /// The connection's frames are followed.
    pub const TUNNEL: u8 = 16;
    /// With [`super::Kind::Closed`]: bytes of an answer to the pending request were seen.
    pub const ANSWERED: u8 = 32;
    /// With [`TUNNEL`]: the connection's 101 was not seen; [`super::Summary::opened_ns`] says since when
    /// its frames are followed.
    pub const FOUND: u8 = 64;
    /// The bytes are the plaintext of a TLS connection, taken at its library. Records have no addresses and ports but
    /// [`super::Kind::Bound`].
    pub const TLS: u8 = 128;
}

/// Values of [`Record::role`].
pub mod role {
    /// Requests come in.
    pub const SERVER: u8 = 0;
    /// Requests go out.
    pub const CLIENT: u8 = 1;
}

/// Values of [`Record::half`]: the direction that requests or that responses travel in.
pub mod half {
    /// From the client to the server.
    pub const REQUEST: u8 = 0;
    /// From the server to the client.
    pub const RESPONSE: u8 = 1;
}

/// The fixed part of every record, 72 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// The socket's cookie, unique while the machine runs; 0 on a listener.
    pub cookie: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// The cgroup v2 id of the socket; 0 when not known.
    pub cgroup: u64,
    /// This host's address; IPv4 as `::ffff:a.b.c.d`.
    pub local_addr: [u8; 16],
    /// The other end's address; IPv4 as `::ffff:a.b.c.d`.
    pub peer_addr: [u8; 16],
    /// The TCP sequence number of the content's first byte ([`Kind::Bytes`]), else of the segment.
    pub seq: u32,
    /// This host's port, host byte order.
    pub local_port: u16,
    /// The other end's port, host byte order.
    pub peer_port: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// A value of [`role`].
    pub role: u8,
    /// A value of [`half`].
    pub half: u8,
    /// Bits of [`flags`].
    pub flags: u8,
    /// How many bytes of content follow.
    pub len: u16,
    /// Counts the candidate requests of the connection, so that an answer finds its request.
    pub epoch: u16,
}

/// What the frame walk knows of one half of a connection, 32 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HalfSummary {
    /// When the last segment with data passed (CLOCK_MONOTONIC, ns; to a tick of the kernel's); 0 when none did.
    pub last_ns: u64,
    /// When the close frame passed; 0 when none did.
    pub close_ns: u64,
    /// Whole data messages.
    pub messages: u32,
    /// Ping frames, 65,535 at most.
    pub pings: u16,
    /// Pong frames, 65,535 at most.
    pub pongs: u16,
    /// The close frame's code: 0 when there was no close frame, 1005 when it has none.
    pub close_code: u16,
    /// The first broken rule, a [`crate::frame::Violation`] value; 0 for none.
    pub violation: u8,
    /// Bits of [`half_flags`].
    pub flags: u8,
    /// Zero.
    pub reserved: u32,
}

/// Bits of [`HalfSummary::flags`].
pub mod half_flags {
    /// The walk lost its place at least once; counts are then lower bounds.
    pub const LOST_PLACE: u8 = 1;
    /// The walk has no place now: what came last is not known.
    pub const UNSYNCHRONISED: u8 = 2;
    /// A FIN passed.
    pub const FIN: u8 = 4;
    /// An RST passed.
    pub const RST: u8 = 8;
    /// RSV1 was set on a data frame: valid only with an extension that defines it.
    pub const RSV1: u8 = 16;
}

/// The content of [`Kind::Frame`], [`Kind::Ending`], [`Kind::EarlyFin`], [`Kind::Found`] and [`Kind::Closed`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Summary {
    /// When the 101's head ended, or, with [`flags::FOUND`], since when the frames are followed
    /// (CLOCK_MONOTONIC, ns); 0 when there are none.
    pub opened_ns: u64,
    /// The half that the client sends.
    pub request: HalfSummary,
    /// The half that the server sends.
    pub response: HalfSummary,
}

/// How many bytes of a unix socket's name there is room for; the kernel's longest has 108.
pub const NAME: usize = 128;

/// The content of [`Kind::Owner`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    /// The process that made the call, by its id in the initial pid namespace.
    pub process: u32,
    /// How many bytes of `name` are meant; 0 for a socket without one.
    pub name_len: u16,
    /// Zero.
    pub reserved: u16,
    /// The process's name (`comm`), ended by a zero.
    pub comm: [u8; 16],
    /// The unix socket's name at the server's end: a path, or, after a zero, an abstract name (unix(7)).
    pub name: [u8; NAME],
}

impl Record {
    /// Splits a ring record into its fixed part and its content; `None` when it is too short.
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (record, rest) = Self::read_from_prefix(bytes).ok()?;
        let content = rest.get(..usize::from(record.len))?;
        Some((record, content))
    }
}

#[cfg(test)]
mod tests {
    use core::mem::size_of;

    use super::*;

    #[test]
    fn layouts_are_what_the_documentation_says() {
        assert_eq!(size_of::<Record>(), 72);
        assert_eq!(size_of::<HalfSummary>(), 32);
        assert_eq!(size_of::<Summary>(), 72);
        assert_eq!(size_of::<Owner>(), 152);
    }

    #[test]
    fn a_short_record_is_refused() {
        assert!(Record::split(&[0; 71]).is_none());
    }
}
