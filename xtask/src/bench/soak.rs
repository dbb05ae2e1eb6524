//! `cargo xtask bench soak`: the agent under a churn of connections for a long time. It must not grow.
//!
//! The agent watches a cgroup in which only this benchmark's processes are. Real servers (Node `ws`, direct and
//! behind nginx); connections are opened at a steady rate, live for up to [`LIFE`], and end in every way.
//! Growth: the median of the last third of the samples lies above that of the middle third by more than
//! [`NOISE`]; the first third is warm-up.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wstap_tests::agent::Agent;
use wstap_tests::frames::{close, frame, read};
use wstap_tests::http::{self, Answer};
use wstap_tests::metrics::Metrics;
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::node::Node;
use wstap_tests::{free_port, wait_for};

use super::groups::{Charged, Watched};
use super::{median, print, resident};
use crate::command::{cargo, need_root, run as run_command, say, workspace};
use crate::setup::{self, Group};

/// How long, and how much.
#[derive(Args)]
pub(crate) struct Options {
    /// Minutes of churn
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Connections that are opened a second
    #[arg(long, default_value_t = RATE)]
    rate: f64,
}

/// Connections that are opened a second, unless it is said.
const RATE: f64 = 40.0;
/// Samples in all.
const SAMPLES: u32 = 90;
/// Clients, each with connections of its own.
const CLIENTS: u32 = 4;
/// A connection lives as long as this at most.
const LIFE: Duration = Duration::from_secs(20);
/// Origins, more than get a label value.
const ORIGINS: u64 = 300;
/// By as much of itself, and by as many KiB, a size may differ without having grown.
const NOISE: (f64, f64) = (0.01, 256.0);

/// What is measured of the agent.
struct Sample {
    resident_kib: f64,
    kernel_kib: f64,
    files: f64,
    active: f64,
}

/// What was done, of which the agent must tell all.
#[derive(Default)]
struct Done {
    over: AtomicBool,
    /// Ends of connections at a server that the agent sees as such: two of a connection through nginx.
    legs: AtomicU64,
    rejected: AtomicU64,
}

/// Where to connect to.
struct Servers {
    direct: SocketAddr,
    proxied: SocketAddr,
    rejecting: SocketAddr,
}

/// `cargo xtask soak`: the same by the hour.
#[derive(Args)]
pub(crate) struct Long {
    /// Hours of churn
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
}

impl Long {
    pub(crate) fn run(&self) -> Result<()> {
        run(&Options { minutes: self.hours * 60.0, rate: RATE })
    }
}

pub(super) fn run(options: &Options) -> Result<()> {
    need_root("Capturing on this kernel", "bench soak")?;
    setup::run(&[Group::Bpf, Group::Servers])?;
    run_command(&mut cargo(["build", "--quiet", "--release", "--package", "wstap"]))?;
    let binary = workspace().join("target/release/wstap");
    let folder = wstap_tests::scratch("bench-soak")?;
    let watched = Watched::enter("wstap-soak")?;
    let charged = Charged::new("wstap-soak")?;

    let closing = Node::start(&folder, "tests/live/servers/closing.js", &[])?;
    let rejecting = Node::start(&folder, "tests/live/servers/ws.js", &[])?;
    let proxied = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let block = format!(
        "server {{ listen {proxied}; access_log off; location / {{\n\
         proxy_pass http://{}; {UPGRADE} }} }}",
        closing.address()
    );
    let _nginx = Nginx::start(&folder, &block, &[proxied])?;
    let servers = Servers { direct: closing.address(), proxied, rejecting: rejecting.address() };
    let cgroup = watched.folder().display().to_string();
    // Few origins, so that each series has come before the warm-up is over: what series cost is bounded elsewhere.
    let options_of_agent = ["--cgroup", &cgroup, "--max-origins", "20"];
    let mut agent = Agent::start_program(charged.command(&binary), &folder, &options_of_agent)?;

    let done = Done::default();
    let samples = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (done, servers) = (&done, &servers);
            let pause = Duration::from_secs_f64(f64::from(CLIENTS) / options.rate);
            scope.spawn(move || Client::new(client).live(servers, done, pause));
        }
        let samples = watch(options, &mut agent, &charged);
        done.over.store(true, Ordering::Relaxed);
        samples
    })?;
    let (legs, rejected) =
        (done.legs.load(Ordering::Relaxed), done.rejected.load(Ordering::Relaxed));
    let last = wait_for("every end to be told", || {
        let metrics = agent.metrics()?;
        let told = metrics.count("ws_closures_total", &[]) == legs && active(&metrics) == 0.0;
        Ok(told.then_some(metrics))
    });
    let last = last.or_else(|error| {
        say(format!("bench: {error:#}"));
        agent.metrics()
    })?;
    let drained = sample(&mut agent, &charged)?;
    agent.stop()?;
    report(&samples, &drained)?;
    let told = last.count("ws_closures_total", &[]);
    let refused = last.count("ws_handshakes_total", &[("outcome", "rejected")]);
    let lost = last.count("wstap_records_lost_total", &[]);
    print(&format!(
        "\n{legs} ends of connections, {told} told; {rejected} rejected handshakes, {refused} told; {lost} records \
         lost; {} open at the end",
        active(&last)
    ));
    ensure!(told == legs && refused == rejected && lost == 0, "not all was told");
    Ok(())
}

