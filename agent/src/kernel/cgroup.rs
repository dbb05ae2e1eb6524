//! Where cgroup v2 is mounted.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::PathBuf};

/// The first cgroup v2 mount in /proc/mounts: /sys/fs/cgroup on most hosts, /sys/fs/cgroup/unified on
/// hybrid ones.
pub fn cgroup2_mount() -> Option<PathBuf> {
    parse(&fs::read("/proc/mounts").ok()?)
}

fn parse(mounts: &[u8]) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == b"cgroup2").then(|| PathBuf::from(OsStr::from_bytes(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_mount_is_found() {
        let mounts = b"tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(parse(mounts), Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn a_host_with_cgroup_v1_only_has_none() {
        assert_eq!(parse(b"cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"), None);
    }
}
