//! What records and settled candidates say, as values of the public interface.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use wstap_common::record::{Record, role};

use super::{Connection, Exchange, Opened, Opening, Role, Switched, pending::Settled};
use crate::http::{self, RequestHead, mark::FIELD_LOWER};

pub(super) fn exchange(
    connection: &Connection,
    done: Settled,
    opening: Option<Opening>,
    offset: i64,
) -> Exchange {
    Exchange {
        connection: connection.clone(),
        time: wall(offset, done.first_ns),
        request: done.request,
        answer: done.answer,
        duration: Duration::from_nanos(done.answered_ns.saturating_sub(done.first_ns)),
        opening,
    }
}

pub(super) fn switched(connection: &Connection, done: &Settled, offset: i64) -> Switched {
    Switched {
        connection: connection.clone(),
        time: wall(offset, done.first_ns),
        request: Arc::clone(&done.request),
        duration: Duration::from_nanos(done.answered_ns.saturating_sub(done.first_ns)),
    }
}

/// What a closure will say of a handshake.
pub(super) fn remembered(request: &RequestHead) -> Opened {
    let origins: Vec<_> = request.headers.all("origin").collect();
    Opened {
        origin: (!origins.is_empty()).then(|| http::bounded(&origins.join(", ")).into()),
        path: http::bounded(&request.path).into(),
        audit: request.headers.first(FIELD_LOWER).map(|mark| http::bounded(mark).into()),
    }
}

pub(super) fn role_of(record: &Record) -> Role {
    if record.role == role::CLIENT { Role::Client } else { Role::Server }
}

pub(super) fn address(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(address)).to_canonical(), port)
}

pub(super) fn wall(offset: i64, ns: u64) -> Duration {
    Duration::from_nanos(ns.saturating_add_signed(offset))
}
