//! The facts that the checks judge, read from /proc and /sys.
//!
//! A file that is absent or unreadable is an absent fact, never an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::kernel::{self, LoadedProgram};

/// What is known of the host and of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's release, as `uname -r` says it.
    pub release: Option<String>,
    /// The architecture that this binary is for.
    pub architecture: &'static str,
    /// The cgroup v2 folder to attach to.
    pub cgroup: Option<Cgroup>,
    /// The effective capabilities, a bit each.
    pub capabilities: Option<u64>,
    /// Whether this process is in the initial user namespace.
    pub initial_user_namespace: bool,
    /// Whether the kernel tells its types.
    pub btf: bool,
    /// The lockdown mode: none, integrity or confidentiality.
    pub lockdown: Option<String>,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i64>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `net.core.optmem_max`, in bytes.
    pub optmem_max: Option<i64>,
    /// The soft limit of locked memory; `u64::MAX` when there is none.
    pub memlock: Option<u64>,
    /// The size of the ring that a capture would have.
    pub ring_bytes: u32,
    /// What others loaded on the same sockets; `None` when it may not be listed.
    pub programs: Option<Vec<LoadedProgram>>,
}

/// A cgroup v2 folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Where it is.
    pub path: PathBuf,
    /// Whether all processes of the host are in it or below.
    pub whole_tree: bool,
}

impl Facts {
    /// Looks at this host. `cgroup` is the folder that was asked for, if any.
    pub fn read(cgroup: Option<&Path>, ring_bytes: u32) -> Self {
        let status = text("/proc/self/status");
        let cgroup = cgroup.map(Path::to_owned).or_else(kernel::cgroup2_mount);
        Self {
            release: text("/proc/sys/kernel/osrelease"),
            architecture: std::env::consts::ARCH,
            cgroup: cgroup.map(|path| Cgroup { whole_tree: kernel::is_whole_tree(&path), path }),
            capabilities: status.as_deref().and_then(capabilities),
            initial_user_namespace: text("/proc/self/uid_map").as_deref().is_none_or(is_initial),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            lockdown: text("/sys/kernel/security/lockdown").as_deref().and_then(chosen),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            optmem_max: number("/proc/sys/net/core/optmem_max"),
            memlock: text("/proc/self/limits").as_deref().and_then(memlock),
            ring_bytes,
            programs: kernel::loaded_programs(),
        }
    }
}

fn text(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number(path: &str) -> Option<i64> {
    text(path)?.parse().ok()
}

/// `CapEff` of /proc/PID/status.
pub(super) fn capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a uid_map maps every user to itself.
pub(super) fn is_initial(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The word in brackets.
pub(super) fn chosen(words: &str) -> Option<String> {
    let (_, rest) = words.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// The soft limit in the line `Max locked memory` of /proc/PID/limits.
pub(super) fn memlock(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        bytes => bytes.parse().ok(),
    }
}
