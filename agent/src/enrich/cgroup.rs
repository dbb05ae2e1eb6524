//! The cgroup v2 tree: from the id that the kernel tells to a folder and its processes.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use lru::LruCache;

/// At most so many folders are remembered; the one that was longest not asked for goes first.
pub const FOLDERS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The tree below one folder, by id.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: PathBuf,
    root_id: Option<u64>,
    folders: LruCache<u64, PathBuf>,
}

impl Cgroups {
    /// The tree whose root is mounted at `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        let root_id = fs::metadata(&root).ok().map(|folder| folder.ino());
        Self { root, root_id, folders: LruCache::new(FOLDERS) }
    }

    /// Whether `id` tells a group of processes from the rest: not unknown, not the root.
    pub(super) fn is_group(&self, id: u64) -> bool {
        id > 1 && Some(id) != self.root_id
    }

    /// The folder of an id that was looked up before.
    pub(super) fn known(&mut self, id: u64) -> Option<&Path> {
        self.folders.get(&id).map(PathBuf::as_path)
    }

    /// The folder with this id (its inode number); walks the tree when it is not known yet.
    pub(super) fn folder(&mut self, id: u64) -> Option<&Path> {
        if !self.is_group(id) {
            return None;
        }
        if !self.folders.contains(&id) {
            self.folders.put(id, find(&self.root, id)?);
        }
        self.known(id)
    }
}

/// The processes of a cgroup's folder, without those that this pid namespace does not show.
pub(super) fn processes(folder: &Path) -> Vec<i32> {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

fn find(root: &Path, id: u64) -> Option<PathBuf> {
    let mut unread = vec![root.to_owned()];
    while let Some(folder) = unread.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == id {
                return Some(entry.path());
            }
            unread.push(entry.path());
        }
    }
    None
}
