//! The packages of `cargo xtask dist`, installed in fresh roots: what they bring, an upgrade over a changed configuration, and
//! that nothing is left when they are gone. `cargo xtask dist --check` runs it; it needs root.
//!
//! `WSTAP_DIST` names the folder with the packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::{scratch, workspace};

/// What an administrator wrote into the configuration.
const CHANGE: &str = "max-paths = 7\n";
const CONFIG: &str = "etc/wstap/config.toml";

/// Runs a command; what it printed when it succeeds.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.env("LC_ALL", "C.UTF-8").output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}\n{text}");
    Ok(text.into_owned())
}

/// The package for this host whose name ends so.
fn package(end: &str) -> Result<PathBuf> {
    let folder = std::env::var("WSTAP_DIST").context("WSTAP_DIST")?;
    let files = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    let found = files.into_iter().find(|file| file.display().to_string().ends_with(end));
    found.with_context(|| format!("no package *{end} in {folder}"))
}

/// A system of its own in a folder, with this kernel; its mounts end with it.
struct Root(PathBuf);

impl Root {
    /// A copy of a fresh Debian of this release, which is fetched once.
    fn fresh(release: &str, name: &str) -> Result<Self> {
        let pristine = workspace().join("target/install").join(release);
        if !pristine.is_dir() {
            let partial = pristine.with_extension("partial");
            let _none = fs::remove_dir_all(&partial);
            fs::create_dir_all(&partial)?;
            let source = succeed(Command::new("apt-get").args([
                "indextargets",
                "--format",
                "$(LABEL) $(REPO_URI)",
                "Created-By: Packages",
            ]))?;
            let source = source.lines().find_map(|line| line.strip_prefix("Debian "));
            let source = source.context("apt has no source of Debian")?;
            succeed(
                Command::new("debootstrap")
                    .args(["--variant=minbase", release])
                    .arg(&partial)
                    .arg(source),
            )?;
            fs::rename(&partial, &pristine)?;
        }
        let folder = scratch(name)?;
        succeed(
            Command::new("cp")
                .args(["--archive", "--no-target-directory"])
                .arg(pristine)
                .arg(&folder),
        )?;
        let root = Self(folder);
        for (kind, place) in [
            ("proc", "proc"),
            ("sysfs", "sys"),
            ("cgroup2", "sys/fs/cgroup"),
            ("tmpfs", "run"),
            ("tmpfs", "tmp"),
        ] {
            succeed(Command::new("mount").args(["-t", kind, kind]).arg(root.0.join(place)))?;
        }
        Ok(root)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        succeed(Command::new("chroot").arg(&self.0).args(words))
    }

    fn append(&self, file: &str, text: &str) -> Result<()> {
        let file = self.0.join(file);
        Ok(fs::write(&file, fs::read_to_string(&file)? + text)?)
    }

    /// Its files, without what package managers keep of themselves, and the backups of the user's file.
    fn files(&self) -> Result<BTreeSet<String>> {
        let mut find = Command::new("find");
        find.arg(".").args(["-xdev", "-not", "-path", "./var/*", "-not", "-name", "*-"]);
        Ok(succeed(find.current_dir(&self.0))?.lines().map(str::to_owned).collect())
    }

    fn has_user(&self) -> Result<bool> {
        let users = fs::read_to_string(self.0.join("etc/passwd"))?;
        let groups = fs::read_to_string(self.0.join("etc/group"))?;
        Ok(users.contains("wstap:") || groups.contains("wstap:"))
    }

    /// What holds as long as the package is there.
    fn works(&self) -> Result<()> {
        ensure!(self.has_user()?, "no user");
        let version = self.run(&["wstap", "--version"])?;
        ensure!(version.contains("commit: ") && version.contains("sha256:"), "{version}");
        self.run(&["wstap", "run", "--check-config"])?;
        self.run(&["wstap", "doctor"]).map(drop)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for place in ["tmp", "run", "sys/fs/cgroup", "sys", "proc"] {
            let _gone = Command::new("umount").arg("--lazy").arg(self.0.join(place)).status();
        }
    }
}

/// The same package, one version later and with another configuration.
fn newer_deb(deb: &Path, root: &Root) -> Result<PathBuf> {
    let content = root.0.join("tmp/newer");
    succeed(Command::new("dpkg-deb").arg("--raw-extract").arg(deb).arg(&content))?;
    let control = content.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(version) => format!("Version: {version}+newer\n"),
        None => format!("{line}\n"),
    });
    fs::write(&control, lines.collect::<String>())?;
    let config = content.join(CONFIG);
    fs::write(&config, fs::read_to_string(&config)? + "# newer\n")?;
    let file = root.0.join("tmp/newer.deb");
    succeed(
        Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(content).arg(&file),
    )?;
    Ok(file)
}

fn deb(release: &str) -> Result<()> {
    let root = Root::fresh(release, &format!("install-{release}"))?;
    let before = root.files()?;
    let deb = package(if cfg!(target_arch = "aarch64") { "_arm64.deb" } else { "_amd64.deb" })?;
    fs::copy(&deb, root.0.join("tmp/wstap.deb"))?;
    root.run(&["dpkg", "--install", "/tmp/wstap.deb"])?;
    root.works()?;
    root.append(CONFIG, CHANGE)?;
    newer_deb(&deb, &root)?;
    root.run(&["dpkg", "--force-confold", "--install", "/tmp/newer.deb"])?;
    ensure!(fs::read_to_string(root.0.join(CONFIG))?.ends_with(CHANGE), "the change is lost");
    root.works()?;
    root.run(&["dpkg", "--purge", "wstap"])?;
    ensure!(!root.has_user()?, "the user is left");
    let left: Vec<_> = root.files()?.difference(&before).cloned().collect();
    ensure!(left.is_empty(), "left: {left:#?}");
    Ok(())
}

#[test]
fn the_deb_in_debian_12() -> Result<()> {
    deb("bookworm")
}

#[test]
fn the_deb_in_debian_13() -> Result<()> {
    deb("trixie")
}

/// By rpm's own hand, in a root that has no other use for it.
#[test]
fn the_rpm_in_a_root() -> Result<()> {
    let root = Root::fresh("trixie", "install-rpm")?;
    let file = package(&format!(".{}.rpm", std::env::consts::ARCH))?;
    let rpm = |words: &[&str]| {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(&root.0).args(words);
        rpm
    };
    succeed(&mut rpm(&["--initdb"]))?;
    let before = root.files()?;
    // The root's shell is dpkg's, not rpm's.
    succeed(rpm(&["--install", "--nodeps"]).arg(&file))?;
    root.works()?;
    succeed(&mut rpm(&["--verify", "--nodeps", "wstap"]))?;
    root.append(CONFIG, CHANGE)?;
    succeed(rpm(&["--upgrade", "--nodeps", "--force"]).arg(&file))?;
    ensure!(fs::read_to_string(root.0.join(CONFIG))?.ends_with(CHANGE), "the change is lost");
    succeed(&mut rpm(&["--erase", "wstap"]))?;
    ensure!(!root.has_user()?, "the user is left");
    let left: Vec<_> = root.files()?.difference(&before).cloned().collect();
    // rpm keeps what an administrator wrote, and folders of the distribution's.
    let expected = |file: &&String| {
        !file.starts_with("./etc/wstap")
            && !file.starts_with("./usr/share/fish")
            && !file.starts_with("./usr/share/zsh")
    };
    let left: Vec<_> = left.iter().filter(expected).collect();
    ensure!(left.is_empty(), "left: {left:#?}");
    Ok(())
}
