//! Debian's kernels: fetched by name and unpacked below `target/vm`, never installed.
//!
//! apt works on a state of its own there, so the host's sources and lists stay as they are. What is
//! unpacked stays; remove `target/vm/kernels` to get newer ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{run, say, workspace};

/// The series that are tried, each with the Debian archive, by its label, and the suite that have it. Of 7 the newest.
pub(super) const SERIES: &[(&str, &str)] = &[
    ("5.10", "Debian-Security bullseye-security"),
    ("6.1", "Debian-Security bookworm-security"),
    ("6.12", "Debian-Security bookworm-security"),
    ("6.18", "Debian trixie-backports"),
    ("7", "Debian trixie-backports"),
];

/// What signs Debian's suites, the old ones too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The flavour for virtual machines: the smallest. It has virtio, overlayfs, netem, veth and tun.
const FLAVOUR: &str = "-cloud-amd64";

/// An unpacked kernel.
pub(super) struct Kernel {
    /// One of [`SERIES`].
    pub(super) series: &'static str,
    /// As `uname -r` says it.
    pub(super) release: String,
    /// What boots.
    pub(super) image: PathBuf,
    /// `lib/modules/RELEASE`.
    pub(super) modules: PathBuf,
}

/// The kernels of these series; those that are not there yet are fetched.
pub(super) fn get(series: &[&'static str]) -> Result<Vec<Kernel>> {
    let mut apt = None;
    let mut kernels = Vec::new();
    for series in series {
        let folder = workspace().join("target/vm/kernels").join(series);
        if !folder.is_dir() {
            let apt = match &apt {
                Some(apt) => apt,
                None => apt.insert(Apt::update()?),
            };
            fetch(apt, series, &folder).with_context(|| {
                format!(
                    "Debian's kernel {series} cannot be fetched: the machines need Debian's archive \
                     once, later runs use target/vm/kernels"
                )
            })?;
        }
        kernels.push(Kernel::unpacked(series, &folder)?);
    }
    Ok(kernels)
}

impl Kernel {
    fn unpacked(series: &'static str, folder: &Path) -> Result<Self> {
        // Merged-usr packages have `usr/lib`, older ones `lib`.
        let libraries = ["usr/lib/modules", "lib/modules"].map(|place| folder.join(place));
        let modules = libraries
            .iter()
            .filter_map(|place| fs::read_dir(place).ok()?.next()?.ok())
            .map(|entry| entry.path())
            .next()
            .with_context(|| format!("no modules below {}", folder.display()))?;
        let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = [folder.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.is_file());
        let image = image.with_context(|| format!("no vmlinuz below {}", folder.display()))?;
        Ok(Self { series, release, image, modules })
    }
}

fn fetch(apt: &Apt, series: &str, folder: &Path) -> Result<()> {
    let release = apt.newest(series)?;
    // From 7.0 on the image's package is empty and depends on three that hold it.
    let parts =
        ["linux-binary-", "linux-modules-", "linux-base-"].map(|part| format!("{part}{release}"));
    let packages = if apt.names(&parts[0])?.contains(&parts[0]) {
        parts.to_vec()
    } else {
        vec![format!("linux-image-{release}")]
    };
    say(format!("vm: fetching {}", packages.join(" ")));
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    run(apt.command("apt-get").args(["download", "-qq"]).args(&packages).current_dir(&partial))?;
    for file in fs::read_dir(&partial)? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&partial))?;
            fs::remove_file(file)?;
        }
    }
    // Last, so that what is there is whole.
    fs::rename(&partial, folder)?;
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

/// apt with sources and a state of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn update() -> Result<Self> {
        let folder = workspace().join("target/vm/apt");
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let archives = archives()?;
        let mut sources = Vec::new();
        for (archive, suite) in SERIES.iter().filter_map(|(_, suite)| suite.split_once(' ')) {
            let uri = archives.get(archive).with_context(|| {
                format!(
                    "apt has no source of the archive {archive}: add it, and run apt-get update"
                )
            })?;
            sources.push(format!("deb [signed-by={KEYRING}] {uri} {suite} main\n"));
        }
        sources.dedup();
        fs::write(folder.join("sources.list"), sources.concat())?;
        fs::write(folder.join("status"), "")?;
        let apt = Self { folder };
        say("vm: reading Debian's lists of kernels");
        run(apt
            .command("apt-get")
            .args(["update", "-qq"])
            .args(["-o", "APT::Update::Error-Mode=any"]))
        .context("Debian's archive cannot be read: the machines need its kernels")?;
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
            // The workspace may be closed to apt's own user.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// The packages whose names begin so.
    fn names(&self, start: &str) -> Result<Vec<String>> {
        let output = self.command("apt-cache").args(["pkgnames", start]).output()?;
        ensure!(output.status.success(), "apt-cache: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    }

    /// The newest release of a series.
    fn newest(&self, series: &str) -> Result<String> {
        let names = self.names(&format!("linux-image-{series}."))?;
        let releases = names.iter().filter_map(|name| name.strip_prefix("linux-image-"));
        let newest =
            releases.filter(|name| name.ends_with(FLAVOUR)).max_by_key(|name| numbers(name));
        Ok(newest.with_context(|| format!("no linux-image-{series}.*{FLAVOUR}"))?.to_owned())
    }
}

/// The numbers of a release, which order it.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        assert!(numbers("6.1.0-56-cloud-amd64") > numbers("6.1.0-9-cloud-amd64"));
        assert!(numbers("6.12.117+deb12-cloud-amd64") > numbers("6.12.99+deb12-cloud-amd64"));
    }
}
