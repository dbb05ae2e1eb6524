//! Which family of hooks sees which sockets, chosen by what this kernel takes and not by its version.

use std::{fs, fs::File, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, SockOps, cgroup_skb::CgroupSkbLinkId,
        sock_ops::SockOpsLinkId,
    },
};
use rustix::time::{ClockId, clock_getres};
use serde::{Deserialize, Serialize};

use super::{
    Error, OBJECT, Settings, is_whole_tree, load_error, log,
    probes::{self, Sockets},
    program, program_error, tls,
};

/// Which hooks are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Hooks {
    /// The cgroup hooks, and the probes beside them for unix sockets where the kernel has them; the probes alone
    /// where there is no cgroup v2.
    #[default]
    Auto,
    /// The cgroup hooks alone: TCP.
    Cgroup,
    /// The probes alone: TCP and unix sockets.
    Probe,
    /// As `probe`, by kprobes also where fentry could be had.
    Kprobe,
}

impl Hooks {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cgroup => "cgroup",
            Self::Probe => "probe",
            Self::Kprobe => "kprobe",
        }
    }
}

/// A family of hooks and what it does here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// `cgroup`, `probe` or `tls`.
    pub name: &'static str,
    /// What it sees: `tcp`, `unix`, `tcp,unix`, `tls`; nothing when it is not used.
    pub sockets: &'static str,
    /// By which programs: `cgroup_skb`, `fentry`, `kprobe`, `uprobe_multi`, `uprobe`; nothing when it is not used.
    pub means: &'static str,
    /// Why it is used, or is not.
    pub reason: String,
}

impl Family {
    /// Whether it is used.
    pub fn is_used(&self) -> bool {
        !self.sockets.is_empty()
    }

    fn cgroup(reason: &str) -> Self {
        Self { name: "cgroup", sockets: "tcp", means: "cgroup_skb", reason: reason.to_owned() }
    }

    fn unused(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, sockets: "", means: "", reason: reason.into() }
    }

    fn probe(sockets: Sockets, means: probes::Means, reason: &str) -> Self {
        let sockets = match sockets {
            Sockets::Unix => "unix",
            Sockets::All => "tcp,unix",
        };
        Self { name: "probe", sockets, means: means.name(), reason: reason.to_owned() }
    }
}

/// The programs of the cgroup family, as `bpftool prog` shows them.
pub(super) const CGROUP: [&str; 3] = ["ws_skb_in", "ws_skb_out", "ws_sock_ops"];
/// Those of the TLS family that find a connection's socket and its end.
pub(super) const TLS_CGROUP: [&str; 3] = ["wt_skb_in", "wt_skb_out", "wt_sock_ops"];

/// The names of all programs.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CGROUP.into_iter().chain(TLS_CGROUP).chain(probes::names())
}

/// The object, what each family does, and what is attached to the cgroup.
type OfSockets = (Ebpf, Vec<Family>, Option<CgroupLinks>);
/// The same, and what watches over the TLS family's processes.
pub(super) type Attached = (Ebpf, Vec<Family>, Option<CgroupLinks>, Option<tls::Watch>);

/// Loads the object and attaches what is asked for.
pub(super) fn attach(settings: &Settings) -> Result<Attached, Error> {
    let (mut ebpf, mut families, links) = attach_sockets(settings)?;
    if !settings.tls.wanted.is_on() {
        families.push(Family::unused("tls", "--tls off"));
        return Ok((ebpf, families, links, None));
    }
    match tls::Watch::load(OBJECT, &mut ebpf, &settings.tls) {
        Ok(watch) => {
            if links.is_some() {
                attach_cgroup(settings, &mut ebpf, TLS_CGROUP)?;
            }
            let hit = watch.price().as_secs_f64() * 1e6;
            let reason = match &settings.tls.wanted {
                tls::Wanted::Named(names) if names.is_empty() => {
                    format!("--tls would use it; a call costs {hit:.1} us here")
                }
                wanted => format!("asked for by --tls {wanted}; a call costs {hit:.1} us here"),
            };
            families.push(Family { name: "tls", sockets: "tls", means: watch.means(), reason });
            Ok((ebpf, families, links, Some(watch)))
        }
        // Asked for, and not to be had: the rest is worth having.
        Err(reason) => {
            families.push(Family::unused("tls", reason));
            Ok((ebpf, families, links, None))
        }
    }
}

/// The families that see sockets.
fn attach_sockets(settings: &Settings) -> Result<OfSockets, Error> {
    match settings.hooks {
        Hooks::Cgroup => {
            let mut ebpf = load(settings, None)?;
            let links = attach_cgroup(settings, &mut ebpf, CGROUP)?;
            let unused = Family::unused("probe", "--hooks cgroup leaves them out");
            let families = vec![Family::cgroup("asked for by --hooks cgroup"), unused];
            Ok((ebpf, families, Some(links)))
        }
        Hooks::Probe | Hooks::Kprobe => {
            let (ebpf, probe) = with_probes(settings, Sockets::All, "asked for by --hooks")?;
            Ok((ebpf, vec![Family::unused("cgroup", "--hooks leaves them out"), probe], None))
        }
        Hooks::Auto => auto(settings),
    }
}

