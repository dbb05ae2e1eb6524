//! The kernel half, loaded and attached.
//!
//! In: the cgroup to attach to. Out: the ring of records and the kernel's own counters. Nothing is
//! pinned: when the process ends, in whatever way, the kernel removes programs, links and maps.

mod btf;
mod cgroup;
mod families;
mod folder;
mod layout;
mod log;
mod privileges;
mod probes;
mod programs;
mod stats;
pub mod tls;
pub mod verifier;

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::{
    Ebpf, EbpfError, include_bytes_aligned,
    maps::{MapData, MapError, PerCpuArray, RingBuf},
    programs::{Program, ProgramError},
};

pub use cgroup::{cgroup2_mount, holds_this_process, is_whole_tree};
pub use families::{Family, Hooks};
pub use folder::FolderNews;
pub use log::Log;
pub use privileges::close_memory;
pub use programs::{LoadedProgram, Place, loaded_programs};
pub use stats::{KernelStats, ProgramStats};
use wstap_common::counters::Counter;

/// The BPF object, as agent/build.rs compiled it.
static OBJECT: &[u8] = include_bytes_aligned!(env!("WSTAP_EBPF_OBJECT"));

/// What the kernel half is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which hooks to use.
    pub hooks: Hooks,
    /// The cgroup v2 folder to attach to, usually the root of the mount ([`cgroup2_mount`]), when there is one.
    pub cgroup: Option<PathBuf>,
    /// The ring's size in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Whose TLS is looked into.
    pub tls: tls::Settings,
}

/// The ring's default size. At about 1 KiB a handshake and role it holds a burst of some 4,000. Its pages are mapped
/// twice and count twice as resident memory.
pub const RING_BYTES: u32 = 4 << 20;

/// Why the kernel half could not be loaded or attached; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cgroup v2 is mounted.
    #[error(
        "no cgroup v2 is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup) or name it with \
         --cgroup"
    )]
    NoCgroup2,
    /// The cgroup cannot be opened.
    #[error("cannot open the cgroup {path}: {source}: name a cgroup v2 folder with --cgroup")]
    Cgroup {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses for want of a capability.
    #[error(
        "the kernel refuses to {action}: permission denied: run as root, or with the capabilities \
         CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (and, before Linux 5.11, no limit of locked memory: ulimit -l unlimited)"
    )]
    Permission {
        /// What was tried.
        action: &'static str,
    },
    /// The ring's size is not one that the kernel takes.
    #[error("a ring of {0} bytes is not possible: give a power of two of at least 4096")]
    RingSize(u32),
    /// The object does not load.
    #[error(
        "cannot load the BPF object: {0}: wstap needs Linux 5.10 or later with CONFIG_CGROUP_BPF"
    )]
    Load(#[source] Box<EbpfError>),
    /// A program does not load or attach.
    #[error(
        "cannot {action} {program}: {source}: wstap needs Linux 5.10 or later with CONFIG_CGROUP_BPF, \
         and a cgroup v2 folder to attach to"
    )]
    Program {
        /// Which.
        program: &'static str,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The verifier does not take a program.
    #[error(
        "this kernel's verifier refuses {program}: {reason}: give wstap CAP_PERFMON; if it has it, report this"
    )]
    Refused {
        /// Which.
        program: &'static str,
        /// The verifier's words.
        reason: String,
    },
    /// Nothing can be used here.
    #[error(
        "no cgroup v2 is mounted, and the probe hooks cannot be used here either ({0}): mount it \
         (mount -t cgroup2 none /sys/fs/cgroup), or name a folder of it with --cgroup"
    )]
    Nothing(String),
    /// There is no descriptor left for a program, a map or a link.
    #[error(
        "the limit of open files is too low for the programs and their maps: allow 1024 (ulimit -n 1024, LimitNOFILE= in a \
         systemd unit)"
    )]
    OpenFiles,
    /// The limit of open files cannot be set, which only [`verifier::verify`] does.
    #[error("the limit of open files cannot be set: {0}")]
    Descriptors(#[source] rustix::io::Errno),
    /// The probe family cannot be had.
    #[error("the probe hooks cannot be used here: {0}; --hooks auto does without them")]
    Probes(String),
    /// The thread that attaches to TLS libraries cannot be started.
    #[error(
        "cannot start a thread: {0}: raise the limit of processes (ulimit -u), or leave out --tls"
    )]
    Thread(#[source] io::Error),
    /// The object is not what user space expects.
    #[error("the BPF object has no {0} of the kind this binary expects: rebuild wstap")]
    Object(&'static str, #[source] Option<Box<MapError>>),
}

/// The loaded and attached kernel half. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Mutex<Ebpf>,
    /// Where the cgroup family is attached, when that is a folder that may go.
    folder: Option<Mutex<folder::Folder>>,
    counters: PerCpuArray<MapData, u64>,
    families: Vec<Family>,
    /// Ends the thread that watches over the TLS family's processes.
    _tls: Option<tls::Stop>,
    tls_report: tls::Shared,
    /// How many programs are loaded.
    programs: usize,
}

