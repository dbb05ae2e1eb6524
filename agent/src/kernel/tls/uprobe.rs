//! Uprobes that aya 0.14 cannot make: its own are perf events, for which the kernel wants CAP_SYS_ADMIN since 2025
//! (CVE-2025-38466). `BPF_TRACE_UPROBE_MULTI` (Linux 6.6) wants CAP_BPF and CAP_PERFMON to load, and nothing to link.
//!
//! In: the BPF object and the maps that aya made of it. Out: the same programs, loaded for uprobes, and links.

use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, CString, c_char},
    fs, io,
    mem::{size_of, zeroed},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya::{Ebpf, maps::Map};
use aya_obj::{
    Object,
    generated::{
        bpf_attach_type::BPF_TRACE_UPROBE_MULTI, bpf_attr, bpf_cmd,
        bpf_prog_type::BPF_PROG_TYPE_KPROBE, perf_event_attr,
    },
};

/// How the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// `BPF_TRACE_UPROBE_MULTI` links.
    Multi,
    /// Perf events, of kernels that have no such links.
    Perf,
}

impl Means {
    /// As the kernel calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Multi => "uprobe_multi",
            Self::Perf => "uprobe",
        }
    }
}

/// Where a program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The program.
    pub(super) program: &'static str,
    /// The offset in the file.
    pub(super) offset: u64,
    /// As the function returns, not as it begins.
    pub(super) returns: bool,
}

/// The loaded programs. The kernel detaches what a dropped link attached.
pub(super) struct Programs {
    loaded: HashMap<&'static str, OwnedFd>,
    means: Means,
}

impl Programs {
    /// Loads the programs by the means that this kernel has. `Err` says why none work here, and what they need.
    pub(super) fn load(object: &[u8], ebpf: &Ebpf, names: &[&'static str]) -> Result<Self, String> {
        let object = Linked::new(object, ebpf)?;
        let load = |means| -> Result<HashMap<_, _>, String> {
            names.iter().map(|name| Ok((*name, object.load(name, means)?))).collect()
        };
        let multi = Self { loaded: load(Means::Multi)?, means: Means::Multi };
        // Before 6.6 the kernel takes the programs, and refuses every link: one of no place tells which it is.
        match multi.link("/proc/self/exe", &[], 0) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !has_multi(&multi) => {}
            _ => return Ok(multi),
        }
        let perf = Self { loaded: load(Means::Perf)?, means: Means::Perf };
        match perf.probe_self() {
            Ok(()) => Ok(perf),
            Err(error) => Err(format!(
                "this kernel has no uprobe_multi links (Linux 6.6), and perf uprobes are refused ({error}): they need \
                 CAP_SYS_ADMIN"
            )),
        }
    }

    /// By which means.
    pub(super) fn means(&self) -> Means {
        self.means
    }

    /// Attaches to places of the file, in the process `pid` alone.
    pub(super) fn attach(
        &self,
        path: &str,
        places: &[Place],
        pid: u32,
    ) -> io::Result<Vec<OwnedFd>> {
        match self.means {
            Means::Multi => self.link(path, places, pid),
            Means::Perf => places.iter().map(|place| self.perf(path, place, pid)).collect(),
        }
    }

