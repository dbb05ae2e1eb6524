//! Which processes there are, and which files of theirs may hold a TLS library.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use procfs::process::{FDTarget, MMPermissions, MMapPath, Process};

use super::library;

/// Where a library or a program lies, as the process sees it and as this one opens it.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    /// As the process sees it.
    pub(super) path: PathBuf,
    /// Through /proc, in whatever mount namespace the process is.
    pub(super) open: PathBuf,
    /// One file however many paths lead to it. Not the device: an overlay shows its own.
    pub(super) file: (u64, u64, i64),
}

impl Mapped {
    fn new(path: PathBuf, open: PathBuf) -> Option<Self> {
        let meta = fs::metadata(&open).ok()?;
        Some(Self { path, open, file: (meta.ino(), meta.size(), meta.mtime()) })
    }

    /// Opens it.
    pub(super) fn open(&self) -> std::io::Result<File> {
        File::open(&self.open)
    }
}

/// The ids of all processes: a reading of one folder.
pub(super) fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// When a process began, in ticks since the boot: ids come again.
pub(super) fn began(pid: u32) -> Option<u64> {
    Some(Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?.starttime)
}

/// The process's name (`comm`) and its program's.
pub(super) fn names(pid: u32) -> (String, String) {
    let comm =
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let exe = exe.file_name().map(|name| name.to_string_lossy().into_owned());
    (comm, exe.unwrap_or_default())
}

/// The files with code of a process that are known as TLS libraries, and its program.
pub(super) fn files(pid: u32) -> Vec<Mapped> {
    let Ok(process) =
        i32::try_from(pid).map_err(drop).and_then(|pid| Process::new(pid).map_err(drop))
    else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let Ok(maps) = process.maps() else { return found };
    for map in maps {
        let MMapPath::Path(path) = &map.pathname else { continue };
        if !map.perms.contains(MMPermissions::EXECUTE)
            || !library::is_library(path)
            || !seen.insert(path.clone())
        {
            continue;
        }
        let (begin, end) = map.address;
        let open = if is_deleted(path) {
            // Replaced on disk, as by an update: the mapping itself leads to it.
            PathBuf::from(format!("/proc/{pid}/map_files/{begin:x}-{end:x}"))
        } else {
            let inside = path.strip_prefix("/").unwrap_or(path);
            Path::new("/proc").join(pid.to_string()).join("root").join(inside)
        };
        found.extend(Mapped::new(path.clone(), open));
    }
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let path = fs::read_link(&exe).unwrap_or_default();
    found.extend(Mapped::new(path, exe));
    found
}

fn is_deleted(path: &Path) -> bool {
    path.to_string_lossy().ends_with(" (deleted)")
}

/// Whether the process holds a TCP socket that listens.
pub(super) fn listens(pid: u32) -> bool {
    let Ok(process) =
        i32::try_from(pid).map_err(drop).and_then(|pid| Process::new(pid).map_err(drop))
    else {
        return false;
    };
    let sockets: HashSet<u64> = process
        .fd()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|fd| match fd.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    !sockets.is_empty() && listeners(pid).any(|inode| sockets.contains(&inode))
}

/// The listening sockets of the process's network namespace. The kernel prints them before all others.
fn listeners(pid: u32) -> impl Iterator<Item = u64> {
    use std::io::{BufRead as _, BufReader};
    ["tcp", "tcp6"].into_iter().flat_map(move |table| {
        let file = File::open(format!("/proc/{pid}/net/{table}")).ok();
        let lines =
            file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
        lines.skip(1).map_while(|line| {
            let mut fields = line.split_ascii_whitespace();
            (fields.nth(3)? == "0A").then(|| fields.nth(5)?.parse().ok())?
        })
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_seen_with_its_program_and_its_listener() {
        let own = std::process::id();
        assert!(all().contains(&own));
        assert!(began(own).is_some());
        let files = files(own);
        let exe = std::env::current_exe().unwrap();
        assert!(files.iter().any(|file| file.path == exe), "{files:?}");
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listens(own));
        let nobody = listens(u32::MAX);
        assert!(!nobody);
    }
}
