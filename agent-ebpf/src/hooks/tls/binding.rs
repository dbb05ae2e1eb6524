//! Which connection a socket is bound to.

use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};

/// The connection behind a socket, by the socket's cookie. When it is full the one that was quiet longest loses its socket.
#[btf_map]
static TLS_SOCKETS: LruHashMap<u64, u64, 8192> = LruHashMap::new();

/// The connection behind a socket.
#[inline(always)]
pub fn owner(cookie: u64) -> Option<u64> {
    let key = TLS_SOCKETS.get_ptr(cookie)?;
    // SAFETY: the entry lives as long as the program runs.
    Some(unsafe { *key })
}

/// Binds a connection to a socket.
#[inline(always)]
pub fn bind_to(cookie: u64, key: u64) -> Option<()> {
    TLS_SOCKETS.insert(cookie, &key, 0).ok()
}

/// The socket is no connection's any more.
#[inline(always)]
pub fn unbind(cookie: u64) {
    if cookie != 0 {
        let _ = TLS_SOCKETS.remove(cookie);
    }
}
