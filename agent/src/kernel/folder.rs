//! The folder of the cgroup tree that is watched, when it is not the root: it goes with the service that it belongs to,
//! and comes again as another one of the same name.
//!
//! In: the clock's turns. Out: that it has gone, and that it is there again and attached to. The kernel detaches what
//! was attached to a folder that goes.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    Kernel,
    families::{CGROUP, CgroupLinks, attach_to},
    is_whole_tree,
    privileges::with_permitted,
};

/// It is looked at so often.
const EVERY: Duration = Duration::from_secs(1);

/// What has become of the folder; each is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderNews {
    /// Nothing is seen any more, and why.
    Gone(String),
    /// It is seen again.
    Back(String),
}

/// The folder, and what is attached to it.
pub(super) struct Folder {
    path: PathBuf,
    /// The inode's number: the kernel gives no number twice.
    inode: u64,
    links: Option<CgroupLinks>,
    looked: Option<Instant>,
    told: Option<FolderNews>,
}

impl Folder {
    /// The folder that `links` are attached to; `None` when it cannot go.
    pub(super) fn new(path: PathBuf, links: CgroupLinks) -> Option<Self> {
        let inode = fs::metadata(&path).ok()?.ino();
        let folder = Self { inode, links: Some(links), looked: None, told: None, path };
        (!is_whole_tree(&folder.path)).then_some(folder)
    }
}

impl Kernel {
    /// Whether the watched folder may go, so that attaching again takes privileges.
    pub(super) fn may_attach_again(&self) -> bool {
        self.folder.is_some()
    }

    /// Looks whether the watched folder is there, once in a while, and attaches to the one that took its place.
    pub fn follow_folder(&self, now: Instant) -> Option<FolderNews> {
        let mut folder = self.folder.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return None;
        }
        folder.looked = Some(now);
        let (name, is_now) = (folder.path.display().to_string(), fs::metadata(&folder.path));
        let is_now = is_now.map(|found| found.ino());
        if matches!(is_now, Ok(inode) if inode == folder.inode) {
            return None;
        }
        let mut ebpf = self.ebpf();
        if let Some(links) = folder.links.take() {
            links.detach(&mut ebpf);
        }
        let news = match is_now {
            Ok(inode) => match with_permitted(|| attach_to(&mut ebpf, &folder.path, CGROUP)) {
                Ok(links) => {
                    (folder.inode, folder.links) = (inode, Some(links));
                    let scope = self
                        .families
                        .iter()
                        .any(|family| family.name == "probe" && family.is_used());
                    let but = if scope {
                        ", its unix sockets not before wstap is started again"
                    } else {
                        ""
                    };
                    FolderNews::Back(format!(
                        "the cgroup {name} was removed and made again: it is seen again{but}"
                    ))
                }
                Err(error) => FolderNews::Gone(format!(
                    "the cgroup {name} was removed and made again, and the new one cannot be attached to: {error}"
                )),
            },
            Err(error) => FolderNews::Gone(format!(
                "the cgroup {name} is gone ({error}): nothing is seen until it is there again"
            )),
        };
        (folder.told.as_ref() != Some(&news)).then(|| {
            folder.told = Some(news.clone());
            news
        })
    }
}