/// Samples until the time is over.
fn watch(options: &Options, agent: &mut Agent, charged: &Charged) -> Result<Vec<Sample>> {
    let began = Instant::now();
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let mut samples = Vec::new();
    for number in 1..=SAMPLES {
        let due = began + time * number / SAMPLES;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        agent.process().check_alive()?;
        let now = sample(agent, charged)?;
        if number % (SAMPLES / 10) == 0 {
            say(format!(
                "bench: {:.0} s: {:.0} KiB resident, {:.0} KiB of the kernel, {} files, {} open",
                began.elapsed().as_secs_f64(),
                now.resident_kib,
                now.kernel_kib,
                now.files,
                now.active
            ));
        }
        samples.push(now);
    }
    Ok(samples)
}

fn sample(agent: &mut Agent, charged: &Charged) -> Result<Sample> {
    let active = active(&agent.metrics()?);
    let process = agent.process().id();
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Sample {
        resident_kib: resident(process)? as f64,
        kernel_kib: charged.kernel_bytes()? as f64 / 1024.0,
        files: files as f64,
        active,
    })
}

fn active(metrics: &Metrics) -> f64 {
    metrics.of("ws_connections_active").map(|sample| sample.value).sum()
}

/// Prints the table; an error when something grew.
fn report(samples: &[Sample], drained: &Sample) -> Result<()> {
    type Of = fn(&Sample) -> f64;
    let sizes: [(&str, Of); 4] = [
        ("resident memory, KiB", |sample| sample.resident_kib),
        ("kernel memory, KiB", |sample| sample.kernel_kib),
        ("open files", |sample| sample.files),
        ("open connections", |sample| sample.active),
    ];
    print("| of the agent | first third | middle third | last third | most | drained |");
    print("|---|---|---|---|---|---|");
    let third = samples.len() / 3;
    let mut grown = Vec::new();
    for (name, of) in sizes {
        let mut thirds =
            samples.chunks(third.max(1)).map(|part| median(part.iter().map(of).collect()));
        let (first, middle, last) = (thirds.next(), thirds.next(), thirds.next());
        let (first, middle, last) =
            (first.context("samples")?, middle.context("samples")?, last.context("samples")?);
        let most = samples.iter().map(of).fold(0.0, f64::max);
        print(&format!(
            "| {name} | {first:.0} | {middle:.0} | {last:.0} | {most:.0} | {:.0} |",
            of(drained)
        ));
        let noise = if name == "open files" { 0.0 } else { NOISE.1.max(middle * NOISE.0) };
        if last > middle + noise {
            grown.push(name);
        }
    }
    ensure!(grown.is_empty(), "these grew: {}", grown.join(", "));
    Ok(())
}

