//! How connections end, in every way, through real servers, direct and through nginx: the agent says what
//! the ends did, and nothing else.

mod netem;
mod scale;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::frames::{frame, read};
use wstap_tests::http::{self, Answer};
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::node::Node;
use wstap_tests::process::Process;
use wstap_tests::{free_port, workspace};

use crate::stage;

/// Connections of each kind.
const EACH: usize = 3;
/// Close codes: all that the protocol lets an endpoint send, and some of those for libraries and applications.
const CODES: &[u16] = &[
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3008, 4000, 4001,
    4404, 4999,
];
/// Lengths of messages: of each kind of header, and of more than one segment.
const LENGTHS: &[usize] = &[0, 1, 125, 126, 5_000, 65_535, 65_536, 1 << 20];
/// Room for all the records at once.
const RING: &str = "134217728";

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Code(u16),
    /// A close frame without a code.
    NoCode,
    Fin,
    Rst,
}

impl How {
    pub(crate) fn in_path(self) -> String {
        match self {
            Self::Code(code) => code.to_string(),
            Self::NoCode => "none".to_owned(),
            Self::Fin => "fin".to_owned(),
            Self::Rst => "rst".to_owned(),
        }
    }

    /// The code that has to be said of it.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Code(code) => code,
            Self::NoCode => 1005,
            Self::Fin | Self::Rst => 1006,
        }
    }
}

/// What one connection does.
struct Plan {
    path: String,
    server: SocketAddr,
    by_server: bool,
    how: How,
    len: usize,
    /// Whether nginx is on the way.
    proxied: bool,
}

/// A connection on which a message went both ways.
fn open(plan: &Plan) -> Result<TcpStream> {
    let mut stream = http::connect(plan.server)?;
    stream
        .write_all(http::upgrade(&plan.path, "here.example", "https://end.example").as_bytes())?;
    ensure!(http::answer(&mut stream)? == Answer::Status(101), "{}", plan.path);
    stream.write_all(&frame(2, &vec![b'x'; plan.len]))?;
    Ok(stream)
}

/// One connection from its beginning to its end.
fn live(plan: &Plan) -> Result<()> {
    let mut stream = open(plan)?;
    let echo = read(&mut stream);
    if plan.by_server {
        if let (How::Code(_) | How::NoCode, Ok((8, close))) = (plan.how, read(&mut stream)) {
            stream.write_all(&frame(8, &close[..close.len().min(2)]))?;
        }
        // To the end, however it comes.
        let _ended = stream.read_to_end(&mut Vec::new());
        return Ok(());
    }
    ensure!(echo?.1.len() == plan.len, "{}", plan.path);
    match plan.how {
        How::Fin => {}
        How::Rst => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?,
        how => {
            let code = how.code().to_be_bytes();
            stream.write_all(&frame(8, if how == How::NoCode { &[] } else { &code }))?;
            let _ended = stream.read_to_end(&mut Vec::new());
        }
    }
    Ok(())
}

/// The next closure of one of the paths.
fn closure(tail: &wstap_tests::tail::Tail, mark: &str) -> Result<Value> {
    tail.next(|event| {
        event["type"] == "closure"
            && event["path"].as_str().is_some_and(|path| path.ends_with(mark))
    })
}

/// The servers that end connections, and nginx in front of each.
pub(crate) struct Servers {
    /// Where to connect to, and whether nginx is on the way: Node, Python, and both through nginx.
    pub(crate) ways: [(SocketAddr, bool); 4],
    _node: Node,
    _python: Process,
    _nginx: Nginx,
}

impl Servers {
    /// Starts them; `directives` go into nginx's locations.
    pub(crate) fn start(folder: &Path, directives: &str) -> Result<Self> {
        let node = Node::start(folder, "tests/live/servers/closing.js", &[])?;
        let mut python = Command::new(workspace().join("target/servers/bin/python"));
        python.arg(workspace().join("tests/live/servers/closing.py"));
        let (process, lines) = Process::start_with_lines("closing-py", &mut python, folder)?;
        let line = lines.next()?;
        let port = line.strip_prefix("listening ").context("no port")?.parse()?;
        let python = SocketAddr::from(([127, 0, 0, 1], port));
        let mut blocks = String::new();
        let fronts: [_; 2] =
            [free_port()?, free_port()?].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for (front, backend) in fronts.iter().zip([node.address(), python]) {
            writeln!(
                blocks,
                "server {{ listen {front}; location / {{ {directives} proxy_pass http://{backend};\n\
                 {UPGRADE} }} }}"
            )?;
        }
        let nginx = Nginx::start(folder, &blocks, &fronts)?;
        let [node_front, python_front] = fronts;
        Ok(Self {
            ways: [
                (node.address(), false),
                (python, false),
                (node_front, true),
                (python_front, true),
            ],
            _node: node,
            _python: process,
            _nginx: nginx,
        })
    }
}

