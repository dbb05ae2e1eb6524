//! The truth test: thousands of handshakes of every kind through real servers, and the agent's
//! counts are the servers' and the clients' own: none missed, none invented.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use wstap_tests::http::{self, Answer};
use wstap_tests::metrics::Metrics;
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::{free_port, is_slow};

use crate::loss::records;
use crate::stage::Stage;

/// Handshakes of each kind, by each way.
fn each() -> usize {
    if is_slow() { 11 } else { 75 }
}

/// How long nothing is told once all is.
const QUIET: Duration = Duration::from_secs(3);
/// Room for all the records at once.
const RING: &str = "134217728";
/// Clients at the same time.
const THREADS: usize = 4;

/// How often each (outcome, status) was seen.
type Counts = BTreeMap<(String, String), u64>;

/// What a client does, and the path that tells Node what to do with it.
const KINDS: &[(&str, Client)] = &[
    ("/accept", Client::Once),
    ("/accept", Client::OneByteAWrite),
    ("/accept", Client::LargeHead),
    ("/accept", Client::AfterOrdinary),
    ("/accept", Client::LowerCase),
    ("/accept", Client::FrameWithRequest),
    ("/reject/401", Client::Once),
    ("/reject/403", Client::Once),
    ("/reject/403", Client::OneByteAWrite),
    ("/reject/500", Client::AfterOrdinary),
    ("/redirect", Client::Once),
    ("/ignore", Client::Once),
    ("/silent", Client::Once),
    ("/missing", Client::Stripped),
    ("/ordinary", Client::Ordinary),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Once,
    OneByteAWrite,
    LargeHead,
    AfterOrdinary,
    LowerCase,
    FrameWithRequest,
    Stripped,
    /// No handshake at all.
    Ordinary,
}

fn request(path: &str, client: Client) -> String {
    let request = http::upgrade(path, "here.example", "https://truth.example");
    match client {
        Client::LargeHead => {
            let cookie = format!("\r\nCookie: c={}\r\nUpgrade:", "x".repeat(6_000));
            request.replacen("\r\nUpgrade:", &cookie, 1)
        }
        Client::LowerCase => {
            let names = ["Host", "Upgrade:", "Connection:", "Origin", "Sec-WebSocket-Version"];
            let lower = |text: String, name: &&str| text.replacen(name, &name.to_lowercase(), 1);
            names.iter().fold(request, lower).replacen("Sec-WebSocket-Key", "sec-websocket-key", 1)
        }
        Client::Stripped => request.replacen("Upgrade: websocket\r\n", "", 1).replacen(
            "Connection: Upgrade",
            "Connection: keep-alive",
            1,
        ),
        Client::Ordinary => format!("GET {path} HTTP/1.1\r\nHost: here.example\r\n\r\n"),
        _ => request,
    }
}

/// One client's handshake, and what came of it.
fn visit(server: SocketAddr, path: &str, client: Client) -> Result<Answer> {
    let mut stream = http::connect(server)?;
    let request = request(path, client);
    match client {
        Client::OneByteAWrite => {
            for byte in request.as_bytes() {
                stream.write_all(&[*byte])?;
            }
        }
        Client::AfterOrdinary => {
            stream.write_all(b"HEAD /ordinary HTTP/1.1\r\nHost: here.example\r\n\r\n")?;
            ensure!(http::answer(&mut stream)? == Answer::Status(200));
            stream.write_all(request.as_bytes())?;
        }
        Client::FrameWithRequest => {
            let mut bytes = request.into_bytes();
            // A masked close frame with code 1000.
            bytes.extend([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
            stream.write_all(&bytes)?;
        }
        _ => stream.write_all(request.as_bytes())?,
    }
    let answer = http::answer(&mut stream)?;
    let _ended = stream.shutdown(Shutdown::Both);
    Ok(answer)
}

/// What an answer counts as.
fn outcome(answer: &Answer) -> (String, String) {
    match answer {
        Answer::Status(101) => ("accepted".to_owned(), "101".to_owned()),
        Answer::Status(status) => ("rejected".to_owned(), status.to_string()),
        Answer::Closed | Answer::Silent => ("unanswered".to_owned(), String::new()),
    }
}

/// All kinds through one server; what the clients saw of the handshakes.
fn storm(server: SocketAddr) -> Result<Counts> {
    let mut counts = Counts::new();
    let threads: Vec<Result<Vec<Answer>>> = std::thread::scope(|scope| {
        let client = |thread: usize| {
            let mut answers = Vec::new();
            for number in (thread..each() * KINDS.len()).step_by(THREADS) {
                let (path, client) = KINDS[number % KINDS.len()];
                let answer = visit(server, path, client)?;
                if client != Client::Ordinary {
                    answers.push(answer);
                }
            }
            Ok(answers)
        };
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || client(thread))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<Answer>>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client broke")))
        };
        threads.into_iter().map(join).collect()
    });
    for answers in threads {
        for answer in answers? {
            *counts.entry(outcome(&answer)).or_default() += 1;
        }
    }
    Ok(counts)
}

