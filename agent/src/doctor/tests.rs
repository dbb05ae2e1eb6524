use std::time::Duration;

use super::{
    Check, Facts, Status, capture,
    facts::{Cgroup, capabilities, chosen, is_initial, memlock},
    host,
};
use crate::{
    kernel::{Family, LoadedProgram, Place},
    selftest::{News, Report},
};

/// A host on which nothing is amiss; the agent has its three capabilities and no more.
fn good() -> Facts {
    Facts {
        release: Some("6.1.0-42-amd64".to_owned()),
        architecture: "x86_64",
        cgroup: Some(Cgroup { path: "/sys/fs/cgroup".into(), whole_tree: true }),
        capabilities: Some(1 << 39 | 1 << 38 | 1 << 12),
        initial_user_namespace: true,
        btf: true,
        lockdown: Some("none".to_owned()),
        perf_event_paranoid: Some(3),
        unprivileged_bpf_disabled: Some(2),
        optmem_max: Some(20_480),
        memlock: Some(8 << 20),
        ring_bytes: 8 << 20,
        programs: Some(Vec::new()),
    }
}

/// The checks that are not fine.
fn amiss(facts: &Facts) -> Vec<Check> {
    host(facts).into_iter().filter(|check| check.status != Status::Fine).collect()
}

/// Expects that one check alone is not fine, and how.
fn only(facts: &Facts, name: &str, status: Status) -> String {
    let amiss = amiss(facts);
    assert_eq!(
        amiss.iter().map(|check| (check.name, check.status)).collect::<Vec<_>>(),
        [(name, status)]
    );
    format!("{} {}", amiss[0].found, amiss[0].advice.as_deref().unwrap())
}

#[test]
fn on_a_good_host_all_is_fine_and_every_check_says_what_it_found() {
    let checks = host(&good());
    assert!(checks.len() >= 11 && checks.iter().all(|check| !check.found.is_empty()), "{checks:?}");
    assert_eq!(amiss(&good()), []);
    let bare = Facts { btf: false, lockdown: None, perf_event_paranoid: None, ..good() };
    assert_eq!(amiss(&bare), []);
    let locked = Facts { lockdown: Some("confidentiality".to_owned()), ..good() };
    assert_eq!(amiss(&locked), []);
}

#[test]
fn kernels_before_5_10_are_too_old_and_odd_releases_unknown() {
    for (release, status) in [
        ("5.9.16", Some(Status::Missing)),
        ("4.19.0-27-amd64", Some(Status::Missing)),
        ("custom", Some(Status::Unknown)),
        ("6", Some(Status::Unknown)),
        ("5.11.0", None),
        ("10.0-rc1", None),
        ("6.18.44-fc-v657", None),
    ] {
        let facts = Facts { release: Some(release.to_owned()), memlock: Some(u64::MAX), ..good() };
        let found = amiss(&facts).first().map(|check| check.status);
        assert_eq!(found, status, "{release}");
    }
}

#[test]
fn cgroup_v2_may_be_missing_or_only_a_part_of_the_tree() {
    assert!(
        only(&Facts { cgroup: None, ..good() }, "cgroup v2", Status::Missing).contains("mount")
    );
    let part = Cgroup { path: "/sys/fs/cgroup".into(), whole_tree: false };
    let text = only(&Facts { cgroup: Some(part), ..good() }, "cgroup v2", Status::Degraded);
    assert!(text.contains("--cgroup"), "{text}");
}

#[test]
fn what_is_missing_of_the_capabilities_is_named() {
    let with = |capabilities| Facts { capabilities: Some(capabilities), ..good() };
    let text = only(&with(0), "capabilities", Status::Missing);
    assert!(text.starts_with("no CAP_BPF, no CAP_PERFMON, no CAP_NET_ADMIN "), "{text}");
    let text = only(&with(1 << 39 | 1 << 12), "capabilities", Status::Missing);
    assert!(text.starts_with("no CAP_PERFMON "), "{text}");
    assert_eq!(amiss(&with(1 << 21)), [], "CAP_SYS_ADMIN stands for them");
    let nested = Facts { initial_user_namespace: false, ..with(u64::MAX) };
    assert!(only(&nested, "capabilities", Status::Missing).contains("user namespace"));
}

