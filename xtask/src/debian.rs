//! Debian's packages that are unpacked below `target/` and never installed: other kernels, and what belongs to another
//! architecture.
//!
//! apt works on a state of its own there, so the host's sources and lists stay as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::command::{run, say, workspace};

/// What signs Debian's suites, the old ones too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite, with the archive that has it, by the label that the archive gives itself.
pub(crate) type Suite<'a> = (&'a str, &'a str);

/// The suites of the release that this host runs, for what must fit its compiler and its scripts.
pub(crate) fn own_suites() -> Result<Vec<(&'static str, String)>> {
    let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.context("/etc/os-release has no VERSION_CODENAME: this is for Debian")?;
    Ok(vec![("Debian", name.to_owned()), ("Debian-Security", format!("{name}-security"))])
}

/// apt with sources and a state of its own.
pub(crate) struct Apt {
    folder: PathBuf,
    arch: Arch,
}

impl Apt {
    /// One that has read the lists of these suites; `name` is its folder's.
    pub(crate) fn update(name: &str, arch: Arch, suites: &[Suite<'_>]) -> Result<Self> {
        let folder = workspace().join("target/apt").join(name);
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let archives = archives()?;
        let mut sources = Vec::new();
        for (archive, suite) in suites {
            let uri = archives.get(*archive).with_context(|| {
                format!(
                    "apt has no source of the archive {archive}: add it, and run apt-get update"
                )
            })?;
            sources.push(format!("deb [signed-by={KEYRING}] {uri} {suite} main\n"));
        }
        sources.dedup();
        fs::write(folder.join("sources.list"), sources.concat())?;
        fs::write(folder.join("status"), "")?;
        let apt = Self { folder, arch };
        say(format!("reading Debian's lists ({name})"));
        run(apt
            .command("apt-get")
            .args(["update", "-qq"])
            .args(["-o", "APT::Update::Error-Mode=any"]))
        .context("Debian's archive cannot be read")?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option =
            |name: &str, file: &str| format!("{name}={}", self.folder.join(file).display());
        for option in [
            option("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            option("Dir::State", "state"),
            option("Dir::State::status", "status"),
            option("Dir::Cache", "cache"),
            format!("APT::Architecture={}", self.arch.debian()),
            format!("APT::Architectures={}", self.arch.debian()),
            // The workspace may be closed to apt's own user.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// The packages whose names begin so.
    pub(crate) fn names(&self, start: &str) -> Result<Vec<String>> {
        let output = self.command("apt-cache").args(["pkgnames", start]).output()?;
        ensure!(output.status.success(), "apt-cache: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    }

    /// Unpacks these packages, and nothing that they depend on.
    pub(crate) fn unpack(&self, packages: &[String], folder: &Path) -> Result<()> {
        let debs = folder.with_extension("debs");
        fresh(&debs)?;
        run(self.command("apt-get").args(["download", "-qq"]).args(packages).current_dir(&debs))?;
        unpack_all(&debs, folder)?;
        Ok(fs::remove_dir_all(debs)?)
    }

    /// Unpacks these packages and all that they depend on: most of what a root needs to run them. Their scripts do not run.
    pub(crate) fn unpack_root(&self, packages: &[&str], folder: &Path) -> Result<()> {
        run(self
            .command("apt-get")
            .args(["install", "-qq", "--yes", "--download-only", "--no-install-recommends"])
            .args(packages))?;
        // Merged /usr, which the packages of today take for granted.
        for name in ["bin", "sbin", "lib"] {
            fs::create_dir_all(folder.join("usr").join(name))?;
            std::os::unix::fs::symlink(format!("usr/{name}"), folder.join(name))?;
        }
        unpack_all(&self.folder.join("cache/archives"), folder)?;
        Ok(fs::remove_dir_all(self.folder.join("cache/archives"))?)
    }
}

/// An empty folder.
pub(crate) fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn unpack_all(debs: &Path, folder: &Path) -> Result<()> {
    for file in fs::read_dir(debs)? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            // Not `dpkg-deb -x`, which would replace the links of a merged /usr by folders.
            let mut tar = Command::new("sh");
            tar.args([
                "-c",
                r#"dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2""#,
                "sh",
            ]);
            run(tar.arg(&file).arg(folder)).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// Where this host's own apt has its packages from, by the archives' labels.
fn archives() -> Result<BTreeMap<String, String>> {
    let format = "$(LABEL) $(REPO_URI)";
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let output = apt.output().context("cannot start apt-get")?;
    ensure!(output.status.success(), "apt-get: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    let archives = lines.lines().filter_map(|line| line.split_once(' '));
    Ok(archives.map(|(label, uri)| (label.to_owned(), uri.to_owned())).collect())
}
