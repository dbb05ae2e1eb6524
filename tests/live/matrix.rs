//! The matrix: real proxies in front of real servers, wrong in every way that each can be, and what the agent
//! says of the leg to the server. Prints the table. Then two faults at a time, of which the server overlooks one.
//!
//! Each fault is tried twice: with both legs to be seen, and with the key of RFC 6455's example, by which
//! legs are never joined, so that the leg to the server must explain itself. On a busy machine a proxy may
//! pass an answer on so late that its legs are not joined: then, too, the leg to the server is judged alone.

mod faults;
mod pairs;
mod proxies;
mod servers;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::http::{self, Answer};

use self::faults::{Fault, OF_CLIENT, OF_PROXY, Truth, truth};
use self::proxies::{PROXIES, Proxies, Proxy, Routes};
use self::servers::{KINDS, Kind, Servers};
use crate::script;
use crate::stage::Stage;

/// Clients at the same time.
const CLIENTS: usize = 8;
/// After so many trials their events are waited for, so that no reader gets behind.
const AT_ONCE: usize = 400;
/// How long a client waits for an answer; longer than the agent's timeout.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// One handshake.
struct Trial {
    proxy: Proxy,
    /// The server's name, and what is wrong.
    label: String,
    front: SocketAddr,
    /// The end whose event is looked at.
    judged: SocketAddr,
    path: String,
    request: String,
    truth: Truth,
    /// What may be said when the leg into the proxy is known too.
    truth_of_both: Truth,
    joined: bool,
    /// The server does not say what it refused: then another cause may be named, but not as certain.
    silent: bool,
}

/// A key of RFC 6455 section 4.1 that no other trial has, or the RFC's own.
fn key(number: usize, joined: bool) -> String {
    if joined { format!("{number:021}A==") } else { http::KEY.to_owned() }
}

fn trials(proxies: &Proxies, servers: &Servers) -> Vec<Trial> {
    let mut trials = Vec::new();
    for proxy in PROXIES {
        for kind in KINDS {
            for fault in OF_PROXY.iter().chain(OF_CLIENT).filter(|fault| proxy.can(**fault)) {
                for joined in [true, false] {
                    let number = trials.len();
                    trials.push(trial(*proxy, kind, *fault, joined, number, proxies, servers));
                }
            }
        }
    }
    trials
}

fn trial(
    proxy: Proxy,
    kind: &Kind,
    fault: Fault,
    joined: bool,
    number: usize,
    proxies: &Proxies,
    servers: &Servers,
) -> Trial {
    let right = proxies.fronts[&(proxy, Fault::Nothing)];
    let front = proxies.fronts.get(&(proxy, fault)).copied().unwrap_or(right);
    let by_proxy = fault == Fault::NoKey && proxy.wants_key();
    let target = kind.path(fault == Fault::WrongPath, number);
    Trial {
        proxy,
        label: format!("{} | {fault:?}", kind.name),
        front,
        judged: if by_proxy { front } else { servers.addresses[kind.name] },
        request: fault.request(&target, &key(number, joined)),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        truth: truth(proxy, kind, fault, false),
        truth_of_both: truth(proxy, kind, fault, true),
        joined,
        silent: false,
    }
}

/// Two faults at a time; every second one with legs that can be joined.
fn pair_trials(proxies: &Proxies, servers: &Servers, from: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &proxy in pairs::PROXIES {
        for kind in KINDS {
            for &of_proxy in pairs::OF_PROXY.iter().filter(|fault| proxy.can(**fault)) {
                for &of_client in pairs::OF_CLIENT {
                    let truth = || pairs::pair(proxy, kind, of_proxy, of_client);
                    let (Some(alone), Some(both)) = (truth(), truth()) else { continue };
                    let number = from + trials.len();
                    let joined = number.is_multiple_of(2);
                    let mut target = kind.path(of_client == Fault::WrongPath, number);
                    if of_client == Fault::BadToken {
                        target += "?token=expired";
                    }
                    let key = key(number, joined);
                    trials.push(Trial {
                        proxy,
                        label: format!("{} | {of_proxy:?} and {of_client:?}", kind.name),
                        front: proxies.fronts[&(proxy, of_proxy)],
                        judged: servers.addresses[kind.name],
                        request: of_client.request_of(of_proxy.page(), &target, &key),
                        path: target.split('?').next().unwrap_or_default().to_owned(),
                        truth: alone,
                        truth_of_both: both,
                        joined,
                        silent: pairs::is_silent(kind, of_client),
                    });
                }
            }
        }
    }
    trials
}

