//! Cgroups of the benchmark's own: one that the agent watches and nobody else is in, and one that the agent's
//! memory, the kernel's share included, is charged to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wstap_tests::cgroup2;

use crate::command::say;

/// A cgroup v2 that this process was put into, and what it starts until it leaves.
pub(super) struct Watched {
    folder: PathBuf,
    before: PathBuf,
}

impl Watched {
    /// Makes it and moves this process there; moved back when dropped, at the latest.
    pub(super) fn enter(name: &str) -> Result<Self> {
        let mount = cgroup2()?;
        let before = mount.join(own("").context("no cgroup v2 path")?);
        let folder = mount.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let own = Self { folder, before };
        enter(&own.folder)?;
        Ok(own)
    }

    /// Moves this process back, and not what it started.
    pub(super) fn leave(&self) -> Result<()> {
        enter(&self.before)
    }

    /// Its folder, for `--cgroup`.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let gone = self.leave().and_then(|()| Ok(fs::remove_dir(&self.folder)?));
        if let Err(error) = gone {
            say(format!("bench: remove {} by hand: {error:#}", self.folder.display()));
        }
    }
}

/// A memory cgroup for one program.
pub(super) struct Charged {
    folder: PathBuf,
    v2: bool,
}

impl Charged {
    /// Makes it: where cgroup v2 has the memory controller, at its root; else below this process's own.
    pub(super) fn new(name: &str) -> Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        let root = cgroup2()?;
        let controllers = fs::read_to_string(root.join("cgroup.subtree_control"))?;
        let v2 = controllers.split_whitespace().any(|controller| controller == "memory");
        let folder = if v2 {
            root.join(name)
        } else {
            let path = own("memory").context("this host has no memory controller")?;
            Path::new("/sys/fs/cgroup/memory").join(path).join(name)
        };
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder, v2 })
    }

    /// A command that moves itself there before it becomes `program`.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]);
        shell.arg(&self.folder).arg(program);
        shell
    }

    /// Bytes of kernel memory (slab, maps, the ring, page tables) that are charged to it.
    pub(super) fn kernel_bytes(&self) -> Result<u64> {
        if !self.v2 {
            let text = fs::read_to_string(self.folder.join("memory.kmem.usage_in_bytes"))?;
            return Ok(text.trim().parse()?);
        }
        let text = fs::read_to_string(self.folder.join("memory.stat"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("kernel "));
        Ok(line.context("memory.stat has no `kernel`: Linux 5.18 or later is needed")?.parse()?)
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            say(format!("bench: remove {} by hand: {error}", self.folder.display()));
        }
    }
}

/// This process's path in the hierarchy of a v1 controller, or, without a name, in cgroup v2's.
fn own(controller: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let found = controllers.split(',').any(|name| name == controller);
        found.then(|| path.trim_start_matches('/').into())
    })
}

fn enter(folder: &Path) -> Result<()> {
    let file = folder.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string()).with_context(|| file.display().to_string())
}
