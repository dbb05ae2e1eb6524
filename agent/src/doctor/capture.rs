//! The checks of the capture itself: do the hooks attach, and do they see.

use super::{Check, Status};
use crate::{
    kernel::{
        Family,
        tls::{Process, State},
    },
    selftest::{News, Report},
};

/// The hooks that attached, and what the self-test came to.
pub type Attached = (Vec<Family>, Report);

/// Judges what attaching and the self-test came to, and whether wstap can capture here.
pub fn capture(tried: &anyhow::Result<Attached>) -> (Vec<Check>, bool) {
    let test = "self-test";
    let (hooks, test, can) = match tried {
        Err(error) => (
            vec![Check::not_fine(CGROUP, Status::Missing, "no hooks attach", format!("{error:#}"))],
            Check::not_fine(
                test,
                Status::Unknown,
                "not made",
                "it needs the hooks: see the line above",
            ),
            false,
        ),
        Ok((families, report)) => {
            let attached: Vec<_> = families.iter().map(hooks).collect();
            match report {
                Report::Tried(News::Sees(after)) => {
                    let found =
                        format!("a handshake on loopback was seen after {} ms", after.as_millis());
                    (attached, Check::fine(test, found), true)
                }
                Report::Tried(News::Blind(missing)) => (
                    attached,
                    Check::not_fine(
                        test,
                        Status::Missing,
                        "the hooks are attached and see nothing",
                        missing,
                    ),
                    false,
                ),
                Report::Outside => (
                    attached,
                    Check::not_fine(
                        test,
                        Status::Unknown,
                        "not made: wstap itself is not in the cgroup that it would capture",
                        "for a self-test leave out --cgroup, or name a folder that holds wstap too",
                    ),
                    true,
                ),
            }
        }
    };
    let mut checks = hooks;
    checks.push(test);
    (checks, can)
}

/// The lines' names.
const CGROUP: &str = "cgroup hooks";
const PROBE: &str = "probe hooks";
const TLS: &str = "tls hooks";
const TLS_PROCESSES: &str = "tls processes";
/// The most processes that are named.
const NAMED_MAX: usize = 12;

/// Which processes end TLS here, and which of them `--tls auto` can look into.
pub fn tls_processes(processes: &[Process]) -> Check {
    let named = |wanted: fn(&State) -> bool| {
        let mut names: Vec<String> = Vec::new();
        let mut number = 0;
        for Process { pid, comm, state } in
            processes.iter().filter(|process| wanted(&process.state))
        {
            number += 1;
            if number <= NAMED_MAX {
                names.push(match state {
                    State::Refused(why) => format!("{comm} ({pid}): {why}"),
                    State::Probed(library) | State::OverBudget(library) => {
                        format!("{comm} ({pid}, {library})")
                    }
                });
            }
        }
        let more = if number > NAMED_MAX {
            format!(" and {} more", number - NAMED_MAX)
        } else {
            String::new()
        };
        (number, names.join("; ") + &more)
    };
    let (can, seen) = named(|state| !matches!(state, State::Refused(_)));
    let (cannot, refused) = named(|state| matches!(state, State::Refused(_)));
    let seen = if can == 0 { "none that --tls auto would look into".to_owned() } else { seen };
    if cannot == 0 {
        return Check::fine(TLS_PROCESSES, seen);
    }
    Check::not_fine(
        TLS_PROCESSES,
        Status::Degraded,
        format!("{seen}; not: {refused}"),
        "of those only what is behind the end of TLS is seen",
    )
}

/// What a family of hooks does here.
fn hooks(family: &Family) -> Check {
    let Family { sockets, means, reason, .. } = family;
    let (name, without) = match family.name {
        "cgroup" => (CGROUP, "the probe hooks see TCP in their place"),
        "tls" => (TLS, "--tls sees nothing here: only what is behind the end of TLS is seen"),
        _ => (
            PROBE,
            "handshakes over unix sockets are not seen: use a loopback TCP port there while you look",
        ),
    };
    if family.is_used() {
        Check::fine(name, format!("{means} for {}: {reason}", sockets.replace(',', " and ")))
    } else {
        Check::not_fine(name, Status::Degraded, format!("not used: {reason}"), without)
    }
}