/// Servers that are down, say nothing, or hang, behind each proxy.
fn lost_trials(proxies: &Proxies, lost: &Routes, from: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for proxy in PROXIES {
        let front = proxies.fronts[&(*proxy, Fault::Nothing)];
        for (name, address) in lost {
            let (judged, outcome, cause): (_, &[_], &[_]) = match *name {
                "down" => (front, &["rejected"], &["upstream-unavailable"]),
                "silent" => (*address, &["unanswered"], &["unanswered"]),
                _ => (*address, &["timed-out"], &["timed-out"]),
            };
            for joined in [true, false] {
                let number = from + trials.len();
                let path = format!("/{name}/{number}");
                trials.push(Trial {
                    proxy: *proxy,
                    label: format!("{name} | -"),
                    front,
                    judged,
                    request: Fault::Nothing.request(&path, &key(number, joined)),
                    path,
                    truth: Truth { outcomes: outcome, causes: cause },
                    truth_of_both: Truth { outcomes: outcome, causes: cause },
                    joined,
                    silent: false,
                });
            }
        }
    }
    trials
}

/// Sends all handshakes; the answers in the trials' order.
fn try_all(trials: &[Trial]) -> Result<Vec<Answer>> {
    let next = AtomicUsize::new(0);
    let client = || -> Result<Vec<(usize, Answer)>> {
        let mut answers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = trials.get(number) else { return Ok(answers) };
            let mut stream = http::connect(trial.front)?;
            stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
            stream.write_all(trial.request.as_bytes())?;
            answers.push((number, http::answer(&mut stream)?));
        }
    };
    let mut answers = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            answers.extend(client.join().map_err(|_| anyhow::anyhow!("a client broke"))??);
        }
        Ok(())
    })?;
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// The events of the trials, by path.
fn events(stage: &Stage, trials: &[Trial]) -> Result<HashMap<String, Value>> {
    let judged: HashMap<&str, String> =
        trials.iter().map(|trial| (trial.path.as_str(), trial.judged.to_string())).collect();
    let mut events = HashMap::new();
    while events.len() < trials.len() {
        let missing = || {
            let missing = trials.iter().filter(|trial| !events.contains_key(&trial.path));
            missing.map(|trial| format!("{:?} {}", trial.proxy, trial.label)).collect::<Vec<_>>()
        };
        let wanted = |event: &Value| {
            let path = event["path"].as_str().unwrap_or_default();
            event["role"] == "server"
                && judged.get(path).is_some_and(|local| event["local"] == local.as_str())
        };
        let event = stage.event(wanted).with_context(|| format!("missing: {:?}", missing()))?;
        let path = event["path"].as_str().unwrap_or_default().to_owned();
        if let Some(twice) = events.insert(path, event) {
            anyhow::bail!("told twice: {twice:#}");
        }
    }
    Ok(events)
}

/// Whether the leg into the proxy was known, too: every proxy changes something.
fn both_legs(event: &Value) -> bool {
    event["proxy_changes"].is_array()
}

/// Whether one of the causes is among the other causes that the event names.
fn names_too(event: &Value, causes: &[&str]) -> bool {
    let others = event["alternatives"].as_array().map(Vec::as_slice).unwrap_or_default();
    others.iter().any(|other| causes.iter().any(|cause| other["cause"] == *cause))
}

