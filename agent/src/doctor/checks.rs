//! The checks of the host: each judges one fact.

use super::{Check, Facts, Status};
use crate::kernel::Place;

/// The oldest kernel on which the hooks load.
const OLDEST: (u32, u32) = (5, 10);
/// From here on BPF memory is charged to the memory cgroup, not to RLIMIT_MEMLOCK.
const NO_MEMLOCK: (u32, u32) = (5, 11);
/// What the maps beside the ring take, generously.
const MAPS_BYTES: u64 = 8 << 20;
/// The kernel's own default for long; the state of a connection takes a few hundred bytes of it.
const OPTMEM_BYTES: i64 = 20_480;
/// The most names of others' programs that are listed.
const NAMES_MAX: usize = 8;

/// Bits of the capability sets (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Judges what is known of the host.
pub fn host(facts: &Facts) -> Vec<Check> {
    [kernel, architecture, cgroup, capabilities, btf, lockdown, perf_event_paranoid, memlock]
        .into_iter()
        .chain([unprivileged_bpf, optmem, programs, http2])
        .map(|check| check(facts))
        .collect()
}

/// Major and minor version at the beginning of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn release(facts: &Facts) -> Option<(u32, u32)> {
    version(facts.release.as_deref()?)
}

fn kernel(facts: &Facts) -> Check {
    let name = "kernel";
    let found = facts.release.clone().unwrap_or_else(|| "no release".to_owned());
    match release(facts) {
        Some(version) if version >= OLDEST => Check::fine(name, found),
        Some(_) => Check::not_fine(name, Status::Missing, found, "wstap needs Linux 5.10 or later"),
        None => Check::not_fine(
            name,
            Status::Unknown,
            found,
            "the release does not begin with a version: wstap needs Linux 5.10 or later",
        ),
    }
}

fn architecture(facts: &Facts) -> Check {
    let name = "architecture";
    match facts.architecture {
        "x86_64" => Check::fine(name, "x86_64"),
        other => Check::not_fine(
            name,
            Status::Degraded,
            other,
            "nothing is known to be lost, but wstap is tried on x86_64 only",
        ),
    }
}

fn cgroup(facts: &Facts) -> Check {
    let name = "cgroup v2";
    match &facts.cgroup {
        Some(cgroup) if cgroup.whole_tree => Check::fine(name, cgroup.path.display().to_string()),
        Some(cgroup) => Check::not_fine(
            name,
            Status::Degraded,
            format!("{}, which is not the root of the host's tree", cgroup.path.display()),
            "connections of processes elsewhere are not seen: in a container, mount the host's \
             cgroup v2 root and name it with --cgroup",
        ),
        None => Check::not_fine(
            name,
            Status::Missing,
            "not mounted",
            "mount it (mount -t cgroup2 none /sys/fs/cgroup), also beside cgroup v1, or name it \
             with --cgroup",
        ),
    }
}

fn has(bits: u64, capability: u32) -> bool {
    bits >> capability & 1 == 1
}

