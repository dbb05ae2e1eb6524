//! The TLS family: real software that ends TLS, clients over TLS 1.2 and 1.3, many at a time.

mod servers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::node::Node;
use wstap_tests::process::Process;
use wstap_tests::{is_since, is_slow, left_out, scratch, workspace};

use crate::stage::alone;
use servers::Front;

/// Clients of each server in all, and how many at a time.
fn clients() -> (&'static str, &'static str) {
    if is_slow() { ("24", "4") } else { ("252", "60") }
}

/// What a client did and saw.
struct Seen {
    path: String,
    port: u64,
    status: u64,
    case: String,
}

/// Runs the clients of one server to their end.
fn visit(folder: &Path, front: &Front) -> Result<Vec<Seen>> {
    let (rounds, together) = clients();
    let mut command = Command::new(workspace().join("target/servers/bin/python"));
    command.arg(workspace().join("tests/live/servers/tls/client.py"));
    command.args([&front.address.port().to_string(), rounds, together, front.name]);
    let (mut process, lines) = Process::start_with_lines("clients", &mut command, folder)?;
    let wanted: usize = rounds.parse()?;
    let seen = (0..wanted)
        .map(|_| {
            let line =
                lines.next().with_context(|| format!("{}: {}", front.name, process.log()))?;
            let seen: Value = serde_json::from_str(&line)?;
            let text = |name: &str| seen[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| seen[name].as_u64().unwrap_or_default();
            Ok(Seen {
                path: text("path"),
                port: number("port"),
                status: number("status"),
                case: text("case"),
            })
        })
        .collect::<Result<_>>()?;
    ensure!(process.wait()?.success(), "{}", process.log());
    Ok(seen)
}

/// Whether this kernel has uprobe_multi links; says what is left out where it has not.
fn has_multi() -> Result<bool> {
    let since = is_since((6, 6))?;
    if !since {
        left_out("no uprobe_multi links before Linux 6.6");
    }
    Ok(since)
}

#[test]
fn every_handshake_over_tls_is_told_with_its_socket_and_its_end() -> Result<()> {
    if !has_multi()? {
        return Ok(());
    }
    let _alone = alone();
    let folder = scratch("tls-truth")?;
    servers::certificate(&folder)?;
    let plain = Node::start(&folder, "tests/live/servers/ws.js", &["127.0.0.1"])?;
    let fronts = servers::start(&folder, plain.address())?;
    // Names, not `auto`: others' servers on this host are none of the test's business.
    let named = "nginx,haproxy,apache2,caddy,node,python,python3,python3.11,gorilla";
    let agent = Agent::start(&folder, &["--tls", named, "--tls-budget", "100"])?;
    let tail = agent.tail(&["--all", "--closures", "--role", "server"])?;
    let mut truth = Vec::new();
    for front in &fronts {
        truth.extend(visit(&folder, front)?.into_iter().map(|seen| (front, seen)));
    }
    let own = |event: &Value| {
        let local = event["local"].as_str().unwrap_or_default();
        event["scheme"] == "wss"
            && (local == "unknown" || fronts.iter().any(|front| local == front.address.to_string()))
            || event["type"] == "closure"
    };
    let events = tail.until_quiet(Duration::from_secs(5), own)?;

    let mut wrong = Vec::new();
    let mut unbound = BTreeMap::<String, usize>::new();
    let text = format!("{events:?}");
    ensure!(!text.contains("SECRET"), "a secret is in an event");
    for (front, seen) in &truth {
        let of = |kind: &str| -> Vec<&Value> {
            let over_tls = |event: &&Value| event["local"] != plain.address().to_string().as_str();
            events
                .iter()
                .filter(|event| event["type"] == kind && event["path"] == seen.path.as_str())
                .filter(over_tls)
                .collect()
        };
        let what = format!("{} {} {}", front.name, seen.case, seen.path);
        let [told] = of("handshake")[..] else {
            wrong.push(format!("{what}: told {} times", of("handshake").len()));
            continue;
        };
        if told["status"] != seen.status {
            wrong.push(format!("{what}: {} where the client saw {}", told["status"], seen.status));
        }
        if told["peer"] == "unknown" {
            *unbound.entry(format!("{} {}", front.name, seen.case)).or_default() += 1;
        } else if told["peer"] != format!("127.0.0.1:{}", seen.port).as_str() {
            wrong.push(format!("{what}: {} is another client's socket", told["peer"]));
        }
        let ends = of("closure");
        if ends.len() != usize::from(seen.status == 101) {
            wrong.push(format!("{what}: {} ends", ends.len()));
        }
        for end in ends {
            let code = if matches!(&*seen.case, "dropped" | "reset") { 1006 } else { 1000 };
            // Whose FIN came first is not known of a socket that is not.
            let told = end["initiator"] == "peer"
                || code == 1006 && end["peer"] == "unknown" && end["initiator"] == "unknown";
            if end["code"] != code || !told {
                wrong.push(format!("{what}: ended with {} by {}", end["code"], end["initiator"]));
            }
        }
    }
    let metrics = agent.metrics()?;
    let sockets = |result| metrics.count("wstap_tls_sockets_total", &[("result", result)]);
    ensure!(
        // A binding that a busy host made wrong shifts an event's addresses: a few in a thousand were seen.
        wrong.len() * 200 <= truth.len(),
        "{} of {} wrong, unbound {unbound:?}, bound {}, contradicted {}:\n{}",
        wrong.len(),
        truth.len(),
        sockets("bound"),
        sockets("contradicted"),
        wrong.join("\n")
    );
    let without: usize = unbound.values().sum();
    ensure!(without as u64 <= sockets("unbound"), "{unbound:?} are not all counted");
    // An asyncio server that many clients use at once has writes that wait for each other: nothing is bound then.
    let asyncio = |name: &str| name.starts_with("uvicorn") || name.starts_with("websockets");
    let others: usize =
        unbound.iter().filter(|(name, _)| !asyncio(name)).map(|(_, count)| count).sum();
    ensure!(others * 20 <= truth.len(), "{unbound:?} of {} have no socket", truth.len());
    agent.stop()
}
