//! The files of a package, laid out once for all forms of it, and the archives.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::binary::Built;
use super::release::Release;
use crate::arch::Arch;
use crate::command::{cargo, run, workspace};
use crate::debian::fresh;

/// Where the files are that the packages' lists name (agent/Cargo.toml).
fn folder() -> PathBuf {
    super::folder().join("stage")
}

/// Lays out the files for one architecture.
pub(super) fn stage(built: &Built, release: &Release) -> Result<()> {
    let stage = folder();
    fresh(&stage)?;
    for part in ["bin", "systemd", "man", "completions", "doc", "prometheus"] {
        fs::create_dir(stage.join(part))?;
    }
    copy(&built.binary, &stage.join("bin/wstap"), 0o755)?;
    for (from, to) in [
        ("deploy/package/config.toml", "config.toml"),
        ("deploy/systemd/wstap.sysusers", "systemd/wstap.sysusers"),
        ("deploy/prometheus/prometheus.yml", "prometheus/prometheus.yml"),
        ("deploy/prometheus/wstap.rules.yml", "prometheus/wstap.rules.yml"),
        ("LICENSE-APACHE", "doc/LICENSE-APACHE"),
        ("LICENSE-MIT", "doc/LICENSE-MIT"),
        ("LICENSE-GPL-2.0", "doc/LICENSE-GPL-2.0"),
        ("CHANGELOG.md", "doc/CHANGELOG.md"),
        ("README.md", "doc/README.md"),
        ("docs/install.md", "doc/install.md"),
    ] {
        copy(&workspace().join(from), &stage.join(to), 0o644)?;
    }
    let unit = fs::read_to_string(workspace().join("deploy/systemd/wstap.service"))?;
    ensure!(unit.contains("=/usr/local/bin/wstap "), "the unit starts /usr/local/bin/wstap");
    // A package's programs are below /usr; by hand they go below /usr/local.
    write(&stage.join("systemd/wstap.service"), unit.replace("/usr/local/bin", "/usr/bin"))?;

    write(&stage.join("man/wstap.1"), said(built, &["man"])?)?;
    run(Command::new("gzip").args(["-9n"]).arg(stage.join("man/wstap.1")))?;
    for (shell, file) in [("bash", "wstap.bash"), ("zsh", "_wstap"), ("fish", "wstap.fish")] {
        write(&stage.join("completions").join(file), said(built, &["completions", shell])?)?;
    }
    // The packages' tools take the times of the files, where they take no other.
    run(Command::new("find").arg(&stage).args([
        "-exec",
        "touch",
        "-h",
        "-d",
        &format!("@{}", release.epoch),
        "{}",
        "+",
    ]))
}

/// The same files as a tarball, below one folder; they are laid out already.
pub(super) fn tarball(built: &Built, release: &Release) -> Result<()> {
    let name = format!("wstap-{}-{}-linux", release.version, built.arch.name());
    archive(&folder(), &name, &super::folder().join(format!("{name}.tar.gz")), release)
}

/// The debug information, beside.
pub(super) fn debug_info(built: &Built, release: &Release) -> Result<()> {
    let name = format!("wstap-{}-{}-linux-debug", release.version, built.arch.name());
    let content = super::folder().join("work/debug");
    fresh(&content)?;
    copy(&built.debug, &content.join("wstap.debug"), 0o644)?;
    archive(&content, &name, &super::folder().join(format!("{name}.tar.gz")), release)
}

/// The Helm chart as `helm package` makes it: an archive with one folder, the links in it followed. Its version and the
/// image's tag are the release's (a test compares them).
pub(super) fn chart(release: &Release) -> Result<()> {
    let content = super::folder().join("work/chart");
    fresh(&content)?;
    let chart = workspace().join("deploy/helm/wstap");
    run(Command::new("cp").args(["--recursive", "--dereference"]).arg(chart).arg(&content))?;
    let file = super::folder().join(format!("wstap-chart-{}.tgz", release.version));
    archive(&content.join("wstap"), "wstap", &file, release)
}

/// An archive of a folder's content below `name`: sorted, root's, everything of the commit's time.
pub(super) fn archive(content: &Path, name: &str, file: &Path, release: &Release) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", release.epoch)]);
    tar.args([&format!("--transform=s,^\\.,{name},"), "--use-compress-program=gzip -9n"]);
    tar.arg("--create").arg("--file").arg(file).arg("--directory").arg(content).arg(".");
    // Its messages and its order are the C locale's everywhere.
    run(tar.env("LC_ALL", "C"))
}

/// What the program prints for these arguments: it by itself where it runs, else one for this host that is built for that.
fn said(built: &Built, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = if Arch::host() == Some(built.arch) {
        Command::new(&built.binary)
    } else {
        cargo(["run", "--quiet", "--package", "wstap", "--bin", "wstap", "--"])
    };
    // Nothing of the environment goes into a manual page.
    let output =
        command.args(arguments).env("COLUMNS", "100").output().context("wstap does not start")?;
    ensure!(output.status.success(), "wstap: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

fn write(file: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(file, content).with_context(|| file.display().to_string())?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o644))?)
}
