//! An empty cgroup_skb program: what a hook costs before it does anything, as the kernel measures it.

use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use wstap_tests::cgroup2;

/// Of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const BPF_PROG_LOAD: i64 = 5;
/// As above.
const BPF_LINK_CREATE: i64 = 28;
/// Of `enum bpf_prog_type`.
const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;

/// `r0 = 1; exit`: allow the packet.
static ALLOW: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];
static LICENSE: [u8; 4] = *b"GPL\0";

/// `union bpf_attr` for BPF_PROG_LOAD, as far as it is used.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// As [`Load`], for BPF_LINK_CREATE.
#[repr(C)]
struct Link {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// The program on the cgroup v2 root, for packets that come in or that go out.
pub(super) struct Empty {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Empty {
    /// Loads and attaches it; gone when dropped.
    pub(super) fn attach(incoming: bool) -> Result<Self> {
        // Of `enum bpf_attach_type`.
        let direction = u32::from(!incoming);
        let program = bpf(
            BPF_PROG_LOAD,
            &Load {
                prog_type: BPF_PROG_TYPE_CGROUP_SKB,
                insn_cnt: 2,
                insns: ALLOW.as_ptr() as u64,
                license: LICENSE.as_ptr() as u64,
                log_level: 0,
                log_size: 0,
                log_buf: 0,
                kern_version: 0,
                prog_flags: 0,
                prog_name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
                prog_ifindex: 0,
                expected_attach_type: direction,
            },
        )
        .context("loading an empty program")?;
        let cgroup = File::open(cgroup2()?)?;
        let link = bpf(
            BPF_LINK_CREATE,
            &Link {
                prog_fd: program.as_raw_fd().cast_unsigned(),
                target_fd: cgroup.as_raw_fd().cast_unsigned(),
                attach_type: direction,
                flags: 0,
            },
        )
        .context("attaching an empty program")?;
        Ok(Self { program, _link: link })
    }

    /// How often it ran, and for how many nanoseconds in all.
    pub(super) fn runs(&self) -> Result<(f64, f64)> {
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.program.as_raw_fd()))?;
        let value = |name: &str| -> Result<f64> {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| name.to_owned())?.trim().parse()?)
        };
        Ok((value("run_cnt")?, value("run_time_ns")?))
    }
}

/// The bpf system call, for commands that give a file descriptor.
fn bpf<T>(command: i64, attributes: &T) -> Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of attributes, and what they point to is static.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    ensure!(fd >= 0, Error::last_os_error());
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) })
}
