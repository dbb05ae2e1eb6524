//! The diagnosis, asked about a handshake of our own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    diagnose::{PopulationEvidence, Verdict, diagnose},
    handshake::{Answer, Connection, Exchange, Role},
    http::parse_request,
};

/// What the diagnosis says of this request and its answer; `None` when the request is no handshake any more.
pub fn judge(request: &[u8], answer: Answer) -> Option<Verdict> {
    let head = parse_request(request).ok()?.handshake?;
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let connection = Connection {
        cookie: 0,
        role: Role::Server,
        local: nowhere,
        peer: nowhere,
        cgroup: 0,
        holder: None,
    };
    let exchange = Exchange {
        connection,
        time: Duration::ZERO,
        request: Arc::new(head),
        answer,
        duration: Duration::ZERO,
        opening: None,
    };
    Some(diagnose(&exchange, &PopulationEvidence::default()))
}
