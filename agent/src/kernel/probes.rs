//! The probe family: which of its programs go where, and whether this kernel has it.
//!
//! In: the kernel's BTF. Out: attached programs, or why there are none.

use std::fs;

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    programs::{Program, ProgramError},
};
use wstap_common::layout::Layout;

use super::{
    Error,
    btf::{self, Types},
    is_permission,
    layout::{layout, wanted},
    verifier::refusal,
};

/// Which sockets the probes look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Unix sockets: the cgroup hooks have TCP's.
    Unix,
    /// Unix and TCP sockets.
    All,
}

/// By which kind of program a kernel function is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// fentry and fexit (Linux 5.5).
    Fentry,
    /// kprobe and kretprobe.
    Kprobe,
}

impl Means {
    /// As the kernel calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
        }
    }
}

/// One place that is probed: the programs there, by fentry or fexit and by kprobe or kretprobe, and the function.
struct Probe {
    fentry: &'static str,
    kprobe: &'static str,
    function: &'static str,
}

const fn probe(fentry: &'static str, kprobe: &'static str, function: &'static str) -> Probe {
    Probe { fentry, kprobe, function }
}

/// The ends of connections come first: a state that nobody removes would outlive its socket.
const UNIX: [Probe; 6] = [
    probe("ws_unix_end", "wk_unix_end", "unix_release"),
    probe("ws_unix_shut", "wk_unix_shut", "unix_shutdown"),
    probe("ws_unix_rcvd", "wk_unix_rcvd", "unix_stream_recvmsg"),
    probe("ws_unix_recv", "wk_unix_recv", "unix_stream_recvmsg"),
    probe("ws_unix_sent", "wk_unix_sent", "unix_stream_sendmsg"),
    probe("ws_unix_send", "wk_unix_send", "unix_stream_sendmsg"),
];

/// As [`UNIX`], of TCP.
const TCP: [Probe; 5] = [
    probe("ws_tcp_end", "wk_tcp_end", "tcp_close"),
    probe("ws_tcp_shut", "wk_tcp_shut", "tcp_shutdown"),
    probe("ws_tcp_rcvd", "wk_tcp_rcvd", "tcp_recvmsg"),
    probe("ws_tcp_recv", "wk_tcp_recv", "tcp_recvmsg"),
    probe("ws_tcp_send", "wk_tcp_send", "tcp_sendmsg"),
];

/// The family's programs, each with the function that it probes.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIX.iter()
        .chain(&TCP)
        .flat_map(|probe| [(probe.fentry, probe.function), (probe.kprobe, probe.function)])
}

/// Their names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| name)
}

/// The tables that only the probes use.
const TABLES: [&str; 3] = ["CONNECTIONS", "WALKS", "CALLS"];

/// What the programs need of this kernel.
pub(super) struct Kernel {
    btf: Btf,
    layout: Layout,
    scope: u64,
}

impl Kernel {
    /// Reads the kernel's types. `scope` is the id of the cgroup whose processes are looked at, or 0.
    pub(super) fn read(scope: u64) -> Result<Self, Error> {
        let bytes = fs::read(btf::FILE).map_err(|error| {
            Error::Probes(format!(
                "{} cannot be read ({error}): they need a kernel with CONFIG_DEBUG_INFO_BTF",
                btf::FILE
            ))
        })?;
        let types = Types::parse(&bytes, &wanted())
            .ok_or_else(|| Error::Probes(format!("{} is not understood", btf::FILE)))?;
        let layout = layout(&types).map_err(|missing| {
            Error::Probes(format!("the kernel's BTF has no {missing} as wstap knows it"))
        })?;
        let btf = Btf::parse(&bytes, Endianness::default())
            .map_err(|error| Error::Probes(format!("{} is not understood: {error}", btf::FILE)))?;
        Ok(Self { btf, layout, scope })
    }

    /// Writes what the programs need of the kernel into them.
    pub(super) fn configure<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.override_global("LAYOUT", &self.layout, true);
        loader.override_global("SCOPE", &self.scope, true);
    }

    /// Loads and attaches the family, by the given means or else by the first that this kernel has.
    pub(super) fn attach(
        &self,
        ebpf: &mut Ebpf,
        sockets: Sockets,
        means: Option<Means>,
    ) -> Result<Means, Error> {
        let all = if let Some(means) = &means {
            std::slice::from_ref(means)
        } else {
            &[Means::Fentry, Means::Kprobe]
        };
        let mut refusals = Vec::new();
        for means in all {
            match self.attach_by(*means, ebpf, sockets) {
                Ok(()) => return Ok(*means),
                Err(refusal) => refusals.push(refusal),
            }
            // What did attach must not stay beside the other means.
            for name in names() {
                // Those that were not loaded say so.
                let _ = match ebpf.program_mut(name) {
                    Some(Program::FEntry(program)) => program.unload(),
                    Some(Program::FExit(program)) => program.unload(),
                    Some(Program::KProbe(program)) => program.unload(),
                    _ => Ok(()),
                };
            }
        }
        Err(Error::Probes(refusals.join("; ")))
    }

    fn attach_by(&self, means: Means, ebpf: &mut Ebpf, sockets: Sockets) -> Result<(), String> {
        let tcp = if sockets == Sockets::All { TCP.as_slice() } else { &[] };
        for probe in tcp.iter().chain(&UNIX) {
            self.attach_one(means, ebpf, probe).map_err(|error| {
                let (means_name, function) = (means.name(), probe.function);
                format!("{means_name} of {function} is refused: {}", reason(means, &error))
            })?;
        }
        Ok(())
    }

    fn attach_one(&self, means: Means, ebpf: &mut Ebpf, probe: &Probe) -> Result<(), ProgramError> {
        let name = if means == Means::Fentry { probe.fentry } else { probe.kprobe };
        let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
        self.load(program, probe.function)?;
        match program {
            Program::FEntry(program) => program.attach().map(drop),
            Program::FExit(program) => program.attach().map(drop),
            Program::KProbe(program) => program.attach(probe.function, 0).map(drop),
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }

    /// Loads a program that probes the function.
    pub(super) fn load(&self, program: &mut Program, function: &str) -> Result<(), ProgramError> {
        match program {
            Program::FEntry(program) => program.load(function, &self.btf),
            Program::FExit(program) => program.load(function, &self.btf),
            Program::KProbe(program) => program.load(),
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

/// Makes the probes' tables as small as they go: nobody will use them.
pub(super) fn leave_out(loader: &mut EbpfLoader<'_>) {
    for table in TABLES {
        loader.map_max_entries(table, 1);
    }
}

/// Why a program was refused, in words that say what it needs.
fn reason(means: Means, error: &ProgramError) -> String {
    if let Some(reason) = refusal(error) {
        return reason;
    }
    if is_permission(error) {
        return match means {
            Means::Fentry => "permission denied, so it has no CAP_BPF and CAP_PERFMON, or the kernel gives it to nobody",
            Means::Kprobe => {
                "permission denied, so it has no CAP_PERFMON, or kernel.perf_event_paranoid above 2 wants CAP_SYS_ADMIN"
            }
        }
        .to_owned();
    }
    let errors = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let last = errors.last();
    let missing = last
        .and_then(|error| error.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    match (last, means) {
        (_, Means::Kprobe) if missing => "the kernel has none (CONFIG_KPROBES)".to_owned(),
        (last, _) => last.map(ToString::to_string).unwrap_or_default(),
    }
}
