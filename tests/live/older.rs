//! Connections that were open before the agent came: recognised by the frames that they carry, followed to
//! their end, and nothing else is taken for them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::frames::{frame, read};
use wstap_tests::http::{self, Answer};
use wstap_tests::random::Random;

use crate::closures::{How, Servers};
use crate::stage;

/// Messages each way before the end.
const MESSAGES: usize = 4;

/// A connection that is older than the agent, and how it will end.
struct Older {
    stream: TcpStream,
    by_server: bool,
    how: How,
    proxied: bool,
}

impl Older {
    /// A message each way.
    fn talk(&mut self, len: usize) -> Result<()> {
        self.stream.write_all(&frame(2, &vec![b'x'; len]))?;
        let (_, payload) = read(&mut self.stream)?;
        ensure!(payload.len() == len);
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if self.by_server {
            if let (How::Code(_) | How::NoCode, Ok((8, close))) = (self.how, read(&mut self.stream))
            {
                self.stream.write_all(&frame(8, &close[..close.len().min(2)]))?;
            }
        } else {
            match self.how {
                How::Fin => self.stream.shutdown(Shutdown::Write)?,
                How::Rst => {
                    socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                    return Ok(());
                }
                how => {
                    let code = how.code().to_be_bytes();
                    self.stream
                        .write_all(&frame(8, if how == How::NoCode { &[] } else { &code }))?;
                }
            }
        }
        // To the end, however it comes.
        let _ended = self.stream.read_to_end(&mut Vec::new());
        Ok(())
    }
}

#[test]
fn connections_older_than_the_agent_are_followed_to_their_end() -> Result<()> {
    let _alone = stage::alone();
    let folder = wstap_tests::scratch("older")?;
    let servers = Servers::start(&folder, "")?;
    let hows = [How::Code(1000), How::Code(1001), How::Code(4001), How::NoCode, How::Fin, How::Rst];
    let mut open = Vec::new();
    for how in hows {
        for (way, (server, proxied)) in servers.ways.into_iter().enumerate() {
            for by_server in [false, true] {
                // The Python server cannot leave out a code.
                if by_server && how == How::NoCode && way % 2 == 1 {
                    continue;
                }
                let side = if by_server { "server" } else { "client" };
                let path = format!("/{side}/{}/older?messages={MESSAGES}", how.in_path());
                let mut stream = http::connect(server)?;
                let request = http::upgrade(&path, "here.example", "https://older.example");
                stream.write_all(request.as_bytes())?;
                ensure!(http::answer(&mut stream)? == Answer::Status(101), "{path}");
                open.push(Older { stream, by_server, how, proxied });
            }
        }
    }

    let agent = Agent::start(&folder, &[])?;
    let tail = agent.tail(&["--all", "--closures", "--role", "server,client"])?;
    let legs: usize = open.iter().map(|older| if older.proxied { 2 } else { 1 }).sum();
    let unseen = |metrics: &wstap_tests::metrics::Metrics| {
        metrics.count("ws_connections_active", &[("origin", "unseen")])
    };
    ensure!(unseen(&agent.metrics()?) == 0, "nothing has passed yet");
    // The last message makes some servers end: all but that one first.
    for older in &mut open {
        for round in 1..MESSAGES {
            older.talk(round * 50)?;
        }
    }
    let metrics = agent
        .wait_for_metrics("the older connections", |metrics| unseen(metrics) == legs as u64)?;
    ensure!(metrics.count("wstap_connections_found_total", &[]) == 2 * legs as u64);

    let mut expected: BTreeMap<_, usize> = BTreeMap::new();
    let mut by_ports = BTreeMap::new();
    for older in &open {
        for role in ["server", "client"] {
            let initiator = if (role == "server") == older.by_server { "local" } else { "peer" };
            *expected.entry((role, u64::from(older.how.code()), initiator)).or_default() +=
                if older.proxied { 2 } else { 1 };
            // Both ports: nginx's own connection to a backend may well have a port of one of these clients.
            let ports = (older.stream.local_addr()?.port(), older.stream.peer_addr()?.port());
            by_ports.insert((ports, role), (older.how, initiator));
        }
    }
    for mut older in open {
        older.talk(200)?;
        older.end()?;
    }
    let mut told = BTreeMap::new();
    let ports = servers.ways.map(|(server, _)| server.port());
    for _ in 0..2 * legs {
        let event = tail.next(|event| is_closure_at(event, &ports))?;
        ensure!(event["origin"] == "unseen" && event["path"].is_null(), "{event}");
        ensure!(event["older_than_agent"] == true && event["synchronised"] == true, "{event}");
        let role = if event["role"] == "server" { "server" } else { "client" };
        let initiator = if event["initiator"] == "local" { "local" } else { "peer" };
        let code = event["code"].as_u64().context("no code")?;
        *told.entry((role, code, initiator)).or_default() += 1;
        let (client, server) = if role == "server" { ("peer", "local") } else { ("local", "peer") };
        let ports = port(&event[client]).zip(port(&event[server])).context("no port")?;
        if let Some((how, initiator)) = by_ports.get(&(ports, role)) {
            ensure!(code == u64::from(how.code()) && event["initiator"] == *initiator, "{event}");
        }
        // The first two each way are the evidence; what made it enough is counted.
        let counted = |way: &str| event[way].as_u64().is_some_and(|count| (2..=3).contains(&count));
        ensure!(
            event["by"] == "rst" || (counted("messages_in") && counted("messages_out")),
            "{event}"
        );
    }
    ensure!(told == expected, "told {told:#?}\nexpected {expected:#?}");
    agent.wait_for_metrics("no connection any more", |metrics| unseen(metrics) == 0)?;
    agent.stop()
}

