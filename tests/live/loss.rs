//! What the agent could not see, it says; what it says it lost, it lost.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use wstap_tests::http::{self, Answer};
use wstap_tests::metrics::Metrics;

use crate::script;
use crate::stage::Stage;

/// Handshakes whose answers come while the ring is full. The storm fills it but for what is kept for answers; these fill
/// that too, with what their content brings: two times 8 KiB each.
const LATE: usize = 60;
/// As much of an answer's content as is told, and more.
const CONTENT: usize = 10_000;
/// A ring that the storm fills soon.
const RING: &str = "262144";
/// The storm that fills the ring, in handshakes a thread.
const STORM: usize = 100;
const THREADS: usize = 4;

/// `wstap_records_*_total`: seen, delivered, lost.
pub(crate) fn records(metrics: &Metrics) -> (u64, u64, u64) {
    let count = |name| metrics.count(name, &[]);
    (
        count("wstap_records_seen_total"),
        count("wstap_records_delivered_total"),
        count("wstap_records_lost_total"),
    )
}

#[test]
fn an_answer_lost_in_a_full_ring_is_unobserved_and_never_unanswered() -> Result<()> {
    let mut stage = Stage::new("full-ring", &["--ring-bytes", RING])?;
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let at_gate = Arc::clone(&gate);
    let late = script::serve(move |mut stream| {
        let gate = Arc::clone(&at_gate);
        std::thread::spawn(move || {
            let closed = gate.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _open = gate.1.wait_while(closed, |open| !*open);
            let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {CONTENT}\r\n\r\n");
            let _sent = stream.write_all((head + &"x".repeat(CONTENT)).as_bytes());
        });
        Ok(())
    })?;
    stage.watch(late);
    let request = |path: &str| http::upgrade(path, "here.example", "https://late.example");
    let mut waiting: Vec<TcpStream> = Vec::new();
    for number in 0..LATE {
        let mut stream = http::connect(late)?;
        stream.write_all(request(&format!("/late/{number}")).as_bytes())?;
        waiting.push(stream);
    }
    // The agent has these requests: it told the later ones' events.
    stage.events_until_now()?;

    let server = stage.server();
    stage.agent.process().signal(Signal::STOP)?;
    std::thread::scope(|scope| -> Result<()> {
        let storm = || -> Result<()> {
            for _ in 0..STORM {
                let request = http::upgrade("/reject/403", "here.example", "https://storm.example");
                ensure!(http::ask(server, request.as_bytes())? == Answer::Status(403));
            }
            Ok(())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(storm)).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("the storm broke"))??;
        }
        Ok(())
    })?;
    *gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    gate.1.notify_all();
    for stream in &mut waiting {
        ensure!(http::answer(stream)? == Answer::Status(403));
    }
    drop(waiting);
    stage.agent.process().signal(Signal::CONT)?;

    let late = |metrics: &Metrics, outcome: &str| {
        let labels = [("origin", "https://late.example"), ("outcome", outcome)];
        metrics.count("ws_handshakes_total", &labels)
    };
    let metrics = stage.agent.wait_for_metrics("the late handshakes", |metrics| {
        late(metrics, "unobserved") + late(metrics, "rejected") == LATE as u64
    })?;
    ensure!(late(&metrics, "unobserved") > LATE as u64 / 2, "{metrics:#?}");
    for outcome in ["unanswered", "timed-out", "accepted"] {
        ensure!(late(&metrics, outcome) == 0, "{outcome}: {metrics:#?}");
    }
    let unanswered = [("origin", "https://storm.example"), ("outcome", "unanswered")];
    ensure!(metrics.count("ws_handshakes_total", &unanswered) == 0, "{metrics:#?}");

    // Once drained, nothing is missing from the account.
    let metrics = stage.agent.wait_for_metrics("a drained ring", |metrics| {
        let (seen, delivered, lost) = records(metrics);
        seen == delivered + lost
    })?;
    let (_, _, lost) = records(&metrics);
    let of = |reason| metrics.count("wstap_records_lost_total", &[("reason", reason)]);
    ensure!(of("shed") > 0 && of("ring-full") > 0, "{metrics:#?}");
    ensure!(lost == of("shed") + of("ring-full"), "{metrics:#?}");
    Ok(())
}

#[test]
fn the_account_of_records_holds_without_loss() -> Result<()> {
    let stage = Stage::new("account", &[])?;
    for _ in 0..200 {
        let request = http::upgrade("/reject/403", "here.example", "https://account.example");
        http::ask(stage.server(), request.as_bytes())?;
    }
    stage.events_until_now()?;
    let metrics = stage.agent.wait_for_metrics("a drained ring", |metrics| {
        let (seen, delivered, lost) = records(metrics);
        seen == delivered + lost
    })?;
    let (seen, _, lost) = records(&metrics);
    ensure!(seen > 400 && lost == 0, "seen {seen}, lost {lost}");
    Ok(())
}
