//! Segments as networks deliver them, and as attackers forge them.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use wstap_tests::http::{self, Answer};
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::{PATIENCE, free_port};

use crate::stage::{Stage, of_role};
use crate::wire::{Connection, Flags, HERE, Wire};

fn upgrade(name: &str) -> String {
    http::upgrade(&format!("/accept/{name}"), "here.example", "https://app.example")
}

/// One accepted handshake at the server's end, and nothing else.
fn ensure_one(name: &str, events: &[Value]) -> Result<()> {
    let servers = of_role(events, "server");
    ensure!(servers.len() == 1, "{name}: {events:#?}");
    let event = servers[0];
    ensure!(event["outcome"] == "accepted", "{name}: {event:#}");
    ensure!(event["path"] == format!("/accept/{name}").as_str(), "{name}: {event:#}");
    ensure!(event["origin"] == "https://app.example", "{name}: {event:#}");
    Ok(())
}

#[test]
fn reordered_repeated_and_forged_segments_change_nothing() -> Result<()> {
    type Send = fn(&Connection<'_>, &[u8]) -> Result<()>;
    let cases: [(&str, Send); 7] = [
        ("in-order", |wire, bytes| pieces(wire, bytes, &[0, 1, 2, 3])),
        ("reordered", |wire, bytes| pieces(wire, bytes, &[3, 1, 2, 0])),
        ("repeated", |wire, bytes| pieces(wire, bytes, &[0, 0, 1, 0, 1, 2, 3, 3])),
        ("overlapping", |wire, bytes| {
            wire.at(0, &bytes[..100])?;
            wire.at(60, &bytes[60..])
        }),
        ("forged-data", |wire, bytes| {
            let forged =
                b"HTTP/1.1 500 Forged\r\n\r\nGET /forged HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
            wire.at(0, &bytes[..100])?;
            wire.forge(-5_000_000, Flags::default(), forged)?;
            wire.forge(500_000_000, Flags::default(), forged)?;
            wire.at(100, &bytes[100..])
        }),
        ("forged-rst", |wire, bytes| {
            wire.at(0, &bytes[..100])?;
            wire.forge(500_000_000, Flags { rst: true, ..Flags::default() }, &[])?;
            wire.forge(-500_000_000, Flags { rst: true, ..Flags::default() }, &[])?;
            wire.at(100, &bytes[100..])
        }),
        ("forged-fin", |wire, bytes| {
            wire.at(0, &bytes[..100])?;
            wire.forge(500_000_000, Flags { fin: true, ..Flags::default() }, &[])?;
            wire.at(100, &bytes[100..])
        }),
    ];
    let stage = Stage::new("wire", &[])?;
    let wire = Wire::new()?;
    for (port, (name, send)) in (40_001..).zip(cases) {
        let mut connection = wire.connect(port, stage.server().port())?;
        send(&connection, upgrade(name).as_bytes())?;
        let status = connection.status().context(name)?;
        ensure!(status == 101, "{name}: {HERE} answered {status}");
        drop(connection);
        ensure_one(name, &stage.events_until_now()?)?;
    }
    Ok(())
}

/// Sends the bytes in four pieces, in this order.
fn pieces(wire: &Connection<'_>, bytes: &[u8], order: &[usize]) -> Result<()> {
    let size = bytes.len().div_ceil(4);
    for piece in order {
        let start = piece * size;
        wire.at(start, &bytes[start..bytes.len().min(start + size)])?;
    }
    Ok(())
}

#[test]
fn a_request_on_the_segment_that_completes_the_tcp_handshake_is_seen() -> Result<()> {
    let stage = Stage::new("no-quickack", &[])?;
    for round in 0..20 {
        let name = format!("no-quickack-{round}");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The ACK of the SYN-ACK then waits for data to ride on, as HAProxy's smart-connect does.
        socket.set_tcp_quickack(false)?;
        socket.connect(&stage.server().into())?;
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(upgrade(&name).as_bytes())?;
        ensure!(http::answer(&mut stream)? == Answer::Status(101));
        drop(stream);
        let events = stage.events_until_now()?;
        ensure_one(&name, &events)?;
        ensure!(of_role(&events, "client").len() == 1, "{events:#?}");
    }
    Ok(())
}

#[test]
fn a_request_on_the_syn_is_seen() -> Result<()> {
    let mut stage = Stage::new("fast-open", &[])?;
    let _setting = Setting::set("/proc/sys/net/ipv4/tcp_fastopen", "3")?;
    let front = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let block = format!(
        "server {{ listen {front} fastopen=16; location / {{ {UPGRADE} proxy_pass http://{}; }} }}",
        stage.server()
    );
    let _nginx = Nginx::start(&stage.folder, &block, &[front])?;
    stage.watch(front);
    // The first connection gets the cookie, the others use it.
    for round in 0..5 {
        let name = format!("fast-open-{round}");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let request = upgrade(&name);
        /// `MSG_FASTOPEN` of Linux's socket.h.
        const FAST_OPEN: i32 = 0x2000_0000;
        let sent = socket.send_to_with_flags(request.as_bytes(), &front.into(), FAST_OPEN)?;
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(&request.as_bytes()[sent..])?;
        ensure!(http::answer(&mut stream)? == Answer::Status(101));
        drop(stream);
        let events = stage.events_until_now()?;
        let front = front.to_string();
        let at = |role: &str, end: &str| {
            let of_role = of_role(&events, role);
            of_role.iter().filter(|event| event[end] == front.as_str()).count()
        };
        ensure!(at("server", "local") == 1 && at("client", "peer") == 1, "{name}: {events:#?}");
    }
    Ok(())
}

/// A kernel setting; the old one comes back with the guard's end.
struct Setting(&'static str, String);

impl Setting {
    fn set(file: &'static str, value: &str) -> Result<Self> {
        let old = std::fs::read_to_string(file)?;
        std::fs::write(file, value)?;
        Ok(Self(file, old))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _restored = std::fs::write(self.0, &self.1);
    }
}
