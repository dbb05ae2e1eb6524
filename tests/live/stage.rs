//! What most tests need: an agent with a tail on it, a Node server, and nobody else's traffic.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::http::{self, Answer};
use wstap_tests::node::Node;
use wstap_tests::tail::Tail;

/// Held by the test that has the host for itself.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test uses the host.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent, a tail of everything it sees, and a Node server on every address of the host.
pub(crate) struct Stage {
    pub(crate) tail: Tail,
    pub(crate) agent: Agent,
    pub(crate) node: Node,
    pub(crate) folder: PathBuf,
    /// The ports whose events are this test's; the host may have other traffic.
    ports: Vec<u16>,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Sets the stage; the arguments are the agent's.
    pub(crate) fn new(name: &str, arguments: &[&str]) -> Result<Self> {
        let alone = alone();
        let folder = wstap_tests::scratch(name)?;
        let node = Node::start(&folder, "tests/live/servers/ws.js", &["::"])?;
        let agent = Agent::start(&folder, arguments)?;
        let tail = agent.tail(&["--all"])?;
        let ports = vec![node.address().port()];
        Ok(Self { tail, agent, node, folder, ports, _alone: alone })
    }

    /// Takes a further server's events for this test's.
    pub(crate) fn watch(&mut self, server: SocketAddr) {
        self.ports.push(server.port());
    }

    /// Where the Node server listens.
    pub(crate) fn server(&self) -> SocketAddr {
        self.node.address()
    }

    /// Every event up to now, as long as the connections have ended: an accepted handshake is told
    /// when its first second is over, or at its end. A last handshake closes the list; it fails,
    /// because the agent tells failed ones a moment later than others.
    pub(crate) fn events_until_now(&self) -> Result<Vec<Value>> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let path = format!("/reject/403/last-{}", LAST.fetch_add(1, Ordering::Relaxed));
        let request = http::upgrade(&path, "here.example", "https://last.example");
        ensure!(http::ask(self.server(), request.as_bytes())? == Answer::Status(403));
        let mut before = Vec::new();
        let mut roles = 0;
        while roles < 2 {
            let event = self.tail.next(|event| self.is_own(event))?;
            if event["path"] == path.as_str() {
                roles += 1;
            } else {
                before.push(event);
            }
        }
        Ok(before)
    }

    /// The next event of this test that is as wanted.
    pub(crate) fn event(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.tail.next(|event| self.is_own(event) && wanted(event))
    }

    fn is_own(&self, event: &Value) -> bool {
        let port = |end: &str| event[end].as_str()?.rsplit_once(':')?.1.parse().ok();
        [port("local"), port("peer")].into_iter().flatten().any(|port| self.ports.contains(&port))
    }
}

/// The handshakes at one end of a connection: `local` of the server's events is the server's
/// address.
pub(crate) fn of_role<'a>(events: &'a [Value], role: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == "handshake" && event["role"] == role).collect()
}
