//! The demo's words, on standard output.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;

use wstap_tests::metrics::Metrics;

use super::scenario::Scenario;

pub(crate) fn opening(address: &SocketAddr) {
    print(&format!(
        "\n{}\n\n\
         A chat server (Node, ws) accepts visitors from its own origin only. nginx stands in front\n\
         of it on {address} and ends TLS: six sites, one set up right, five with the mistakes that\n\
         people make. wstap watches from the kernel; the chat and nginx know nothing of it.",
        bold("wstap demo")
    ));
}

pub(crate) fn scenario(number: usize, scenario: &Scenario) {
    let title = bold(&format!("{number}. {}", scenario.title));
    print(&format!("\n{title} (https://{})", scenario.site));
}

pub(crate) fn client(name: &str, message: &str) {
    print(&format!("   {name}: {message}"));
}

pub(crate) fn no_event() {
    print("   wstap tail: (nothing: it shows failures)");
}

pub(crate) fn event(lines: &[String]) {
    print("   wstap tail:");
    for line in lines {
        print(&format!("     {line}"));
    }
}

pub(crate) fn summary(metrics: &Metrics) {
    let mut origins: BTreeMap<String, (u64, u64, Vec<String>)> = BTreeMap::new();
    for sample in metrics.of("ws_handshakes_total") {
        let (accepted, failed, causes) =
            origins.entry(sample.label("origin").to_owned()).or_default();
        let count = sample.count();
        if sample.label("outcome") == "accepted" {
            *accepted += count;
        } else {
            *failed += count;
            causes.push(format!("{} ({})", sample.label("cause"), sample.label("status")));
        }
    }
    print(
        "\nThree of the five faults were the same 403 to their users; wstap tail told them apart, and\n\
         /metrics counts them for each origin:\n",
    );
    print(&format!("   {:32} accepted  failed  cause (status)", "origin"));
    for (origin, (accepted, failed, causes)) in origins {
        print(&format!("   {origin:32} {accepted:>8}  {failed:>6}  {}", causes.join(", ")));
    }
}

pub(crate) fn closing() {
    print(
        "\nEverything is stopped. On a host of yours, as root: target/debug/wstap tail\n\
         (`wstap explain host-rewritten` says more of a cause.)\n",
    );
}

/// Bold on a terminal.
fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

#[expect(clippy::print_stdout, reason = "the demo's one printer")]
fn print(text: &str) {
    println!("{text}");
}
