//! The programs only look: no helper that they call can change a packet, a socket or a process.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::scratch;

use crate::lifecycle::held;
use crate::stage::alone;

/// Every helper that a program may call, by the kernel's name for it (the kernel writes some of
/// them out in place, for example look-ups in arrays; those it does not name, and for map types it
/// names its own functions).
const ALLOWED: &[&str] = &[
    "__htab_map_lookup_elem",
    "bpf_get_current_ancestor_cgroup_id",
    "bpf_get_current_cgroup_id",
    "bpf_get_current_comm",
    "bpf_get_current_pid_tgid",
    "bpf_get_netns_cookie",
    "bpf_get_netns_cookie_sk_msg",
    "bpf_get_netns_cookie_sock_addr",
    "bpf_get_netns_cookie_sock_ops",
    "bpf_get_smp_processor_id",
    "bpf_get_socket_cookie",
    "bpf_get_socket_cookie_sock_ops",
    // A coarse clock: the count of the kernel's ticks.
    "bpf_jiffies64",
    "bpf_ktime_get_boot_ns",
    "bpf_ktime_get_ns",
    "bpf_map_delete_elem",
    "bpf_map_lookup_elem",
    "bpf_map_lookup_percpu_elem",
    "bpf_map_update_elem",
    "bpf_probe_read_kernel",
    "bpf_probe_read_user",
    "bpf_ringbuf_discard",
    "bpf_ringbuf_output",
    "bpf_ringbuf_query",
    "bpf_ringbuf_reserve",
    "bpf_ringbuf_submit",
    "bpf_sk_cgroup_id",
    "bpf_sk_fullsock",
    "bpf_sk_storage_delete",
    "bpf_sk_storage_get",
    "bpf_skb_cgroup_id",
    "bpf_skb_load_bytes",
    "bpf_skb_load_bytes_relative",
    "bpf_sock_ops_cb_flags_set",
    "bpf_tcp_sock",
    "htab_lru_map_delete_elem",
    "htab_lru_map_update_elem",
    "htab_map_delete_elem",
    "htab_map_update_elem",
];

#[test]
fn the_programs_call_only_helpers_that_read() -> Result<()> {
    let _alone = alone();
    let mut agent = Agent::start(&scratch("safety")?, &[])?;
    let process = agent.process().id();
    let programs = held("prog", process)?;
    ensure!(programs.len() >= 3, "{programs:?}");
    let mut called = BTreeSet::new();
    for id in programs {
        let id = id.to_string();
        let text = String::from_utf8(bpftool(&["prog", "dump", "xlated", "id", &id])?)?;
        called.extend(text.lines().filter_map(helper).map(str::to_owned));
    }
    ensure!(
        called.contains("bpf_sk_storage_get"),
        "the list of helpers is not complete: {called:?}"
    );
    let writing: Vec<_> = called.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    ensure!(writing.is_empty(), "not on the list of helpers that only read: {writing:?}");
    agent.stop()
}

/// The helper's name in a line such as `12: (85) call bpf_sk_storage_get#123456`.
fn helper(line: &str) -> Option<&str> {
    let (_, call) = line.split_once("(85) call ")?;
    let name = call.split('#').next()?.trim();
    // `pc+12` is a function of the program itself.
    (!name.starts_with("pc")).then_some(name)
}

fn bpftool(arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("bpftool").args(arguments).output().context("bpftool")?;
    ensure!(output.status.success(), "bpftool {arguments:?}: {output:?}");
    Ok(output.stdout)
}