/// How a connection ends.
#[derive(Clone, Copy)]
enum End {
    /// A close frame of the client's.
    Code(u16),
    Fin,
    /// By leaving what was sent unread.
    Rst,
    /// A frame that is not masked, which the server ends the connection for.
    Unmasked,
    /// The server ends it.
    Server,
}

/// A client and its open connections, each with the time of its end.
struct Client {
    random: u64,
    open: Vec<(Instant, TcpStream, End)>,
}

impl Client {
    fn new(number: u32) -> Self {
        Self { random: u64::from(number), open: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn live(&mut self, servers: &Servers, done: &Done, pause: Duration) {
        let mut next = Instant::now();
        while !done.over.load(Ordering::Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pause;
            if let Err(error) = self.open_one(servers, done) {
                say(format!("bench: {error:#}"));
            }
            let now = Instant::now();
            while let Some(at) = self.open.iter().position(|(end, ..)| *end <= now) {
                let (_, stream, end) = self.open.swap_remove(at);
                end_one(stream, end);
            }
        }
        for (_, stream, end) in self.open.drain(..) {
            end_one(stream, end);
        }
    }

    fn open_one(&mut self, servers: &Servers, done: &Done) -> Result<()> {
        let origin = format!("https://tenant-{}.example", self.below(ORIGINS));
        if self.below(10) == 0 {
            let request = http::upgrade("/reject/403", "soak.example", &origin);
            let answer = http::ask(servers.rejecting, request.as_bytes())?;
            ensure!(answer == Answer::Status(403), "{answer:?}");
            done.rejected.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let (end, path) = match self.below(10) {
            0..3 => (End::Code(1000 + self.below(2) as u16), "/client".to_owned()),
            3 => (End::Code(4000 + self.below(4) as u16), "/client".to_owned()),
            4 => (End::Fin, "/client".to_owned()),
            5 => (End::Rst, "/client".to_owned()),
            6 => (End::Unmasked, "/client".to_owned()),
            7 => (End::Server, "/server/fin".to_owned()),
            8 => (End::Server, "/server/rst".to_owned()),
            _ => (End::Server, format!("/server/{}", 1000 + self.below(4))),
        };
        let proxied = self.below(3) == 0;
        let mut stream = http::connect(if proxied { servers.proxied } else { servers.direct })?;
        // The last message makes the server end it, when it does.
        let path = format!("{path}/{}?messages=2", self.below(1000));
        stream.write_all(http::upgrade(&path, "soak.example", &origin).as_bytes())?;
        ensure!(http::answer(&mut stream)? == Answer::Status(101), "{path}");
        done.legs.fetch_add(if proxied { 2 } else { 1 }, Ordering::Relaxed);
        let len = 1_usize << self.below(18);
        stream.write_all(&frame(1, &vec![b'x'; len]))?;
        ensure!(read(&mut stream)?.1.len() == len, "another message came back");
        let life = LIFE.mul_f64(self.below(1000) as f64 / 1000.0);
        self.open.push((Instant::now() + life, stream, end));
        Ok(())
    }
}

/// Ends a connection; that the server may be faster is part of it.
fn end_one(mut stream: TcpStream, end: End) {
    let _ended = match end {
        End::Code(code) => close(&mut stream, code),
        End::Fin => Ok(()),
        End::Rst => stream.write_all(&frame(2, &[0; 3000])).map(|()| {
            let _came = stream.peek(&mut [0]);
        }),
        End::Unmasked => stream.write_all(b"\x81\x02hi").and_then(|()| {
            let _told = read(&mut stream)?;
            Ok(())
        }),
        // Of several segments, as another agent on the host may take four whole frames for an older connection.
        End::Server => stream.write_all(&frame(2, &vec![0; 100_000])).and_then(|()| {
            let _echo = read(&mut stream)?;
            close(&mut stream, 1000)
        }),
    };
}
