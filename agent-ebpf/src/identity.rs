//! Who talks to whom: the addresses and ports of a connection as this host sees them.

/// The connection's 4-tuple; IPv4 addresses are mapped into IPv6 (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Identity {
    pub local_addr: [u8; 16],
    pub peer_addr: [u8; 16],
    pub local_port: u16,
    pub peer_port: u16,
}

/// An IPv4 address, given in network byte order, as an IPv6 one.
#[inline(always)]
pub fn mapped(addr: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = addr;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

impl Identity {
    /// The 4-tuple in 64 bits, as the key of the listener's table: a key of its own size would cost
    /// stack in every function that looks it up. Two connections that share a key are told apart by
    /// their sequence numbers.
    #[inline(always)]
    pub fn key(&self) -> u64 {
        let mut key = u64::from(self.local_port) << 16 | u64::from(self.peer_port);
        for addr in [&self.local_addr, &self.peer_addr] {
            let word = u128::from_ne_bytes(*addr);
            key = mix(mix(key, word as u64), (word >> 64) as u64);
        }
        key
    }
}

/// One step of a multiplicative hash (Fibonacci hashing).
#[inline(always)]
const fn mix(key: u64, word: u64) -> u64 {
    let mixed = (key ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}