    /// One link for each program, whichever number of places it has.
    fn link(&self, path: &str, places: &[Place], pid: u32) -> io::Result<Vec<OwnedFd>> {
        let path = CString::new(path)?;
        let mut by_program: HashMap<(&'static str, bool), Vec<u64>> = HashMap::new();
        for place in places {
            by_program.entry((place.program, place.returns)).or_default().push(place.offset);
        }
        // The returns first: a call that is noted as it begins must be taken away as it ends.
        let mut groups: Vec<_> = by_program.into_iter().collect();
        groups.sort_by_key(|((program, returns), _)| (!returns, *program));
        groups
            .iter()
            .map(|((program, returns), offsets)| self.multi(program, &path, offsets, *returns, pid))
            .collect()
    }

    fn multi(
        &self,
        program: &str,
        path: &CStr,
        offsets: &[u64],
        returns: bool,
        pid: u32,
    ) -> io::Result<OwnedFd> {
        // SAFETY: a `bpf_attr` is plain numbers, for which zero is "not given".
        let mut attr: bpf_attr = unsafe { zeroed() };
        // SAFETY: `link_create` is the member that BPF_LINK_CREATE reads; what it points to outlives the call.
        unsafe {
            attr.link_create.__bindgen_anon_1.prog_fd = self.descriptor(program)?.cast_unsigned();
            attr.link_create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
            let multi = &mut attr.link_create.__bindgen_anon_3.uprobe_multi;
            multi.path = path.as_ptr() as u64;
            multi.offsets = offsets.as_ptr() as u64;
            multi.cnt = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
            multi.flags = u32::from(returns);
            multi.pid = pid;
        }
        bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
    }

    fn descriptor(&self, program: &str) -> io::Result<RawFd> {
        let program = self.loaded.get(program).ok_or(io::ErrorKind::NotFound)?;
        Ok(program.as_raw_fd())
    }

    /// A perf event of the uprobe PMU with the program on it (perf_event_open(2)).
    fn perf(&self, path: &str, place: &Place, pid: u32) -> io::Result<OwnedFd> {
        const PERF_FLAG_FD_CLOEXEC: u64 = 8;
        const PERF_EVENT_IOC_ENABLE: u64 = 0x2400;
        const PERF_EVENT_IOC_SET_BPF: u64 = 0x4004_2408;
        let path = CString::new(path)?;
        let kind: u32 = number("/sys/bus/event_source/devices/uprobe/type")?;
        // SAFETY: as of `bpf_attr`.
        let mut attr: perf_event_attr = unsafe { zeroed() };
        attr.type_ = kind;
        attr.size = size_of::<perf_event_attr>() as u32;
        // Bit 0 of the PMU's configuration (its format/retprobe).
        attr.config = u64::from(place.returns);
        attr.__bindgen_anon_3.config1 = path.as_ptr() as u64;
        attr.__bindgen_anon_4.config2 = place.offset;
        let pid = i32::try_from(pid).unwrap_or(-1);
        // SAFETY: the structure and the path outlive the call.
        let event = unsafe {
            let (group, cpu) = (-1, if pid > 0 { -1 } else { 0 });
            let call = libc::SYS_perf_event_open;
            let pid = if pid > 0 { pid } else { -1 };
            libc::syscall(call, &raw const attr, pid, cpu, group, PERF_FLAG_FD_CLOEXEC)
        };
        let event = owned(event)?;
        let program = self.descriptor(place.program)?;
        for (request, argument) in [(PERF_EVENT_IOC_SET_BPF, program), (PERF_EVENT_IOC_ENABLE, 0)] {
            // SAFETY: both take a number.
            if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(event)
    }

    /// Whether a perf uprobe can be made at all: one on this very file, in this process.
    fn probe_self(&self) -> io::Result<()> {
        let Some(program) = self.loaded.keys().next() else { return Ok(()) };
        // The ELF header: no code, which the kernel looks at only when the page is mapped.
        let place = Place { program, offset: 0, returns: false };
        match self.perf("/proc/self/exe", &place, std::process::id()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the kernel has uprobe_multi links: it looks for the file only when it has.
fn has_multi(programs: &Programs) -> bool {
    let Some(program) = programs.loaded.keys().next() else { return false };
    let place = Place { program, offset: 0, returns: false };
    let missing = programs.link("/proc/self/no-such-file", &[place], 0);
    missing.err().and_then(|error| error.raw_os_error()) == Some(libc::ENOENT)
}

/// The object, with the descriptors of the maps in its instructions.
struct Linked {
    object: Object,
    btf: Option<OwnedFd>,
}

impl Linked {
    fn new(bytes: &[u8], ebpf: &Ebpf) -> Result<Self, String> {
        let not_ours =
            |error: &dyn std::fmt::Display| format!("the BPF object is not understood: {error}");
        let mut object = Object::parse(bytes).map_err(|error| not_ours(&error))?;
        // The running kernel's features: without them functions lose their types, and the load is refused.
        let features = aya::features();
        let btf = features.btf().map(|features| object.fixup_and_sanitize_btf(features));
        let btf = btf.transpose().map_err(|error| not_ours(&error))?.flatten();
        let btf = btf.and_then(|btf| load_btf(&btf.to_bytes()).ok());
        let code: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let made: HashMap<&str, RawFd> =
            ebpf.maps().map(|(name, map)| (name, descriptor(map))).collect();
        let maps = std::mem::take(&mut object.maps);
        let maps = maps
            .iter()
            .filter_map(|(name, map)| Some((name.as_str(), *made.get(name.as_str())?, map)));
        object.relocate_maps(maps, &code).map_err(|error| not_ours(&error))?;
        object.relocate_calls(&code).map_err(|error| not_ours(&error))?;
        object.sanitize_functions(features);
        Ok(Self { object, btf })
    }

    fn load(&self, name: &str, means: Means) -> Result<OwnedFd, String> {
        let program = self.object.programs.get(name);
        let (Some(program), Some(function)) = (
            program,
            program.and_then(|program| self.object.functions.get(&program.function_key())),
        ) else {
            return Err(format!("the BPF object has no {name}: rebuild wstap"));
        };
        let lines = function.line_info.line_info_bytes();
        let functions = function.func_info.func_info_bytes();
        // SAFETY: as above.
        let mut attr: bpf_attr = unsafe { zeroed() };
        // SAFETY: the member that BPF_PROG_LOAD reads.
        let load = unsafe { &mut attr.__bindgen_anon_3 };
        load.prog_type = BPF_PROG_TYPE_KPROBE as u32;
        if means == Means::Multi {
            load.expected_attach_type = BPF_TRACE_UPROBE_MULTI as u32;
        }
        load.insns = function.instructions.as_ptr() as u64;
        load.insn_cnt = function.instructions.len() as u32;
        load.license = program.license.as_ptr() as u64;
        for (to, from) in load.prog_name.iter_mut().zip(name.bytes().take(15)) {
            *to = c_char::from_ne_bytes([from]);
        }
        if let Some(btf) = &self.btf {
            load.prog_btf_fd = btf.as_raw_fd().cast_unsigned();
            load.line_info = lines.as_ptr() as u64;
            load.line_info_cnt = function.line_info.len() as u32;
            load.line_info_rec_size = function.line_info_rec_size as u32;
            load.func_info = functions.as_ptr() as u64;
            load.func_info_cnt = function.func_info.len() as u32;
            load.func_info_rec_size = function.func_info_rec_size as u32;
        }
        let mut log = vec![0_u8; LOG];
        load.log_level = STATISTICS;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = LOG as u32;
        bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr).map_err(|error| {
            let log =
                CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
            let words = super::super::verifier::last_words(&log).unwrap_or_default();
            format!("{name} does not load ({error}): {words}")
        })
    }
}

/// Room for the verifier's statistics and last words; it cuts what does not fit (Linux 6.4), or refuses (before).
const LOG: usize = 1 << 20;
/// `BPF_LOG_STATS`: the statistics, and of a refused program the reason.
const STATISTICS: u32 = 4;

fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: as above.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: the member that BPF_BTF_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = bytes.as_ptr() as u64;
    load.btf_size = bytes.len() as u32;
    bpf(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// The descriptor of a map, of those kinds that the programs have.
fn descriptor(map: &Map) -> RawFd {
    match map {
        Map::Array(map)
        | Map::HashMap(map)
        | Map::LruHashMap(map)
        | Map::PerCpuArray(map)
        | Map::PerfEventArray(map)
        | Map::RingBuf(map)
        | Map::SkStorage(map)
        | Map::Unsupported(map) => map.fd().as_fd().as_raw_fd(),
        _ => -1,
    }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the structure, and what it points to, during the call alone.
    let result = unsafe {
        let attr = std::ptr::from_mut(attr);
        libc::syscall(libc::SYS_bpf, command as i32, attr, size_of::<bpf_attr>())
    };
    owned(result)
}

/// What a system call that makes a descriptor returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel made it for this call, and nobody else has it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn number(path: &str) -> io::Result<u32> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}