/// Whether it is the end of a connection at a server on one of these ports; the host may have other traffic.
fn is_closure_at(event: &Value, ports: &[u16]) -> bool {
    let server = if event["role"] == "server" { &event["local"] } else { &event["peer"] };
    event["type"] == "closure" && port(server).is_some_and(|port| ports.contains(&port))
}

/// The port of an address.
fn port(address: &Value) -> Option<u16> {
    address.as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// What one end of some other protocol sends, of `seed`'s bytes.
type Protocol = fn(&[u8]) -> Vec<u8>;

#[test]
fn other_protocols_on_older_connections_are_not_taken_for_them() -> Result<()> {
    let _alone = stage::alone();
    let folder = wstap_tests::scratch("older-others")?;
    let protocols: [(&str, Protocol, Protocol); 9] = [
        ("random bytes", <[u8]>::to_vec, <[u8]>::to_vec),
        (
            "a length of a byte",
            |b| [&[b.len() as u8], b].concat(),
            |b| [&[b.len() as u8], b].concat(),
        ),
        (
            "a length of four bytes",
            |b| [&(b.len() as u32).to_be_bytes()[..], b].concat(),
            |b| [&(b.len() as u32).to_be_bytes()[..], b].concat(),
        ),
        // As frames, but for the masking.
        (
            "a type and a length",
            |b| [&[0x81, b.len() as u8], b].concat(),
            |b| [&[0x82, b.len() as u8], b].concat(),
        ),
        ("all masked", |b| frame(1, b), |b| frame(2, b)),
        ("TLS", tls, tls),
        (
            "Redis",
            |b| [b"*1\r\n$", format!("{}\r\n", b.len()).as_bytes(), b, b"\r\n"].concat(),
            |_| b"+OK\r\n".to_vec(),
        ),
        (
            "PostgreSQL",
            |b| [b"Q", &(b.len() as u32 + 4).to_be_bytes()[..], b].concat(),
            |b| [b"D", &(b.len() as u32 + 4).to_be_bytes()[..], b].concat(),
        ),
        (
            "memcached",
            |b| {
                [&[0x80, 0, 0, b.len() as u8, 0, 0, 0, 0, 0, 0, 0, b.len() as u8], &[0; 12][..], b]
                    .concat()
            },
            |b| [&[0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b.len() as u8], &[0; 12][..], b].concat(),
        ),
    ];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut pairs = Vec::new();
    for _ in &protocols {
        let client = http::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let agent = Agent::start(&folder, &[])?;
    let tail = agent.tail(&["--all", "--closures", "--role", "server,client"])?;
    let mut numbers = Random(1);
    let mut random = move || numbers.below(256) as u8;
    for ((name, asks, answers), (client, server)) in protocols.iter().zip(&mut pairs) {
        for _ in 0..2_000 {
            for (mut from, mut to, says) in [(&*client, &*server, asks), (server, client, answers)]
            {
                let seed: Vec<u8> = (0..random() % 100).map(|_| random()).collect();
                let bytes = says(&seed);
                from.write_all(&bytes)?;
                to.read_exact(&mut vec![0; bytes.len()]).with_context(|| (*name).to_owned())?;
            }
        }
        let found = agent.metrics()?.count("wstap_connections_found_total", &[]);
        ensure!(found == 0, "{name} was taken for frames");
    }
    drop(pairs);
    let ports = [listener.local_addr()?.port()];
    let closures =
        tail.until_quiet(Duration::from_secs(2), |event| is_closure_at(event, &ports))?;
    ensure!(closures.is_empty(), "{closures:#?}");
    agent.stop()
}

/// A record of application data (RFC 8446 section 5.1).
fn tls(bytes: &[u8]) -> Vec<u8> {
    [&[0x17, 3, 3], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
