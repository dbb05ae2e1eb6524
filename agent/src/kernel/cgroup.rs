//! Where cgroup v2 is mounted, and what a folder of it covers.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// The most folders in which a process is looked for.
const FOLDERS_MAX: usize = 4096;

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

/// Whether the folder is the root of the whole tree, not of a part that a cgroup namespace or a mount shows.
pub fn is_whole_tree(folder: &Path) -> bool {
    // The kernel gives the root the inode number 1 (cgroup_setup_root, Linux 4.14).
    fs::metadata(folder).is_ok_and(|folder| folder.ino() == 1)
}

/// Whether this process is in the folder's cgroup or below, so that its own traffic is seen there. Also true
/// when that cannot be found out in [`FOLDERS_MAX`] folders.
pub fn holds_this_process(folder: &Path) -> bool {
    is_whole_tree(folder) || is_below(folder, std::process::id(), FOLDERS_MAX)
}

/// Looks for the process itself: paths mean different things in different cgroup namespaces.
fn is_below(folder: &Path, process: u32, max: usize) -> bool {
    let mut unread = vec![folder.to_owned()];
    let mut read = 0;
    while let Some(folder) = unread.pop() {
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        read += 1;
        if read > max || processes.lines().any(|line| line.parse() == Ok(process)) {
            return true;
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        unread.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_below_a_folder_and_only_there() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, processes: &str| {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("cgroup.procs"), processes).unwrap();
        };
        write("system.slice", "1\n");
        write("system.slice/wstap.service", "12\n123\n");
        write("user.slice", "0\n1234\n");
        let below =
            |folder: &str, process| is_below(&root.path().join(folder), process, FOLDERS_MAX);
        assert!(below("", 123) && below("system.slice", 123) && below("user.slice", 1234));
        assert!(!below("user.slice", 123) && !below("system.slice", 1234) && !below("", 2));
        assert!(is_below(root.path(), 2, 2), "beyond the bound it is not known");
    }

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