fn auto(settings: &Settings) -> Result<OfSockets, Error> {
    if settings.cgroup.is_none() {
        let why = "no cgroup v2 is mounted";
        let (ebpf, probe) =
            with_probes(settings, Sockets::All, why).map_err(|error| match error {
                Error::Probes(reason) => Error::Nothing(reason),
                error => error,
            })?;
        return Ok((ebpf, vec![Family::unused("cgroup", why), probe], None));
    }
    let (mut ebpf, probe) =
        match with_probes(settings, Sockets::Unix, "unix sockets have no packets") {
            Ok(loaded) => loaded,
            // Loaded anew: without probes their tables need no room.
            Err(error) => {
                let Error::Probes(reason) = error else { return Err(error) };
                (load(settings, None)?, Family::unused("probe", reason))
            }
        };
    match attach_cgroup(settings, &mut ebpf, CGROUP) {
        Ok(links) => {
            let cgroup = Family::cgroup("it attaches: stable interfaces, least cost");
            Ok((ebpf, vec![cgroup, probe], Some(links)))
        }
        Err(error) if probe.is_used() => {
            // Anew, so that each handshake is told once.
            drop(ebpf);
            match with_probes(settings, Sockets::All, "the cgroup hooks do not attach") {
                Ok((ebpf, probe)) => {
                    Ok((ebpf, vec![Family::unused("cgroup", error.to_string()), probe], None))
                }
                // What is missing is the cgroup.
                Err(Error::Probes(_)) => Err(error),
                Err(other) => Err(other),
            }
        }
        Err(error) => Err(error),
    }
}

/// The object with the probe family attached.
fn with_probes(
    settings: &Settings,
    sockets: Sockets,
    reason: &str,
) -> Result<(Ebpf, Family), Error> {
    // Of a folder that is not the whole tree, the processes in it and below.
    let folder = settings.cgroup.as_deref().filter(|folder| !is_whole_tree(folder));
    let scope =
        folder.and_then(|folder| fs::metadata(folder).ok()).map_or(0, |folder| folder.ino());
    let kernel = probes::Kernel::read(scope)?;
    let mut ebpf = load(settings, Some(&kernel))?;
    let means = (settings.hooks == Hooks::Kprobe).then_some(probes::Means::Kprobe);
    let means = kernel.attach(&mut ebpf, sockets, means)?;
    Ok((ebpf, Family::probe(sockets, means, reason)))
}

/// Loads the object, its programs not yet.
pub(super) fn load(settings: &Settings, probes: Option<&probes::Kernel>) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    let tick_ns = tick_ns();
    loader.override_global("TICK_NS", &tick_ns, true);
    // Of a refused program its reason, not its every step: that took 33 s a program on 5.10.
    loader.verifier_log_level(VerifierLogLevel::STATS);
    log::configure(&mut loader);
    match probes {
        Some(kernel) => kernel.configure(&mut loader),
        // The TLS family keeps its connections in the same tables.
        None if settings.tls.wanted.is_on() => {}
        None => probes::leave_out(&mut loader),
    }
    loader.map_max_entries("RECORDS", settings.ring_bytes).load(OBJECT).map_err(load_error)
}

/// How long a tick of the kernel is (1/CONFIG_HZ): what the coarse clocks advance by (clock_getres(2)).
fn tick_ns() -> u64 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    tick.tv_sec.cast_unsigned() * 1_000_000_000 + tick.tv_nsec.cast_unsigned()
}

/// What is attached to a cgroup.
pub(super) struct CgroupLinks {
    skb: Vec<(&'static str, CgroupSkbLinkId)>,
    sock_ops: (&'static str, SockOpsLinkId),
}

impl CgroupLinks {
    /// Detaches it; also from a cgroup that has gone, where nothing is attached any more.
    pub(super) fn detach(self, ebpf: &mut Ebpf) {
        for (name, link) in self.skb {
            let program: Result<&mut CgroupSkb, _> = program(ebpf, name);
            // What is not attached any more is what is wanted.
            let _ = program.map(|program| program.detach(link));
        }
        let (name, link) = self.sock_ops;
        let program: Result<&mut SockOps, _> = program(ebpf, name);
        let _ = program.map(|program| program.detach(link));
    }
}

/// Loads and attaches the cgroup family.
fn attach_cgroup(
    settings: &Settings,
    ebpf: &mut Ebpf,
    programs: [&'static str; 3],
) -> Result<CgroupLinks, Error> {
    let folder = settings.cgroup.as_ref().ok_or(Error::NoCgroup2)?;
    let [skb_in, skb_out, sock_ops] = programs;
    for name in [skb_in, skb_out] {
        let program: &mut CgroupSkb = program(ebpf, name)?;
        program.load().map_err(program_error(name, "load"))?;
    }
    let program: &mut SockOps = program(ebpf, sock_ops)?;
    program.load().map_err(program_error(sock_ops, "load"))?;
    attach_to(ebpf, folder, programs)
}

/// Attaches programs that are loaded: for packets that come in, for those that go out, and for sockets.
pub(super) fn attach_to(
    ebpf: &mut Ebpf,
    folder: &Path,
    [skb_in, skb_out, sock_ops]: [&'static str; 3],
) -> Result<CgroupLinks, Error> {
    let cgroup = File::open(folder)
        .map_err(|source| Error::Cgroup { path: folder.display().to_string(), source })?;
    // A bpf_link is always "multi": other programs on the same cgroup keep running.
    let mode = CgroupAttachMode::Single;
    let mut skb = Vec::new();
    for (name, way) in
        [(skb_in, CgroupSkbAttachType::Ingress), (skb_out, CgroupSkbAttachType::Egress)]
    {
        let program: &mut CgroupSkb = program(ebpf, name)?;
        let link = program.attach(&cgroup, way, mode).map_err(program_error(name, "attach"))?;
        skb.push((name, link));
    }
    let program: &mut SockOps = program(ebpf, sock_ops)?;
    let link = program.attach(&cgroup, mode).map_err(program_error(sock_ops, "attach"))?;
    Ok(CgroupLinks { skb, sock_ops: (sock_ops, link) })
}
