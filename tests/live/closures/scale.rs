//! The truth at scale: thousands of connections through real servers and proxies, ended in every way by
//! every side, and what the agent says of each beside what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use wstap_tests::agent::Agent;
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::node::{self, Node};
use wstap_tests::process::{Lines, Process};
use wstap_tests::random::Random;
use wstap_tests::{free_port, is_slow};

use super::{CODES, How, RING, Servers};
use crate::stage;

/// How many connections; `cargo xtask test --closures N` sets it.
const COUNT: &str = "WSTAP_CLOSURES";
/// As many unless it is set.
const DEFAULT: usize = 1_000;
/// The share of ends that have to be told rightly.
const RIGHT: f64 = 0.999;
/// Connections at a time.
const AT_ONCE: usize = 24;
/// How long nothing may be told before the rest is taken for missing.
const QUIET: Duration = Duration::from_secs(20);

/// Who ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    Client,
    Server,
    /// nginx, whose timer runs out.
    Proxy,
    /// The server's process, which is killed.
    Kill,
}

/// One connection.
pub(super) struct Plan {
    pub(super) path: String,
    pub(super) by: By,
    pub(super) how: How,
    /// Where the client connects to.
    pub(super) front: SocketAddr,
    /// Whether nginx is there.
    pub(super) proxied: bool,
    pub(super) deflate: bool,
    pub(super) len: usize,
}

impl Plan {
    pub(super) fn line(&self) -> String {
        // Of a server that must not end it, none is the last.
        let messages = u8::from(matches!(self.by, By::Client | By::Server));
        json!({
            "path": self.path,
            "url": format!("ws://{}{}?messages={messages}", self.front, self.path),
            "len": self.len,
            "deflate": self.deflate,
            "ends": self.by == By::Client,
            "how": self.how.in_path(),
        })
        .to_string()
    }

    fn legs(&self) -> usize {
        if self.proxied { 4 } else { 2 }
    }

    /// Whether an event says what was done.
    pub(super) fn is_told(&self, event: &Value) -> bool {
        let at_server = event["role"] == "server";
        let server_end = if at_server { &event["local"] } else { &event["peer"] };
        let at_front = *server_end == self.front.to_string().as_str();
        let by_server = match self.by {
            By::Client => false,
            By::Server | By::Kill => true,
            By::Proxy => at_front,
        };
        let initiator = if at_server == by_server { "local" } else { "peer" };
        event["code"] == self.how.code() && event["initiator"] == initiator
    }
}

/// 0 to 1 MiB (64 KiB on a slow machine), as many small ones as large ones.
fn len(random: &mut Random) -> usize {
    let most = 1 << random.below(if is_slow() { 17 } else { 21 });
    random.below(most + 1)
}

/// What the endpoints saw and what the agent told, by path.
#[derive(Default)]
struct Seen {
    endpoints: BTreeMap<String, u64>,
    told: BTreeMap<String, Vec<Value>>,
}

#[test]
fn thousands_of_connections_end_as_they_are_told() -> Result<()> {
    let _alone = stage::alone();
    let count = std::env::var(COUNT).map_or(Ok(DEFAULT), |count| count.parse())?;
    let folder = wstap_tests::scratch("closures-scale")?;
    let servers = Servers::start(&folder, "")?;
    let victim = Node::start(&folder, "tests/live/servers/closing.js", &[])?;
    let [impatient, front_of_victim] =
        [free_port()?, free_port()?].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let other = folder.join("other");
    std::fs::create_dir_all(&other)?;
    let (node, _) = servers.ways[0];
    let mut blocks = String::new();
    for (front, backend, directives) in
        [(impatient, node, "proxy_read_timeout 1s;"), (front_of_victim, victim.address(), "")]
    {
        writeln!(
            blocks,
            "server {{ listen {front}; location / {{ {directives} proxy_pass http://{backend};\n\
             {UPGRADE} }} }}"
        )?;
    }
    let _nginx = Nginx::start(&other, &blocks, &[impatient, front_of_victim])?;

    let agent = Agent::start(&folder, &["--ring-bytes", RING])?;
    let tail = agent.tail(&["--closures", "--role", "server,client"])?;

    let mut random = Random(1);
    let mut ended = Vec::new();
    let hows: Vec<_> = CODES
        .iter()
        .map(|code| How::Code(*code))
        .chain([How::NoCode, How::Fin, How::Rst])
        .collect();
    for number in 0..count * 9 / 10 {
        let way = number % 4;
        let how = hows[number / 4 % hows.len()];
        let by_server = random.below(2) == 0;
        // The Python server cannot leave out a code.
        let by = if by_server && !(how == How::NoCode && way % 2 == 1) {
            By::Server
        } else {
            By::Client
        };
        let (front, proxied) = servers.ways[way];
        ended.push(plan(&mut random, number, by, how, front, proxied));
    }
    let idle: Vec<_> = (0..count / 20)
        .map(|number| plan(&mut random, number, By::Proxy, How::Fin, impatient, true))
        .collect();
    let killed: Vec<_> = (0..count / 20)
        .map(|number| match number % 2 {
            0 => plan(&mut random, number, By::Kill, How::Fin, victim.address(), false),
            _ => plan(&mut random, number, By::Kill, How::Fin, front_of_victim, true),
        })
        .collect();

    let mut seen = Seen::default();
    let began = Instant::now();
    // Of the idle ones each is silent for as long as the timer.
    let groups = [(&ended, AT_ONCE), (&idle, idle.len().min(200)), (&killed, killed.len())];
    let (_clients, lines) = clients(&folder, &groups)?;
    for (group, victim) in [(&ended, None), (&idle, None), (&killed, Some(victim.process()))] {
        seen.take(&lines, group.len(), victim)?;
    }

    let plans: Vec<_> = ended.into_iter().chain(idle).chain(killed).collect();
    let total: usize = plans.iter().map(Plan::legs).sum();
    // The host may have other traffic.
    let fronts = servers.ways.map(|(server, _)| server);
    let others = [impatient, front_of_victim, victim.address()];
    let ports: BTreeSet<_> = fronts.iter().chain(&others).map(SocketAddr::port).collect();
    let mut told = 0;
    while told < total
        && let Some(event) = tail.next_within(QUIET)?
    {
        ensure!(event["type"] != "missed", "the tail is too slow: {event}");
        let server = if event["role"] == "server" { &event["local"] } else { &event["peer"] };
        let port = server.as_str().and_then(|server| server.rsplit_once(':')?.1.parse().ok());
        if event["type"] == "closure" && port.is_some_and(|port| ports.contains(&port)) {
            let path = event["path"].as_str().unwrap_or_default().to_owned();
            seen.told.entry(path).or_default().push(event);
            told += 1;
        }
    }
    let took = began.elapsed();
    let metrics = agent.metrics()?;
    agent.stop()?;
    judge(&plans, &seen, took)?;
    ensure!(metrics.count("wstap_records_lost_total", &[]) == 0, "records were lost");
    Ok(())
}

