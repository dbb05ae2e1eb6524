//! Connections whose other end vanishes: not a packet comes of it any more, until the kernel gives up.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use socket2::{SockRef, TcpKeepalive};
use wstap_tests::http;

use crate::stage::Stage;
use crate::wire::{HERE, Wire};

/// What the server's kernel is told to find a dead peer by.
#[derive(Clone, Copy, Debug)]
enum Finds {
    /// Data that is not acknowledged (TCP_USER_TIMEOUT).
    ByData,
    /// Probes that are not answered (SO_KEEPALIVE).
    ByProbes,
}

/// Accepts a connection and waits for what the kernel says of it.
fn serve(listener: &TcpListener, finds: Finds) -> Result<ErrorKind> {
    let (mut stream, _) = listener.accept()?;
    let _request = http::head(&mut stream)?;
    stream.write_all(http::ACCEPTED)?;
    match finds {
        Finds::ByData => {
            let socket = SockRef::from(&stream);
            socket.set_tcp_user_timeout(Some(Duration::from_millis(1200)))?;
            // The 101 is acknowledged by then.
            std::thread::sleep(Duration::from_millis(500));
            stream.write_all(b"\x81\x02hi")?;
        }
        Finds::ByProbes => {
            let second = Duration::from_secs(1);
            let keepalive = TcpKeepalive::new().with_time(second).with_interval(second);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(1))?;
        }
    }
    stream.set_read_timeout(Some(wstap_tests::PATIENCE))?;
    Ok(stream.read(&mut [0]).err().context("something came")?.kind())
}

#[test]
fn a_peer_that_vanishes_is_told_when_the_kernel_gives_it_up() -> Result<()> {
    let stage = Stage::new("vanished", &[])?;
    let closures = stage.agent.tail(&["--closures"])?;
    let wire = Wire::new()?;
    let listener = TcpListener::bind((HERE, 0))?;
    let port = listener.local_addr()?.port();
    for (number, (finds, by, initiator, reason)) in [
        (Finds::ByData, "timeout", "unknown", "timed-out"),
        // The kernel sends an RST, in case that the other end is there after all.
        (Finds::ByProbes, "rst", "local", "reset"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/vanished/{number}");
        let mut connection = wire.connect(42_000 + number as u16, port)?;
        std::thread::scope(|scope| -> Result<()> {
            let server = scope.spawn(|| serve(&listener, finds));
            let request = http::upgrade(&path, "here.example", "https://vanished.example");
            connection.at(0, request.as_bytes())?;
            ensure!(connection.status()? == 101);
            // From here on nothing comes of the client.
            let error = server.join().ok().context("the server panicked")??;
            ensure!(error == ErrorKind::TimedOut, "{finds:?}: {error:?}");
            Ok(())
        })?;
        let event = closures.next(|event| event["path"] == path.as_str())?;
        ensure!(event["type"] == "closure" && event["code"] == 1006, "{finds:?}: {event}");
        ensure!(event["by"] == by && event["initiator"] == initiator, "{finds:?}: {event}");
        ensure!(event["reason"] == reason && event["synchronised"] == true, "{finds:?}: {event}");
        let idle = event["idle_seconds"].as_f64().context("idle_seconds")?;
        ensure!((0.9..6.0).contains(&idle), "{finds:?}: {event}");
    }
    let active = |metrics: &wstap_tests::metrics::Metrics| {
        metrics.count("ws_connections_active", &[("origin", "https://vanished.example")])
    };
    stage.agent.wait_for_metrics("no connection any more", |metrics| active(metrics) == 0)?;
    Ok(())
}
