//! What a machine starts from: busybox, the modules that the root and the tests need, and the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kernels::Kernel;
use super::machine::quoted;
use crate::arch::Arch;
use crate::command::{find, workspace};

/// The modules for the root (the first three), and for the tests: made-up devices and packet loss.
const MODULES: &[&str] = &["virtio_pci", "virtiofs", "overlay", "tun", "veth", "sch_netem"];
/// What the second serial line wants where it is a console of virtio's.
const CONSOLE: &str = "virtio_console";
const INIT: &str = include_str!("init");

/// Which files a machine has.
pub(super) struct Files {
    /// The folder that is its root, with the workspace put into it; none: the host's own.
    pub(super) root: Option<PathBuf>,
    /// The device of the second serial line.
    pub(super) output: &'static str,
}

impl Files {
    fn settings(&self) -> String {
        let (root, workspace) = match &self.root {
            None => (String::new(), String::new()),
            Some(root) => (root.display().to_string(), workspace().display().to_string()),
        };
        format!(
            "ROOT={}\nWORKSPACE={}\nOUTPUT={}\n",
            quoted(&root),
            quoted(&workspace),
            self.output
        )
    }
}

/// Writes the archive for a kernel and a command, a shell script.
pub(super) fn write(kernel: &Kernel, files: &Files, script: &str, file: &Path) -> Result<()> {
    let busybox = match &files.root {
        Some(root) => root.join("bin/busybox"),
        None => find("busybox").context("busybox is missing: run `cargo xtask setup vm`")?,
    };
    let mut archive = Archive::default();
    for folder in ["bin", "modules", "dev"] {
        archive.entry(folder, FOLDER, &[]);
    }
    archive.entry("bin/busybox", PROGRAM, &fs::read(busybox)?);
    archive.entry("init", PROGRAM, INIT.as_bytes());
    archive.entry("settings", FILE, files.settings().as_bytes());
    archive.entry("command", PROGRAM, script.as_bytes());
    for (number, module) in modules(kernel)?.iter().enumerate() {
        // The names order them: what a module needs is loaded before it.
        archive.entry(&format!("modules/{number:02}.ko"), PROGRAM, module);
    }
    fs::write(file, archive.end()).with_context(|| format!("cannot write {}", file.display()))
}

/// The modules of [`MODULES`] that this kernel does not have built in, after those that they need.
fn modules(kernel: &Kernel) -> Result<Vec<Vec<u8>>> {
    let built_in = kernel.modules.join("modules.builtin");
    let built_in = fs::read_to_string(&built_in)
        .with_context(|| format!("cannot read {}", built_in.display()))?;
    let mut modules = Modules {
        files: BTreeMap::new(),
        done: built_in.lines().filter_map(|line| name(Path::new(line))).collect(),
        order: Vec::new(),
    };
    list(&kernel.modules.join("kernel"), &mut modules.files)?;
    for module in MODULES {
        modules.load(module)?;
    }
    if kernel.arch == Arch::Aarch64 {
        modules.load(CONSOLE)?;
    }
    Ok(modules.order)
}

struct Modules {
    /// Every module's file.
    files: BTreeMap<String, PathBuf>,
    /// Built in, or in `order`.
    done: BTreeSet<String>,
    order: Vec<Vec<u8>>,
}

impl Modules {
    fn load(&mut self, module: &str) -> Result<()> {
        if !self.done.insert(module.to_owned()) {
            return Ok(());
        }
        let file = self.files.get(module);
        let file = file.with_context(|| format!("the kernel has no module {module}"))?;
        let content = content(file)?;
        for needed in needed(&content) {
            self.load(&needed)?;
        }
        self.order.push(content);
        Ok(())
    }
}

/// A module, unpacked where Debian packs it.
fn content(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return Ok(fs::read(file)?);
    }
    let output = Command::new("xz").arg("-dc").arg(file).output().context("cannot start xz")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// What a module says in `.modinfo` that it needs.
fn needed(module: &[u8]) -> Vec<String> {
    let mut strings = module.split(|byte| *byte == 0);
    let list = strings.find_map(|string| string.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(list.unwrap_or_default()).into_owned();
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn list(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if let Some(name) = name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The module's name in `PATH/NAME.ko` or `NAME.ko.xz`.
fn name(file: &Path) -> Option<String> {
    let (name, _) = file.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// A cpio archive in the form `newc`, which the kernel unpacks (its
/// Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        let number = self.0.len();
        // ino, mode, uid, gid, nlink, mtime, filesize, device and rdevice, namesize, check
        let fields =
            [number, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.0.extend(b"070701");
        self.0.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        self.0.extend(name.as_bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_names_what_a_module_needs() {
        let module = b"\x7fELF\0license=GPL\0depends=fuse,virtio-ring\0name=virtiofs\0";
        assert_eq!(needed(module), ["fuse", "virtio_ring"]);
        assert!(needed(b"license=GPL\0depends=\0").is_empty());
    }
}