fn capabilities(facts: &Facts) -> Check {
    let name = "capabilities";
    let Some(bits) = facts.capabilities else {
        let advice = "wstap needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";
        return Check::not_fine(name, Status::Unknown, "/proc/self/status does not say", advice);
    };
    let has = |capability| has(bits, capability);
    let wanted =
        [("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON), ("CAP_NET_ADMIN", CAP_NET_ADMIN)];
    let without: Vec<_> =
        wanted.iter().filter(|(_, bit)| !has(*bit)).map(|(name, _)| *name).collect();
    let found = match (without.as_slice(), has(CAP_SYS_ADMIN)) {
        ([], true) => {
            "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN; also CAP_SYS_ADMIN, which is not needed"
        }
        ([], false) => "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN",
        (_, true) => "CAP_SYS_ADMIN, which stands for the others",
        (without, false) => {
            return Check::not_fine(
                name,
                Status::Missing,
                format!("no {}", without.join(", no ")),
                "run as root, or with the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
            );
        }
    };
    if facts.initial_user_namespace {
        Check::fine(name, found)
    } else {
        Check::not_fine(
            name,
            Status::Missing,
            format!("{found}; but in a user namespace of its own"),
            "they must hold in the initial user namespace: run outside (in a pod: hostUsers: true)",
        )
    }
}

fn btf(facts: &Facts) -> Check {
    let found = if facts.btf { "/sys/kernel/btf/vmlinux" } else { "none" };
    Check::fine("BTF", format!("{found}; only the probe hooks need it"))
}

fn lockdown(facts: &Facts) -> Check {
    let mode = facts.lockdown.as_deref().unwrap_or("none (the kernel does not offer it here)");
    let found = match mode {
        "integrity" | "confidentiality" => {
            format!("{mode}; it forbids nothing that the cgroup hooks do")
        }
        other => other.to_owned(),
    };
    Check::fine("lockdown", found)
}

fn perf_event_paranoid(facts: &Facts) -> Check {
    let found = match facts.perf_event_paranoid {
        Some(level) => format!("{level}; only the probe hooks use perf events"),
        None => "no such setting; only the probe hooks use perf events".to_owned(),
    };
    Check::fine("perf_event_paranoid", found)
}

fn memlock(facts: &Facts) -> Check {
    let name = "memlock";
    let found = match facts.memlock {
        Some(u64::MAX) => "unlimited".to_owned(),
        Some(bytes) => format!("{bytes} bytes"),
        None => "no limit was found".to_owned(),
    };
    if release(facts).is_none_or(|version| version >= NO_MEMLOCK) {
        return Check::fine(name, format!("{found}; BPF memory is not charged to it since 5.11"));
    }
    let wanted = u64::from(facts.ring_bytes) + MAPS_BYTES;
    let may_raise = facts.capabilities.is_some_and(|bits| has(bits, CAP_SYS_RESOURCE));
    match facts.memlock {
        Some(bytes) if bytes < wanted && may_raise => {
            Check::fine(name, format!("{found}; CAP_SYS_RESOURCE is here, with it wstap raises it"))
        }
        Some(bytes) if bytes < wanted => Check::not_fine(
            name,
            Status::Missing,
            found,
            format!(
                "kernels before 5.11 charge BPF memory to it: raise it to {wanted} bytes \
                 (LimitMEMLOCK=infinity, ulimit -l unlimited)"
            ),
        ),
        _ => Check::fine(name, found),
    }
}

fn unprivileged_bpf(facts: &Facts) -> Check {
    let found = match facts.unprivileged_bpf_disabled {
        Some(value) => format!("{value}; capabilities decide"),
        None => "no such setting; capabilities decide".to_owned(),
    };
    Check::fine("unprivileged_bpf_disabled", found)
}

fn optmem(facts: &Facts) -> Check {
    let name = "optmem_max";
    match facts.optmem_max {
        None => Check::not_fine(
            name,
            Status::Unknown,
            "net.core.optmem_max cannot be read here",
            "the state of a connection is charged to it; wstap_bounds_reached_total{bound=\
             \"state-refused\"} counts what it refused",
        ),
        Some(bytes) if bytes < OPTMEM_BYTES => Check::not_fine(
            name,
            Status::Degraded,
            format!("{bytes} bytes"),
            "the kernel may refuse to store the state of connections, which are then not seen: \
             sysctl -w net.core.optmem_max=20480",
        ),
        Some(bytes) => Check::fine(name, format!("{bytes} bytes")),
    }
}

/// What the packets of HTTP/2 hold is the same on every host.
fn http2(_: &Facts) -> Check {
    Check::fine(
        "http/2",
        "WebSockets inside plaintext HTTP/2 are not judged; wstap_h2_connections_total counts \
         the connections, and which of them offer it (RFC 8441)",
    )
}

fn programs(facts: &Facts) -> Check {
    let name = "other programs";
    let Some(programs) = &facts.programs else {
        return Check::not_fine(
            name,
            Status::Unknown,
            "listing BPF programs needs CAP_SYS_ADMIN",
            "run wstap doctor as root to see them; the capture does not need it",
        );
    };
    let of = |place| {
        let mut names: Vec<_> = programs
            .iter()
            .filter(|program| program.place == place)
            .map(|program| program.name.as_str())
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        names.truncate(NAMES_MAX);
        (count, names.join(", "))
    };
    let (on_cgroups, cgroup_names) = of(Place::Cgroup);
    let (on_sockmaps, sockmap_names) = of(Place::Sockmap);
    let beside = match on_cgroups {
        0 => "none on cgroups".to_owned(),
        count => format!("{count} on cgroups, beside which wstap's run ({cgroup_names})"),
    };
    match on_sockmaps {
        0 => Check::fine(name, beside),
        count => Check::not_fine(
            name,
            Status::Degraded,
            format!("{beside}; {count} on sockmaps ({sockmap_names})"),
            "connections that they short-circuit are not seen, as their bytes never become packets: \
             exempt the ports that matter from the mesh's acceleration",
        ),
    }
}