/// What is wrong with an event; nothing when it is the truth.
fn objection(trial: &Trial, answer: &Answer, event: &Value) -> Option<&'static str> {
    let outcome = event["outcome"].as_str().unwrap_or_default();
    let switched = *answer == Answer::Status(101);
    let truth = match (trial.joined, both_legs(event)) {
        (false, true) => return Some("JOINED BY THE EXAMPLE'S KEY"),
        (_, true) => &trial.truth_of_both,
        (_, false) => &trial.truth,
    };
    if switched != matches!(truth.outcomes, ["accepted", ..]) {
        return Some("THE SERVER DID OTHERWISE");
    }
    if !truth.outcomes.contains(&outcome) {
        return Some("WRONG OUTCOME");
    }
    match event["cause"].as_str() {
        None if outcome == "accepted" => None,
        Some(cause) if truth.causes.contains(&cause) => None,
        _ if event["confidence"] == "certain" => Some("WRONG AND CERTAIN"),
        // Two causes fit alike, and the right one is named too.
        _ if names_too(event, truth.causes) => None,
        _ if trial.silent => None,
        _ => Some("WRONG CAUSE"),
    }
}

#[test]
fn what_real_proxies_do_to_real_servers() -> Result<()> {
    let mut stage = Stage::new("matrix", &["--handshake-timeout", "3s"])?;
    let servers = Servers::start(&stage.folder)?;
    // Takes connections, and nobody ever accepts them.
    let hang = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let lost: Routes = vec![
        // Nothing listens at this address.
        ("down", SocketAddr::from(([127, 77, 0, 1], 9))),
        ("silent", script::serve(|_| Ok(()))?),
        ("hang", hang.local_addr()?),
    ];
    let routes: Routes = KINDS
        .iter()
        .map(|kind| (kind.name, servers.addresses[kind.name]))
        .chain(lost.iter().copied())
        .collect();
    let proxies = Proxies::start(&stage.folder, &routes)?;
    for address in routes.iter().map(|(_, address)| address).chain(proxies.fronts.values()) {
        stage.watch(*address);
    }

    let mut trials = trials(&proxies, &servers);
    trials.extend(lost_trials(&proxies, &lost, trials.len()));
    let one_fault = trials.len();
    trials.extend(pair_trials(&proxies, &servers, one_fault));
    let of_pairs: HashSet<_> =
        trials[one_fault..].iter().filter_map(|trial| trial.label.split(' ').next()).collect();
    ensure!(of_pairs.len() >= 8, "two faults at a time at these servers only: {of_pairs:?}");
    let (mut answers, mut events) = (Vec::new(), HashMap::new());
    for some in trials.chunks(AT_ONCE) {
        answers.extend(try_all(some)?);
        events.extend(self::events(&stage, some)?);
    }

    let mut table =
        "| proxy | server | fault | legs | answer | verdict | |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    let mut wrong = 0;
    for (trial, answer) in trials.iter().zip(&answers) {
        let event = &events[&trial.path];
        let objection = objection(trial, answer, event);
        wrong += usize::from(objection.is_some());
        let text = |field: &str| event[field].as_str().unwrap_or("-").to_owned();
        writeln!(
            table,
            "| {:?} | {} | {} | {answer:?} | {}: {} ({}) | {} |",
            trial.proxy,
            trial.label,
            if both_legs(event) { "both" } else { "server's" },
            text("outcome"),
            text("cause"),
            text("confidence"),
            objection.unwrap_or_default(),
        )?;
        if objection.is_some() {
            writeln!(table, "{event}")?;
        }
    }
    print(&table);
    ensure!(events.values().any(both_legs), "no legs were joined:\n{table}");
    ensure!(wrong == 0, "{wrong} of {} wrong:\n{table}", trials.len());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what `--nocapture` is for")]
fn print(table: &str) {
    println!("{table}");
}
