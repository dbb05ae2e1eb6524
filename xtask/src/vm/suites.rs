//! What runs on each kernel: tests of `tests/live` and of `tests/verifier`, by what they show.

/// A column of the table.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// The test binary.
    pub(super) binary: &'static str,
    /// Its tests, by their whole names.
    pub(super) tests: &'static [&'static str],
    /// Whether it runs only on the oldest and the newest kernel: what lies between two that pass is not likely to fail,
    /// and emulated processors are slow.
    pub(super) ends: bool,
}

pub(super) const SUITES: &[Suite] = &[
    // The programs of both families load, within the budget of verified instructions.
    suite("verifier", "verifier", &["every_program_is_within_its_budget"]),
    // 308 handshakes through nginx and Node; the account of records.
    suite("truth", "live", &["truth::the_agents_counts_are_the_servers_and_the_clients_own"]),
    suite("closures", "live", &["closures::scale::thousands_of_connections_end_as_they_are_told"]),
    suite(
        "netem",
        "live",
        &["closures::netem::a_network_that_loses_and_reorders_gives_no_false_code"],
    ),
    // Nothing is left after SIGKILL.
    suite("killed", "live", &["lifecycle::an_ended_agent_leaves_nothing_in_the_kernel"]),
    // 204 handshakes through nginx to uvicorn on a unix socket, with five faults.
    suite(
        "unix sockets",
        "live",
        &["probe::truth::handshakes_through_nginx_to_uvicorn_on_a_unix_socket"],
    ),
    // Every kind of call, and no byte outside of a message.
    at_the_ends(
        "calls",
        "live",
        &[
            "probe::calls::over_a_unix_socket",
            "probe::calls::over_a_unix_socket_by_kprobes",
            "probe::calls::over_tcp",
            "probe::calls::over_tcp_by_kprobes",
        ],
    ),
    // Every end of a connection over a unix socket, and the truth by the probes where nothing else looks.
    at_the_ends(
        "probes",
        "live",
        &[
            "probe::ends::connections_over_unix_sockets",
            "probe::truth::the_same_by_the_probes_alone",
        ],
    ),
    at_the_ends(
        "full ring",
        "live",
        &["loss::an_answer_lost_in_a_full_ring_is_unobserved_and_never_unanswered"],
    ),
    at_the_ends(
        "segments",
        "live",
        &[
            "segments::reordered_repeated_and_forged_segments_change_nothing",
            "segments::a_request_on_the_segment_that_completes_the_tcp_handshake_is_seen",
            "segments::a_request_on_the_syn_is_seen",
        ],
    ),
    at_the_ends("doctor", "live", &["doctor::the_doctor_finds_this_host_fit"]),
    at_the_ends(
        "privileges",
        "live",
        &["privileges::three_capabilities_are_enough_and_are_given_up_and_the_results_are_roots"],
    ),
];

/// What runs on another architecture than the host's, and on which kernels: its processors are emulated instruction by
/// instruction, and what is the kernel's alone was shown on the host's.
pub(super) const OTHER_ARCHITECTURE: &[&str] =
    &["verifier", "truth", "closures", "unix sockets", "killed", "doctor"];
pub(super) const OTHER_KERNELS: &[&str] = &["6.1", "6.12", "7"];

const fn suite(name: &'static str, binary: &'static str, tests: &'static [&'static str]) -> Suite {
    Suite { name, binary, tests, ends: false }
}

const fn at_the_ends(
    name: &'static str,
    binary: &'static str,
    tests: &'static [&'static str],
) -> Suite {
    Suite { name, binary, tests, ends: true }
}
