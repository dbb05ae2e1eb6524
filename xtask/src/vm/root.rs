//! The files of a machine of another architecture: Debian's packages, unpacked below `target/vm/roots`.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::arch::Arch;
use crate::command::workspace;
use crate::debian::{Apt, fresh, own_suites};

/// What the suites use, of the release that this host runs: so what is set up below `target/` (Node's and Python's
/// packages) fits.
const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "bpftool",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "iproute2",
    "libcap2-bin",
    "mawk",
    "nginx-light",
    "nodejs",
    "openssl",
    "procps",
    "python3",
    "sed",
    "tar",
    "util-linux",
];

/// The root; made once, remove `target/vm/roots` to have a newer one.
pub(super) fn get(arch: Arch) -> Result<PathBuf> {
    let folder = workspace().join("target/vm/roots").join(arch.name());
    if folder.is_dir() {
        return Ok(folder);
    }
    let suites = own_suites()?;
    let suites: Vec<_> = suites.iter().map(|(label, suite)| (*label, suite.as_str())).collect();
    let apt = Apt::update(&format!("root-{}", arch.name()), arch, &suites)?;
    let partial = folder.with_extension("partial");
    fresh(&partial)?;
    apt.unpack_root(PACKAGES, &partial)?;
    // What the packages' scripts would have done.
    for name in ["passwd", "group"] {
        let master = partial.join(format!("usr/share/base-passwd/{name}.master"));
        fs::copy(master, partial.join("etc").join(name))?;
    }
    fs::write(partial.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    let awk = partial.join("usr/bin/awk");
    if !awk.exists() {
        std::os::unix::fs::symlink("mawk", awk)?;
    }
    fs::rename(&partial, &folder)?;
    Ok(folder)
}
