//! The checks of the capture itself: do the hooks attach, and do they see.

use super::{Check, Status};
use crate::selftest::{News, Report};

/// Judges what attaching and the self-test came to, and whether wstap can capture here.
pub fn capture(tried: &anyhow::Result<Report>) -> (Vec<Check>, bool) {
    let (hooks, test) = ("cgroup hooks", "self-test");
    let (hooks, test, can) = match tried {
        Err(error) => (
            Check::not_fine(
                hooks,
                Status::Missing,
                "cgroup_skb and sock_ops do not attach",
                format!("{error:#}"),
            ),
            Check::not_fine(
                test,
                Status::Unknown,
                "not made",
                "it needs the hooks: see the line above",
            ),
            false,
        ),
        Ok(report) => {
            let attached = Check::fine(hooks, "cgroup_skb and sock_ops load and attach");
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
    let probes = Check::not_fine(
        "probe hooks",
        Status::Degraded,
        "not built into this version",
        "handshakes over unix sockets are not seen: use a loopback TCP port there while you look",
    );
    (vec![hooks, test, probes], can)
}