/// What Node did, in the words of the outcomes.
fn done_by_node(stage: &Stage) -> Result<Counts> {
    let (_, page) = http::get(stage.server(), "/counts")?;
    let done: BTreeMap<String, u64> = serde_json::from_str(&page)?;
    let mut counts = Counts::new();
    for (kind, count) in done {
        let answer = match kind.split_once('/') {
            Some(("reject", status)) => Answer::Status(status.parse()?),
            _ => match kind.as_str() {
                "accept" => Answer::Status(101),
                "redirect" => Answer::Status(302),
                "ignore" => Answer::Status(200),
                "plain" => Answer::Status(404),
                _ => Answer::Closed,
            },
        };
        *counts.entry(outcome(&answer)).or_default() += count;
    }
    Ok(counts)
}

/// What the agent says that it lost, or could not hold.
fn account(metrics: &Metrics) -> Vec<String> {
    let names = ["wstap_records_seen_total", "wstap_records_delivered_total"];
    let losses = ["wstap_records_lost_total", "wstap_bounds_reached_total"];
    let all = names.iter().chain(&losses).flat_map(|name| metrics.of(name));
    let told = all.filter(|sample| sample.count() > 0);
    told.map(|sample| format!("{} {:?} {}", sample.name, sample.labels, sample.value)).collect()
}

#[test]
fn the_agents_counts_are_the_servers_and_the_clients_own() -> Result<()> {
    // The test is of the truth, not of the speed: a busy machine may take its time.
    let mut stage = Stage::new("truth", &["--ring-bytes", RING])?;
    let front = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let block = format!(
        "server {{ listen {front}; location / {{ {UPGRADE} proxy_set_header Host $http_host;\n\
         proxy_pass http://{}; }} }}",
        stage.server()
    );
    let _nginx = Nginx::start(&stage.folder, &block, &[front])?;
    stage.watch(front);

    let direct = storm(stage.server())?;
    let through_nginx = storm(front)?;
    let by_node = done_by_node(&stage)?;
    let total: u64 = by_node.values().chain(through_nginx.values()).sum();
    ensure!(total >= if is_slow() { 300 } else { 2_000 }, "only {total} handshakes");
    ensure!(direct.values().sum::<u64>() * 2 == by_node.values().sum::<u64>());

    let expected = |role: &str| {
        // nginx is the client of its own handshakes with Node.
        let mut all = by_node.clone();
        for (outcome, count) in &through_nginx {
            *all.entry(outcome.clone()).or_default() += count;
        }
        (role.to_owned(), all)
    };
    let mut seen: BTreeMap<String, Counts> = BTreeMap::new();
    let mut count = 0;
    let own =
        |event: &Value| event["type"] == "missed" || event["origin"] == "https://truth.example";
    for event in stage.tail.until_quiet(QUIET, own)? {
        if event["type"] == "missed" {
            anyhow::bail!("the tail missed {event}");
        }
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let status = event["status"].as_u64().map_or_else(String::new, |code| code.to_string());
        let counts = seen.entry(text("role")).or_default();
        *counts.entry((text("outcome"), status)).or_default() += 1;
        count += 1;
    }
    let expected_of_both = BTreeMap::from([expected("client"), expected("server")]);
    let account = account(&stage.agent.metrics()?);
    ensure!(
        seen == expected_of_both,
        "{account:?}: {count} events: {seen:?}\ninstead of {expected_of_both:?}"
    );

    let metrics = stage.agent.wait_for_metrics("a drained ring", |metrics| {
        let (seen, delivered, lost) = records(metrics);
        seen == delivered + lost
    })?;
    ensure!(records(&metrics).2 == 0, "{account:?}");

    // The metrics count the server's role.
    let mut counted = Counts::new();
    for sample in stage.agent.metrics()?.of("ws_handshakes_total") {
        if sample.label("origin") == "https://truth.example" {
            let status = sample.label("status").parse::<u16>().map(|code| code.to_string());
            let key = (sample.label("outcome").to_owned(), status.unwrap_or_default());
            *counted.entry(key).or_default() += sample.count();
        }
    }
    ensure!(counted == expected("server").1, "{counted:#?}");
    ensure!(!stage.agent.metrics()?.of("ws_handshakes_total").any(|sample| {
        sample.label("outcome") == "unobserved" && sample.label("origin") == "https://truth.example"
    }));
    Ok(())
}
