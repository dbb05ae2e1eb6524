//! The parts of `cargo xtask test`, cheapest first. A new one is one entry here.

use anyhow::Result;

use super::Options;
use crate::command::{cargo, run, workspace};
use crate::fuzz;
use crate::setup::Group;
use crate::vm;

/// What a part needs beside the compiler and its groups.
pub(super) enum Needs {
    Nothing,
    /// Root, for this kernel.
    Root,
    /// Root, and virtual machines.
    Machines,
}

/// One part.
pub(super) struct Part {
    /// One word: `--part NAME`.
    pub(super) name: &'static str,
    /// What it shows, in the list that is printed first.
    pub(super) what: &'static str,
    /// How long it usually takes on two cores, once all is built.
    pub(super) seconds: u64,
    /// The same with `--quick`; none leaves the part out there.
    pub(super) quick: Option<u64>,
    pub(super) needs: Needs,
    /// What must be set up.
    pub(super) groups: &'static [Group],
    pub(super) work: fn(&Options) -> Result<()>,
}

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "format",
        what: "rustfmt",
        seconds: 2,
        quick: Some(2),
        needs: Needs::Nothing,
        groups: &[],
        work: |_| run(&mut cargo(["fmt", "--all", "--check"])),
    },
    Part {
        name: "lints",
        what: "clippy, warnings refused",
        seconds: 60,
        quick: Some(20),
        needs: Needs::Nothing,
        groups: &[Group::Bpf],
        work: |_| lints(),
    },
    Part {
        name: "unit",
        what: "unit, property, replay and deployment tests",
        seconds: 60,
        quick: Some(40),
        needs: Needs::Nothing,
        groups: &[Group::Bpf, Group::Servers, Group::Test, Group::Manifests],
        work: |_| run(&mut cargo(["test"])),
    },
    Part {
        name: "fuzzing",
        what: "20 s for each target that reads bytes from the wire",
        seconds: 150,
        quick: None,
        needs: Needs::Nothing,
        groups: &[Group::Bpf, Group::Fuzz],
        work: |_| fuzz::run(&fuzz::Options::short()),
    },
    Part {
        name: "audit",
        what: "wstap audit through six proxies, right and wrong",
        seconds: 90,
        quick: None,
        needs: Needs::Nothing,
        groups: &[Group::Bpf, Group::Servers, Group::Test],
        work: |_| {
            run(&mut cargo(["build", "--bin", "wstap"]))?;
            run(cargo(["test", "--test", "audit"]).env("RUST_BACKTRACE", "0"))
        },
    },
    Part {
        name: "verifier",
        what: "what the programs cost this kernel's verifier",
        seconds: 15,
        quick: None,
        needs: Needs::Root,
        groups: &[Group::Bpf],
        work: |_| run(cargo(["test", "--test", "verifier"]).env("RUST_BACKTRACE", "0")),
    },
    Part {
        name: "live",
        what: "the agent on this kernel, with real servers",
        seconds: 420,
        quick: Some(60),
        needs: Needs::Root,
        groups: &[Group::Bpf, Group::Servers, Group::Test],
        work: live,
    },
    Part {
        name: "image",
        what: "the container image, run without root",
        seconds: 60,
        quick: None,
        needs: Needs::Root,
        groups: &[Group::Bpf, Group::Servers, Group::Image],
        work: |_| image(),
    },
    Part {
        name: "kernels",
        what: "the live tests on other kernels, in virtual machines",
        seconds: 700,
        quick: None,
        needs: Needs::Machines,
        groups: &[Group::Bpf, Group::Servers, Group::Test, Group::Vm],
        work: |_| vm::run(&vm::Options::default()),
    },
];

/// The live tests of `--quick`: one or two a stage.
const QUICK_LIVE: &[&str] = &[
    "capture::every_form_of_the_request_is_seen_once_for_each_role",
    "capture::the_key_and_other_secrets_reach_no_event",
    "causes::what_a_hop_or_a_client_left_out",
    "causes::what_the_servers_answer_tells",
    "doctor::the_doctor_finds_this_host_fit",
    "lifecycle::an_ended_agent_leaves_nothing_in_the_kernel",
    "lookalikes::lookalikes_are_never_reported",
    "loss::the_account_of_records_holds_without_loss",
    "metrics::each_handshake_counts_once_under_its_own_labels",
    "outcomes::an_answer_that_is_no_101_is_rejected_with_its_status",
];

fn lints() -> Result<()> {
    let all = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(&mut cargo(all))?;
    let mut rest = cargo(["clippy", "--package", "wstap-tests"]);
    rest.args([
        "--test", "live", "--test", "image", "--test", "verifier", "--test", "audit", "--test",
        "install",
    ]);
    run(rest.args(["--", "-D", "warnings"]))
}

fn live(options: &Options) -> Result<()> {
    // Without naming packages, so that nothing is compiled anew with other features.
    run(&mut cargo(["build", "--bin", "wstap"]))?;
    let mut live = cargo(["test", "--test", "live"]);
    // A failing test says what it found; where it did is one line of its file.
    live.env("RUST_BACKTRACE", "0");
    if let Some(count) = options.closures {
        live.env("WSTAP_CLOSURES", count.to_string());
        live.args(["closures::scale", "--", "--nocapture"]);
    } else if options.quick {
        live.args(["--", "--exact"]).args(QUICK_LIVE);
    } else {
        live.args(options.live.as_deref());
    }
    run(&mut live)
}

/// The image, with a static binary of the development profile in it.
fn image() -> Result<()> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let build = ["build", "--package", "wstap", "--bin", "wstap", "--target", &target];
    run(cargo(build).env(flags, "-Ctarget-feature=+crt-static"))?;
    let binary = workspace().join("target").join(&target).join("debug/wstap");
    let test = ["test", "--package", "wstap-tests", "--test", "image"];
    run(cargo(test).env("WSTAP_BINARY", binary))
}