impl Kernel {
    /// Loads the programs and attaches them, each family where it is wanted and can be had; gives the ring of
    /// records too, and the programs' own log when it is wanted.
    pub fn attach(settings: &Settings) -> Result<(Self, RingBuf<MapData>, Option<Log>), Error> {
        if !settings.ring_bytes.is_power_of_two() || settings.ring_bytes < 4096 {
            return Err(Error::RingSize(settings.ring_bytes));
        }
        let (mut ebpf, families, links, watch) = families::attach(settings)?;
        let folder = links.zip(settings.cgroup.clone());
        let folder = folder.and_then(|(links, path)| folder::Folder::new(path, links));
        let ring = ebpf.take_map("RECORDS").ok_or(Error::Object("RECORDS", None))?;
        let ring = RingBuf::try_from(ring).map_err(map_error("RECORDS"))?;
        let counters = ebpf.take_map("COUNTERS").ok_or(Error::Object("COUNTERS", None))?;
        let counters = PerCpuArray::try_from(counters).map_err(map_error("COUNTERS"))?;
        let log = log::open(&mut ebpf);
        let tls_report = watch.as_ref().map(tls::Watch::report).unwrap_or_default();
        let tls = watch.map(tls::start).transpose().map_err(Error::Thread)?;
        let (ebpf, folder) = (Mutex::new(ebpf), folder.map(Mutex::new));
        let mut kernel =
            Self { ebpf, folder, counters, families, _tls: tls, tls_report, programs: 0 };
        kernel.programs = kernel.stats().programs.len();
        Ok((kernel, ring, log))
    }

    fn ebpf(&self) -> MutexGuard<'_, Ebpf> {
        self.ebpf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which hooks see what, and why.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// What the TLS family does now.
    pub fn tls(&self) -> tls::Report {
        self.tls_report.read()
    }

    /// One of the kernel half's counters, summed over the CPUs.
    pub fn count(&self, counter: Counter) -> u64 {
        stats::sum(&self.counters, counter)
    }

    /// How often the kernel left out a run of a program, in all.
    pub fn missed_calls(&self) -> u64 {
        stats::missed_calls(&self.ebpf())
    }

    /// Whether this thread may read what the kernel half counts, and what its programs cost.
    fn is_readable(&self) -> bool {
        self.counters.get(&0, 0).is_ok() && self.stats().programs.len() == self.programs
    }

    /// What the kernel half counted so far.
    pub fn stats(&self) -> KernelStats {
        stats::read(&self.ebpf(), &self.counters)
    }
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<P, Error>
where
    P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(Error::Object(name, None))?;
    program.try_into().map_err(program_error(name, "find"))
}

fn map_error(map: &'static str) -> impl FnOnce(MapError) -> Error {
    move |error| Error::Object(map, Some(Box::new(error)))
}

fn load_error(error: EbpfError) -> Error {
    if is_permission(&error) {
        Error::Permission { action: "create BPF maps" }
    } else if is_short_of_files(&error) {
        Error::OpenFiles
    } else {
        Error::Load(Box::new(error))
    }
}

fn program_error(
    program: &'static str,
    action: &'static str,
) -> impl FnOnce(ProgramError) -> Error {
    move |source| {
        // The verifier has spoken before a descriptor is wanted.
        if is_short_of_files(&source) {
            Error::OpenFiles
        } else if let Some(reason) = verifier::refusal(&source) {
            Error::Refused { program, reason }
        } else if is_permission(&source) {
            Error::Permission { action: "load and attach BPF programs" }
        } else {
            Error::Program { program, action, source: Box::new(source) }
        }
    }
}

type Chain<'a> = &'a (dyn std::error::Error + 'static);

/// Whether any error in the chain is the kernel's EPERM or EACCES.
fn is_permission(error: Chain<'_>) -> bool {
    has_cause(error, |error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether any is its EMFILE or ENFILE.
fn is_short_of_files(error: Chain<'_>) -> bool {
    use rustix::io::Errno;
    let short = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    has_cause(error, |error| error.raw_os_error().is_some_and(|error| short.contains(&error)))
}

fn has_cause(error: Chain<'_>, is: impl Fn(&io::Error) -> bool) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<io::Error>().is_some_and(&is))
}