#[test]
fn locked_memory_matters_before_5_11_only() {
    let old = Facts { release: Some("5.10.0-30-amd64".to_owned()), ..good() };
    assert!(only(&old, "memlock", Status::Missing).contains("LimitMEMLOCK"));
    assert_eq!(amiss(&Facts { memlock: Some(u64::MAX), ..old.clone() }), []);
    assert_eq!(amiss(&Facts { memlock: Some(16 << 20), ..old.clone() }), []);
    let root = Facts { capabilities: Some(u64::MAX), ..old };
    assert_eq!(amiss(&root), [], "with CAP_SYS_RESOURCE it is raised");
}

#[test]
fn little_option_memory_costs_connections() {
    let facts = Facts { optmem_max: Some(4096), ..good() };
    assert!(only(&facts, "optmem_max", Status::Degraded).contains("net.core.optmem_max"));
    only(&Facts { optmem_max: None, ..good() }, "optmem_max", Status::Unknown);
}

#[test]
fn other_programs_are_named_and_sockmaps_cost_connections() {
    let program = |name: &str, place| LoadedProgram { name: name.to_owned(), place };
    let beside = Facts { programs: Some(vec![program("sd_fw_egress", Place::Cgroup)]), ..good() };
    assert!(host(&beside).iter().any(|check| check.found.contains("sd_fw_egress")));
    assert_eq!(amiss(&beside), []);
    let mesh = Facts {
        programs: Some(vec![program("redir", Place::Sockmap), program("redir", Place::Sockmap)]),
        ..good()
    };
    let text = only(&mesh, "other programs", Status::Degraded);
    assert!(text.contains("2 on sockmaps (redir)"), "{text}");
    only(&Facts { programs: None, ..good() }, "other programs", Status::Unknown);
}

#[test]
fn the_kernels_files_are_read_as_they_are_written() {
    let status = "Name:\twstap\nCapPrm:\t0000000000000000\nCapEff:\t000000c000001000\n";
    assert_eq!(capabilities(status), good().capabilities);
    assert_eq!(capabilities("Name:\twstap\n"), None);
    assert!(is_initial("         0          0 4294967295"));
    assert!(!is_initial("         0       1000          1"));
    assert_eq!(chosen("none [integrity] confidentiality"), Some("integrity".to_owned()));
    assert_eq!(chosen("none"), None);
    let limits = |soft: &str| {
        format!(
            "Max stack size  8388608 unlimited bytes\nMax locked memory  {soft} 8388608 bytes\n"
        )
    };
    assert_eq!(memlock(&limits("65536")), Some(65_536));
    assert_eq!(memlock(&limits("unlimited")), Some(u64::MAX));
    assert_eq!(memlock(""), None);
}

#[test]
fn only_a_capture_that_sees_or_cannot_be_tested_is_one() {
    let attached = |report| {
        let family =
            |name, sockets, means| Family { name, sockets, means, reason: "so it is".to_owned() };
        Ok((vec![family("cgroup", "tcp", "cgroup_skb"), family("probe", "", "")], report))
    };
    let statuses = |tried| {
        let (checks, can) = capture(&tried);
        let statuses: Vec<_> = checks.iter().map(|check| check.status).collect();
        (statuses, can)
    };
    let seen = attached(Report::Tried(News::Sees(Duration::from_millis(3))));
    assert_eq!(statuses(seen), (vec![Status::Fine, Status::Degraded, Status::Fine], true));
    let blind = attached(Report::Tried(News::Blind("nothing".to_owned())));
    assert_eq!(statuses(blind), (vec![Status::Fine, Status::Degraded, Status::Missing], false));
    let outside = attached(Report::Outside);
    assert_eq!(statuses(outside), (vec![Status::Fine, Status::Degraded, Status::Unknown], true));
    let refused = Err(anyhow::anyhow!("permission denied: run as root"));
    assert_eq!(statuses(refused), (vec![Status::Missing, Status::Unknown], false));
}
