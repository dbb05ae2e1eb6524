//! What two agents told of the same traffic, made comparable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::agent::Agent;
use crate::metrics::Metrics;
use crate::tail::Tail;
use crate::{http, wait_for};

/// What tells of the moment and of the agent, and not of the handshake.
const OWN: [&str; 8] = [
    "time",
    "duration_us",
    "connection_seconds",
    "idle_seconds",
    "process",
    "container",
    "id",
    "retry_after_ms",
];
/// The families that are of the traffic.
const FAMILIES: [&str; 2] = ["ws_handshakes_total", "ws_closures_total"];
/// Nothing more comes when nothing has come for so long: an accepted handshake waits for its first second.
pub const QUIET: Duration = Duration::from_secs(3);

/// Handshakes of every kind with a server that is `ws.js`; answers how many.
pub fn visit(server: SocketAddr, origin: &str) -> Result<usize> {
    let paths =
        ["/accept", "/reject/403", "/reject/401", "/ignore", "/redirect", "/silent", "/other"];
    for path in paths {
        http::ask(server, http::upgrade(path, "here.example", origin).as_bytes())?;
        let stripped =
            http::upgrade(path, "here.example", origin).replace("Upgrade: websocket\r\n", "");
        http::ask(server, stripped.as_bytes())?;
    }
    Ok(paths.len() * 2)
}

/// The events of a tail, without what is the agent's own, in an order of their own.
pub fn events(tail: &Tail) -> Result<Vec<String>> {
    Ok(without_own(tail.until_quiet(QUIET, |_| true)?))
}

/// The same of lines of JSON; those of the origin `other` are left out.
pub fn comparable(lines: Vec<String>, other: &str) -> Result<Vec<String>> {
    let events: Result<Vec<Value>, _> =
        lines.iter().map(|line| serde_json::from_str(line)).collect();
    Ok(without_own(events?.into_iter().filter(|event| event["origin"] != other)))
}

fn without_own(events: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut texts: Vec<String> = events
        .into_iter()
        .map(|mut event| {
            if let Value::Object(fields) = &mut event {
                fields.retain(|name, _| !OWN.contains(&&**name));
            }
            without_times(&event.to_string())
        })
        .collect();
    texts.sort_unstable();
    texts
}

/// Each agent measures what it says in milliseconds by a clock reading of its own: 20.98 ms are another's 21.02.
fn without_times(event: &str) -> String {
    let parts = event.split(" ms").map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    parts.collect::<Vec<_>>().join(" ms")
}

/// An error unless both tails told the same; it names what only one of them told.
pub fn same_events(one: &[String], other: &[String]) -> Result<()> {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|event| !those.contains(event)).cloned().collect()
    };
    ensure!(one == other, "{:#?}\nare not\n{:#?}", only(one, other), only(other, one));
    Ok(())
}

/// The counters of an origin, by name and labels: the host may have other traffic.
fn counters(metrics: &Metrics, origin: &str) -> BTreeMap<String, u64> {
    let samples = FAMILIES.iter().flat_map(|family| metrics.of(family));
    samples
        .filter(|sample| sample.label("origin") == origin)
        .map(|sample| (format!("{} {:?}", sample.name, sample.labels), sample.count()))
        .collect()
}

/// An error unless both agents, which were there from the start, count the same of an origin.
pub fn same_counters(one: &Agent, other: &Agent, origin: &str) -> Result<()> {
    let mut last = (BTreeMap::new(), BTreeMap::new());
    let same = wait_for("the same counters", || {
        last = (counters(&one.metrics()?, origin), counters(&other.metrics()?, origin));
        Ok((last.0 == last.1 && !last.0.is_empty()).then_some(()))
    });
    ensure!(same.is_ok(), "{:#?}\nare not\n{:#?}", last.0, last.1);
    Ok(())
}
