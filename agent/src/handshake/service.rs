//! Who answers on a connection, and what its ends are called: TCP's by address and port, a unix socket's by
//! its name.

use std::net::SocketAddr;

use wstap_common::record::{Owner, flags};

use super::{Connection, Role};

/// What the probe family saw of the holder of a connection on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process that made the call, by its id in the initial pid namespace.
    pub pid: u32,
    /// Its name (`comm`).
    pub comm: String,
    /// Of a unix socket: the server's name for it, a path or `@` and an abstract name; empty without one.
    pub unix: Option<Box<str>>,
    /// What was seen is the plaintext of a TLS connection, at its library.
    pub tls: bool,
}

/// Who answers: what its connections have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket's name.
    Unix(Box<str>),
    /// A unix socket without one, or a TLS connection whose socket is not known: this connection alone.
    Unnamed(u64),
}

impl Connection {
    /// The answering end.
    pub fn service(&self) -> Service {
        match (self.holder.as_ref().and_then(|holder| holder.unix.as_ref()), self.role) {
            (Some(name), _) if name.is_empty() => Service::Unnamed(self.cookie),
            (Some(name), _) => Service::Unix(name.clone()),
            _ if self.is_unbound() => Service::Unnamed(self.cookie),
            (None, Role::Server) => Service::Tcp(self.local),
            (None, Role::Client) => Service::Tcp(self.peer),
        }
    }

    /// The address of the end that asks.
    pub fn client(&self) -> std::net::IpAddr {
        match self.role {
            Role::Server => self.peer.ip(),
            Role::Client => self.local.ip(),
        }
    }

    /// This host's end and the other one, as events name them: `ip:port`, or `unix:` and the server's name on
    /// the server's end and none on the client's; `unknown` for a TLS connection whose socket is not known.
    pub fn ends(&self) -> (String, String) {
        let Some(name) = self.holder.as_ref().and_then(|holder| holder.unix.as_ref()) else {
            if self.is_unbound() {
                return ("unknown".to_owned(), "unknown".to_owned());
            }
            return (self.local.to_string(), self.peer.to_string());
        };
        let (server, client) = (format!("unix:{name}"), "unix:".to_owned());
        match self.role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        }
    }
}

impl Holder {
    /// Of a TLS connection whose owner's record was lost.
    pub(super) fn unknown_tls() -> Self {
        Self { pid: 0, comm: String::new(), unix: None, tls: true }
    }

    /// As a record with these flags tells it.
    pub(super) fn new(owner: &Owner, flags: u8) -> Self {
        let comm = owner.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = owner.name.get(..usize::from(owner.name_len)).unwrap_or_default();
        Self {
            pid: owner.process,
            comm: String::from_utf8_lossy(comm).into_owned(),
            unix: (flags & flags::UNIX != 0).then(|| socket_name(name).into()),
            tls: flags & flags::TLS != 0,
        }
    }
}

/// A unix socket's name as it is written: an abstract one begins with a zero (unix(7)).
fn socket_name(name: &[u8]) -> String {
    match name {
        [0, rest @ ..] => format!("@{}", rest.escape_ascii()),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(path).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wstap_common::record::NAME;

    use super::*;

    fn owner(name: &[u8]) -> Owner {
        let mut owner = Owner {
            process: 42,
            name_len: name.len() as u16,
            reserved: 0,
            comm: *b"nginx\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            // What lies behind the name in the ring is not ours.
            name: [b'x'; NAME],
        };
        owner.name[..name.len()].copy_from_slice(name);
        owner
    }

    fn connection(role: Role, owner: &Owner) -> Connection {
        Connection {
            cookie: 7,
            role,
            local: "[::]:0".parse().unwrap(),
            peer: "[::]:0".parse().unwrap(),
            cgroup: 0,
            holder: Some(Arc::new(Holder::new(owner, flags::UNIX))),
        }
    }

    #[test]
    fn a_unix_sockets_ends_are_named_on_the_servers_side() {
        let path = owner(b"/run/app.sock\0");
        let server = connection(Role::Server, &path);
        assert_eq!(server.ends(), ("unix:/run/app.sock".to_owned(), "unix:".to_owned()));
        let client = connection(Role::Client, &path);
        assert_eq!(client.ends(), ("unix:".to_owned(), "unix:/run/app.sock".to_owned()));
        assert_eq!(client.service(), server.service());
        let holder = server.holder.unwrap();
        assert_eq!((holder.pid, &*holder.comm), (42, "nginx"));
    }

    #[test]
    fn abstract_and_missing_names_are_told_apart() {
        let named = connection(Role::Server, &owner(b"\0app\x01"));
        assert_eq!(named.service(), Service::Unix("@app\\x01".into()));
        let pair = connection(Role::Server, &owner(b""));
        assert_eq!(pair.service(), Service::Unnamed(7));
        assert_eq!(pair.ends().0, "unix:");
    }
}
