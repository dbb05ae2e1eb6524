//! HTTP/2 on a plaintext connection: told apart by its preface and counted, not judged.
//!
//! Its WebSockets (RFC 8441) are streams of frames with compressed heads. What matters for who looks for a missing
//! handshake: that there is such a connection, and whether its server offers extended CONNECT.

use super::Role;

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The frame that a server sends first, and the size of a frame's head (RFC 9113 sections 4.1 and 6.5).
const SETTINGS: u8 = 4;
const FRAME_HEAD: usize = 9;
/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3).
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Whether the server's SETTINGS offer extended CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedConnect {
    /// They do.
    Offered,
    /// They do not.
    NotOffered,
    /// They were not seen.
    Unknown,
}

impl ExtendedConnect {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Offered, Self::NotOffered, Self::Unknown];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::NotOffered => "not-offered",
            Self::Unknown => "unknown",
        }
    }
}

/// How many HTTP/2 connections were seen, by role and offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H2Connections([[u64; 3]; 2]);

impl H2Connections {
    pub(super) fn count(&mut self, role: Role, offer: ExtendedConnect) {
        let [server, client] = &mut self.0;
        let of_role = if role == Role::Server { server } else { client };
        for (known, count) in ExtendedConnect::ALL.into_iter().zip(of_role) {
            *count += u64::from(known == offer);
        }
    }

    /// The counts.
    pub fn counts(self) -> impl Iterator<Item = (Role, ExtendedConnect, u64)> {
        let roles = [Role::Server, Role::Client].into_iter().zip(self.0);
        roles.flat_map(|(role, counts)| {
            ExtendedConnect::ALL.into_iter().zip(counts).map(move |(offer, n)| (role, offer, n))
        })
    }
}

/// Whether these are the first bytes of an HTTP/2 client.
pub(super) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// What the first bytes of the server say; `None` as long as its SETTINGS are not whole.
pub(super) fn offer(bytes: &[u8]) -> Option<ExtendedConnect> {
    let &[high, middle, low, kind, flags, ..] = bytes.first_chunk::<FRAME_HEAD>()?;
    if kind != SETTINGS || flags != 0 {
        return Some(ExtendedConnect::Unknown);
    }
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    let settings = bytes.get(FRAME_HEAD..)?.get(..length)?;
    let offers = settings.chunks_exact(6).any(|setting| {
        matches!(setting, [a, b, value @ ..]
            if u16::from_be_bytes([*a, *b]) == ENABLE_CONNECT_PROTOCOL && value == [0, 0, 0, 1])
    });
    Some(if offers { ExtendedConnect::Offered } else { ExtendedConnect::NotOffered })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![0, 0, (settings.len() * 6) as u8, SETTINGS, 0, 0, 0, 0, 0];
        for (id, value) in settings {
            bytes.extend(id.to_be_bytes());
            bytes.extend(value.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn the_offer_is_read_from_the_servers_settings() {
        let offering = settings(&[(3, 100), (8, 1)]);
        assert_eq!(offer(&offering), Some(ExtendedConnect::Offered));
        assert_eq!(offer(&settings(&[(8, 0)])), Some(ExtendedConnect::NotOffered));
        assert_eq!(offer(&settings(&[])), Some(ExtendedConnect::NotOffered));
        for cut in 0..offering.len() {
            assert_eq!(offer(&offering[..cut]), None, "{cut}");
        }
        assert_eq!(offer(b"HTTP/1.1 400 Bad Request"), Some(ExtendedConnect::Unknown));
    }

    #[test]
    fn counts_are_kept_apart() {
        let mut counts = H2Connections::default();
        counts.count(Role::Client, ExtendedConnect::NotOffered);
        let seen: Vec<_> = counts.counts().filter(|(.., count)| *count > 0).collect();
        assert_eq!(seen, [(Role::Client, ExtendedConnect::NotOffered, 1)]);
    }
}
