//! A client that makes up origins, hosts, paths, keys and subprotocols, and a server that answers with what status comes to
//! its mind.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

use crate::agent::Agent;
use crate::http::{self, Answer};
use crate::metrics::Metrics;

/// Handshakes between two looks whether the agent has taken them all: what is lost proves nothing. Of two roles, each
/// about 1 KiB, they fit into [`RING`].
const BATCH: usize = 5_000;
/// What the agent needs as `--ring-bytes` for that.
pub const RING: &str = "16777216";
/// Connections on which they are made.
const CONNECTIONS: usize = 4;
/// One in so many is accepted, and ends with a close code that was made up.
const ACCEPTED: usize = 50;
/// What the server answers otherwise: 400 to 499.
const STATUSES: usize = 100;
/// Long handshakes between two looks: 64 KiB each, of two roles.
const LONG_BATCH: usize = 25;
/// How many subprotocols of one letter each of those offers.
const OFFERED: usize = 30_000;

/// A key of its own for each handshake: nothing is remembered by that of the specification's example.
fn key(number: usize) -> String {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(into, byte)| *into = byte);
    BASE64_STANDARD.encode(bytes)
}

/// `Sec-WebSocket-Accept` for the key in a request (RFC 6455 section 4.2.2).
fn accept(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let mut digest = Sha1::new();
    digest.update(key.unwrap_or_default());
    digest.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest.finalize())
}

/// A handshake of which nothing was there before.
fn request(number: usize) -> String {
    let name = name(number);
    let path = format!("/{name}/{}", number % ACCEPTED);
    let origin = format!("https://{name}.hostile.example");
    let request = http::upgrade(&path, &format!("{name}.example"), &origin);
    request.replace(http::KEY, &key(number))
}

/// A name without a digit, so that it looks like no id.
fn name(mut number: usize) -> String {
    let mut name = String::new();
    loop {
        name.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        number /= 26;
        if number == 0 {
            return name;
        }
    }
}

/// Makes `count` handshakes, each of another origin, host and path, and waits until the agent has them all. Nothing else
/// on the host makes any meanwhile.
pub fn storm(agent: &Agent, count: usize) -> Result<()> {
    let server = serve()?;
    for batch in 0..count.div_ceil(BATCH) {
        let numbers = batch * BATCH..count.min((batch + 1) * BATCH);
        std::thread::scope(|scope| -> Result<()> {
            let client =
                |lane: usize| visit(server, numbers.clone().skip(lane).step_by(CONNECTIONS));
            let lanes: Vec<_> =
                (0..CONNECTIONS).map(|lane| scope.spawn(move || client(lane))).collect();
            for lane in lanes {
                lane.join().ok().context("a client broke")??;
            }
            Ok(())
        })?;
        drained(agent)?;
    }
    Ok(())
}

/// Makes `count` more, each of which offers as many subprotocols as fit into what is read of a head, and waits likewise.
/// They begin with number `first`.
pub fn long_lists(agent: &Agent, first: usize, count: usize) -> Result<()> {
    let server = serve()?;
    let offer = format!("Sec-WebSocket-Protocol: {}\r\n\r\n", "a,".repeat(OFFERED));
    for batch in (first..first + count).collect::<Vec<_>>().chunks(LONG_BATCH) {
        let mut stream = http::connect(server)?;
        for number in batch.iter().filter(|number| *number % ACCEPTED != 0) {
            let request = request(*number);
            let head = request.strip_suffix("\r\n").unwrap_or(&request);
            stream.write_all(format!("{head}{offer}").as_bytes())?;
            ensure!(matches!(http::answer(&mut stream)?, Answer::Status(_)));
        }
        drained(agent)?;
    }
    Ok(())
}

fn drained(agent: &Agent) -> Result<()> {
    agent.wait_for_metrics("a drained ring", |metrics| {
        let records = |what: &str| metrics.count(&format!("wstap_records_{what}_total"), &[]);
        records("seen") == records("delivered") + records("lost")
    })?;
    Ok(())
}

fn visit(server: SocketAddr, numbers: impl Iterator<Item = usize>) -> Result<()> {
    let mut stream = http::connect(server)?;
    for number in numbers {
        let request = request(number);
        if number % ACCEPTED == 0 {
            let mut accepted = http::connect(server)?;
            accepted.write_all(request.as_bytes())?;
            let mut rest = Vec::new();
            accepted.read_to_end(&mut rest)?;
            ensure!(rest.starts_with(b"HTTP/1.1 101"), "{rest:?}");
        } else {
            stream.write_all(request.as_bytes())?;
            ensure!(matches!(http::answer(&mut stream)?, Answer::Status(_)));
        }
    }
    Ok(())
}

/// Serves for as long as the process lives.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for status in (0..STATUSES).cycle() {
        let head = http::head(&mut stream)?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path.is_empty() {
            return Ok(());
        }
        if path.ends_with("/0") {
            let code = 4000 + u16::try_from(path.len() * 37 + status).unwrap_or(0) % 1000;
            let mut bytes = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                accept(&head)
            )
            .into_bytes();
            bytes.extend([0x88, 2]);
            bytes.extend(code.to_be_bytes());
            return stream.write_all(&bytes);
        }
        let line = format!("HTTP/1.1 {} Made Up\r\nContent-Length: 0\r\n\r\n", 400 + status);
        match stream.write_all(line.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

/// The most series of any family, by its name.
pub fn largest_family(metrics: &Metrics) -> (String, usize) {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for sample in metrics.all() {
        *counts.entry(&sample.name).or_default() += 1;
    }
    let largest = counts.into_iter().max_by_key(|(_, count)| *count);
    largest.map_or_else(Default::default, |(name, count)| (name.to_owned(), count))
}
