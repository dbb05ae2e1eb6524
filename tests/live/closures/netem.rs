//! A network that loses, delays, repeats and reorders (tc-netem): no code is made up, and a walk that lost its place
//! says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wstap_tests::agent::Agent;
use wstap_tests::node::{self, Node};
use wstap_tests::process::Process;
use wstap_tests::{is_slow, scratch};

use super::scale::{By, Plan};
use super::{How, RING};
use crate::namespace::{HERE, Namespace};
use crate::stage;

/// As bad as the networks of mobile users are.
const NETWORK: &str = "delay 5ms 3ms loss 3% duplicate 1% reorder 10% 50%";
/// How the connections end.
const HOWS: &[How] =
    &[How::Code(1000), How::Code(1001), How::Code(1011), How::Code(4001), How::NoCode, How::Fin];
/// Lengths of their message: of one segment, and of many.
const LENGTHS: &[usize] = &[20, 1_000, 5_000, 70_000];
/// Connections at a time.
const AT_ONCE: usize = 8;
/// Longer than TCP takes to send a lost segment again, several times.
const QUIET: Duration = Duration::from_secs(5);

fn plans(front: SocketAddr) -> Vec<Plan> {
    let count = if is_slow() { 36 } else { 240 };
    let plan = |number: usize| {
        let (by, side) =
            if number.is_multiple_of(2) { (By::Client, "client") } else { (By::Server, "server") };
        let how = HOWS[number / 2 % HOWS.len()];
        let path = format!("/{side}/{}/{number}/netem", how.in_path());
        let len = LENGTHS[number / 3 % LENGTHS.len()];
        Plan { path, by, how, front, proxied: false, deflate: number.is_multiple_of(5), len }
    };
    (0..count).map(plan).collect()
}

#[test]
#[ignore = "needs a kernel with netem: `cargo xtask vm` runs it"]
fn a_network_that_loses_and_reorders_gives_no_false_code() -> Result<()> {
    let _alone = stage::alone();
    let folder = scratch("netem")?;
    let space = Namespace::new("wstap-netem")?;
    let node = Node::start(&folder, "tests/live/servers/closing.js", &[&HERE.to_string()])?;
    let server = SocketAddr::from((HERE, node.address().port()));
    let agent = Agent::start(&folder, &["--ring-bytes", RING])?;
    let tail = agent.tail(&["--all", "--closures", "--role", "server,client"])?;
    space.disturb(NETWORK)?;

    let plans = plans(server);
    let file = folder.join("plans");
    std::fs::write(&file, plans.iter().map(|plan| plan.line() + "\n").collect::<String>())?;
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", space.0]);
    let clients = node::command("tests/live/servers/closing_clients.js");
    command.arg(clients.get_program()).args(clients.get_args());
    command.envs(clients.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg(AT_ONCE.to_string()).arg(&file);
    let (mut clients, lines) = Process::start_with_lines("clients", &mut command, &folder)?;
    let mut closed = 0;
    while closed < plans.len() {
        let line: Value = serde_json::from_str(&lines.next().with_context(|| clients.log())?)?;
        closed += usize::from(line["code"].is_u64());
    }
    ensure!(clients.wait()?.success(), "{}", clients.log());
    let own = |event: &Value| event["path"].as_str().is_some_and(|path| path.ends_with("/netem"));
    let events = tail.until_quiet(QUIET, own)?;
    agent.stop()?;

    let mut told: BTreeMap<(&str, &str, &str), Vec<&Value>> = BTreeMap::new();
    for event in &events {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        told.entry((text("path"), text("type"), text("role"))).or_default().push(event);
    }
    let mut wrong = Vec::new();
    let mut unsynchronised = 0;
    for plan in &plans {
        for role in ["client", "server"] {
            let mut of = |kind| told.remove(&(plan.path.as_str(), kind, role)).unwrap_or_default();
            let (handshakes, closures) = (of("handshake"), of("closure"));
            // Of a server that ends a connection in its first second, that is told of the handshake.
            let kept = |event: &&&Value| {
                event["outcome"] == "accepted"
                    || event["cause"] == "rejected-after-accept" && plan.by == By::Server
            };
            let kept = handshakes.iter().filter(kept).count();
            if handshakes.len() != 1 || kept != 1 || closures.len() != 1 {
                wrong.push(format!("{} as {role}: {handshakes:?} {closures:?}", plan.path));
                continue;
            }
            let closure = closures[0];
            let synchronised = closure["synchronised"] == true;
            unsynchronised += usize::from(!synchronised);
            // Of a walk that lost its place the close frame may not have been seen.
            let right = plan.is_told(closure)
                || !synchronised
                    && (closure["code"] == 1006 || closure["code"] == plan.how.code())
                    && (closure["initiator"] == "unknown" || closure["code"] == 1006);
            if !right || !closure["broken_rule"].is_null() {
                wrong.push(format!("{} as {role}: {closure}", plan.path));
            }
        }
    }
    println!(
        "figure: {} ends over a network with {NETWORK}: {} wrong, {unsynchronised} unsynchronised",
        2 * plans.len(),
        wrong.len()
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(told.is_empty(), "nobody made these: {told:#?}");
    Ok(())
}