#[test]
fn every_way_to_end_a_connection_is_told_as_it_was() -> Result<()> {
    let _alone = stage::alone();
    let folder = wstap_tests::scratch("closures")?;
    let servers = Servers::start(&folder, "")?;
    let agent = Agent::start(&folder, &["--ring-bytes", RING])?;
    let tail = agent.tail(&["--all", "--closures", "--role", "server,client"])?;

    let hows = CODES.iter().map(|code| How::Code(*code)).chain([How::NoCode, How::Fin, How::Rst]);
    let hows: Vec<_> = hows.collect();
    let mut plans = Vec::new();
    for (number, how) in hows.iter().cycle().take(EACH * hows.len()).enumerate() {
        for (way, (server, proxied)) in servers.ways.into_iter().enumerate() {
            for by_server in [false, true] {
                if by_server && *how == How::NoCode && way % 2 == 1 {
                    continue;
                }
                let side = if by_server { "server" } else { "client" };
                let path = format!("/{side}/{}/{number}-{way}/end", how.in_path());
                let len = LENGTHS[(number + way) % LENGTHS.len()];
                plans.push(Plan { path, server, by_server, how: *how, len, proxied });
            }
        }
    }
    for plan in &plans {
        live(plan).with_context(|| plan.path.clone())?;
    }

    let by_path: BTreeMap<_, _> = plans.iter().map(|plan| (plan.path.as_str(), plan)).collect();
    // Both ends of every leg are on this host.
    let total: usize = plans.iter().map(|plan| if plan.proxied { 4 } else { 2 }).sum();
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for _ in 0..total {
        let event = closure(&tail, "/end")?;
        let path = event["path"].as_str().context("no path")?;
        let plan = by_path.get(path).context("a connection that nobody made")?;
        let at_server = event["role"] == "server";
        let initiator = if at_server == plan.by_server { "local" } else { "peer" };
        let by = match plan.how {
            How::Code(_) | How::NoCode => Some("close-frame"),
            How::Fin => Some("fin"),
            // nginx ends its other leg in its own way.
            How::Rst => Some("rst").filter(|_| !plan.proxied),
        };
        let framed = by == Some("close-frame");
        let mut right = event["code"] == plan.how.code()
            && event["initiator"] == initiator
            && event["synchronised"] == true
            && by.is_none_or(|by| event["by"] == by)
            && (!framed || event["reason"].is_null());
        // An RST may overtake the message that was sent back.
        if plan.how != How::Rst {
            right &= event["messages_in"] == 1 && event["messages_out"] == 1;
        }
        if !right {
            wrong.push(event.to_string());
        }
        *told.entry(path.to_owned()).or_default() += 1;
    }
    ensure!(wrong.is_empty(), "{} of {total} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for plan in &plans {
        let legs = if plan.proxied { 4 } else { 2 };
        ensure!(told.get(&plan.path) == Some(&legs), "{}: {:?}", plan.path, told.get(&plan.path));
    }
    agent.stop()
}

#[test]
fn a_killed_backend_is_told_as_such() -> Result<()> {
    let _alone = stage::alone();
    let folder = wstap_tests::scratch("closures-kill")?;
    let node = Node::start(&folder, "tests/live/servers/closing.js", &[])?;
    let agent = Agent::start(&folder, &[])?;
    let tail = agent.tail(&["--all", "--closures"])?;
    let mut open_ones = Vec::new();
    for number in 0..40 {
        let path = format!("/client/killed/{number}/killed");
        let plan = Plan {
            path,
            server: node.address(),
            by_server: true,
            how: How::Fin,
            len: 10,
            proxied: false,
        };
        let mut stream = open(&plan)?;
        read(&mut stream)?;
        open_ones.push(stream);
    }
    node.process().signal(Signal::KILL)?;
    for stream in &mut open_ones {
        let _ended = stream.read_to_end(&mut Vec::new());
    }
    for _ in 0..open_ones.len() {
        let event = closure(&tail, "/killed")?;
        ensure!(event["code"] == 1006 && event["initiator"] == "local", "{event}");
        ensure!(event["reason"] == "backend-gone", "{event}");
    }
    agent.stop()
}