fn plan(
    random: &mut Random,
    number: usize,
    by: By,
    how: How,
    front: SocketAddr,
    proxied: bool,
) -> Plan {
    let side = match by {
        By::Client => "client",
        By::Server => "server",
        By::Proxy => "idle",
        By::Kill => "killed",
    };
    let path = format!("/{side}/{}/{number}/end", how.in_path());
    let deflate = random.below(2) == 0;
    Plan { path, by, how, front, proxied, deflate, len: len(random) }
}

/// Starts the clients of these plans, one group after the other, each with so many at a time.
fn clients(folder: &Path, groups: &[(&Vec<Plan>, usize)]) -> Result<(Process, Lines)> {
    let mut command = node::command("tests/live/servers/closing_clients.js");
    for (number, (plans, at_once)) in groups.iter().enumerate() {
        let file = folder.join(format!("{number}.plans"));
        std::fs::write(&file, plans.iter().map(|plan| plan.line() + "\n").collect::<String>())?;
        command.arg(at_once.to_string()).arg(&file);
    }
    Process::start_with_lines("clients", &mut command, folder)
}

impl Seen {
    /// Takes what `count` clients say, until all are closed; kills `victim` once all are open.
    fn take(&mut self, lines: &Lines, count: usize, victim: Option<&Process>) -> Result<()> {
        let (mut open, mut closed) = (0, 0);
        while closed < count {
            let line: Value = serde_json::from_str(&lines.next()?)?;
            if line["open"] == true {
                open += 1;
                if open == count
                    && let Some(victim) = victim
                {
                    victim.signal(Signal::KILL)?;
                }
            } else {
                let path = line["path"].as_str().context("no path")?.to_owned();
                self.endpoints.insert(path, line["code"].as_u64().context("no code")?);
                closed += 1;
            }
        }
        Ok(())
    }
}

/// Compares, and prints the figures.
#[expect(clippy::print_stdout, reason = "figures for the documentation")]
fn judge(plans: &[Plan], seen: &Seen, took: Duration) -> Result<()> {
    let paths: BTreeSet<_> = plans.iter().map(|plan| plan.path.as_str()).collect();
    let invented: Vec<_> =
        seen.told.iter().filter(|(path, _)| !paths.contains(path.as_str())).collect();
    ensure!(invented.is_empty(), "nobody made these: {invented:#?}");
    let mut wrong = Vec::new();
    let (mut right, mut missing, mut unsynchronised, mut total) = (0, 0, 0, 0);
    for plan in plans {
        let code = seen.endpoints.get(&plan.path);
        // The client's own library on what it saw: the truth that the plan was carried out.
        ensure!(
            code == Some(&u64::from(plan.how.code())),
            "{}: the client saw {code:?}",
            plan.path
        );
        let events = seen.told.get(&plan.path).map_or(&[][..], Vec::as_slice);
        ensure!(events.len() <= plan.legs(), "told too often: {events:#?}");
        total += plan.legs();
        missing += plan.legs() - events.len();
        for event in events {
            unsynchronised += usize::from(event["synchronised"] != true);
            if plan.is_told(event) {
                right += 1;
            } else {
                wrong.push(event.to_string());
            }
        }
    }
    let share = f64::from(u32::try_from(right)?) / f64::from(u32::try_from(total)?);
    println!(
        "figure: {} connections, {total} ends of legs in {} s: {right} right ({share:.5}), {} wrong, {missing} \
         missing, {unsynchronised} unsynchronised",
        plans.len(),
        took.as_secs(),
        wrong.len()
    );
    ensure!(share >= RIGHT, "{missing} are missing, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
