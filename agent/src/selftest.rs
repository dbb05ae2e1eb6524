//! The self-test: a handshake of the agent's own on loopback shows whether what is attached sees anything.
//!
//! In: the clock's turns and what was observed. Out: that its handshake was seen at both ends, or why it
//! seems that nothing is; what it made itself is taken out, so that it reaches no event and no metric.
//! Bounds: one handshake at a time, at most [`EXCHANGE_MAX`] long, the next one [`RETRY`] later.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::handshake::{Answer, Observation, Role, Service};

/// How long nothing may be seen before that is said.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long after a handshake that was not seen the next one is made.
pub const RETRY: Duration = Duration::from_secs(2);
/// How long a handshake may take: far longer than loopback ever needs.
const EXCHANGE_MAX: Duration = Duration::from_secs(2);

/// The answer to the key of RFC 6455 section 1.3, which every request here has.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// Close frames with code 1000: for an agent beside this one it is an ordinary connection that ended well.
const CLOSE_FROM_CLIENT: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
const CLOSE_FROM_SERVER: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

/// What the self-test has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Its handshake was seen at both ends, so long after the test began.
    Sees(Duration),
    /// Nothing was seen for [`PATIENCE`], and what was missing. It goes on trying.
    Blind(String),
}

/// What a whole self-test showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It was tried.
    Tried(News),
    /// The agent is not in the cgroup that it captures, so its own traffic is not seen.
    Outside,
}

/// The self-test of one capture.
#[derive(Debug)]
pub struct SelfTest {
    /// Until the handshake was seen.
    listener: Option<std::net::TcpListener>,
    address: SocketAddr,
    /// Random: what nobody else asks for.
    path: String,
    began: Instant,
    next: Instant,
    attempt: Option<JoinHandle<io::Result<()>>>,
    failure: Option<io::Error>,
    seen_by_server: bool,
    seen_by_client: bool,
    told: bool,
}

impl SelfTest {
    /// A test that begins now.
    pub fn new(now: Instant) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let random = RandomState::new().hash_one(std::process::id());
        Ok(Self {
            address: listener.local_addr()?,
            listener: Some(listener),
            // In two parts: one would look like a credential, and be masked.
            path: format!("/wstap-self-test/{:08x}-{:08x}", random >> 32, random as u32),
            began: now,
            next: now,
            attempt: None,
            failure: None,
            seen_by_server: false,
            seen_by_client: false,
            told: false,
        })
    }

    /// Whether this is the test's own handshake or its end. It must go no further then.
    pub fn takes(&mut self, observation: &Observation) -> bool {
        let (connection, path) = match observation {
            Observation::Exchange(exchange) => {
                (&exchange.connection, Some(&*exchange.request.path))
            }
            Observation::Switched(switched) => {
                (&switched.connection, Some(&*switched.request.path))
            }
            Observation::Closure(closure) => {
                (&closure.connection, closure.handshake.as_ref().map(|opened| &*opened.path))
            }
        };
        // Without a path it is ours as long as the port is.
        if connection.service() != Service::Tcp(self.address)
            || !path.map_or(self.listener.is_some(), |path| path == self.path)
        {
            return false;
        }
        if let Observation::Exchange(exchange) = observation
            && matches!(&exchange.answer, Answer::Response(head) if head.status == 101)
        {
            match connection.role {
                Role::Server => self.seen_by_server = true,
                Role::Client => self.seen_by_client = true,
            }
        }
        true
    }

    /// The time is `now`: makes a handshake when one is due, and says what there is to say, each thing once.
    pub fn turn(&mut self, now: Instant) -> Option<News> {
        let listener = self.listener.as_ref()?;
        if self.seen_by_server && self.seen_by_client {
            self.listener = None;
            return Some(News::Sees(now.saturating_duration_since(self.began)));
        }
        if let Some(attempt) = self.attempt.take_if(|attempt| attempt.is_finished()) {
            self.failure = attempt.join().ok().and_then(Result::err);
            self.next = now + RETRY;
        }
        if self.attempt.is_none() && self.next <= now {
            match attempt(listener, &self.path) {
                Ok(attempt) => self.attempt = Some(attempt),
                Err(failure) => {
                    self.failure = Some(failure);
                    self.next = now + RETRY;
                }
            }
        }
        if !self.told && now.saturating_duration_since(self.began) >= PATIENCE {
            self.told = true;
            return Some(News::Blind(self.missing()));
        }
        None
    }

    /// What is missing as long as it was not seen.
    fn missing(&self) -> String {
        match (&self.failure, self.seen_by_server, self.seen_by_client) {
            (Some(failure), ..) => format!(
                "it cannot make a handshake of its own on 127.0.0.1 ({failure}): is the loopback \
                 interface up, and does no firewall close it?"
            ),
            (None, true, false) => "of its own handshake it saw only what came in".to_owned(),
            (None, false, true) => "of its own handshake it saw only what went out".to_owned(),
            (None, ..) => "it does not see its own handshake on loopback".to_owned(),
        }
    }
}

/// Makes a handshake on a thread of its own: the capture does not wait for it.
fn attempt(listener: &std::net::TcpListener, path: &str) -> io::Result<JoinHandle<io::Result<()>>> {
    let listener = listener.try_clone()?;
    let request = request(path, listener.local_addr()?);
    thread::Builder::new().name("self-test".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let exchange = exchange(TcpListener::from_std(listener)?, request.as_bytes());
            tokio::time::timeout(EXCHANGE_MAX, exchange).await?
        })
    })
}

fn request(path: &str, server: SocketAddr) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         User-Agent: wstap\r\n\r\n"
    )
}

/// Both ends of one connection: the handshake, and a close that both agree on.
async fn exchange(listener: TcpListener, request: &[u8]) -> io::Result<()> {
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let own = client.local_addr()?;
    let mut server = loop {
        let (stream, peer) = listener.accept().await?;
        // Others may knock on a port that is open.
        if peer == own {
            break stream;
        }
    };
    for (bytes, outgoing) in
        [(request, true), (ANSWER, false), (&CLOSE_FROM_CLIENT, true), (&CLOSE_FROM_SERVER, false)]
    {
        let (from, to) =
            if outgoing { (&mut client, &mut server) } else { (&mut server, &mut client) };
        from.write_all(bytes).await?;
        to.read_exact(&mut vec![0; bytes.len()]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
