//! `cargo xtask dist`: all that a release has, into `target/dist`.
//!
//! The same commit gives the same bytes: times come from the commit, lists are sorted, and no file names the folder
//! that it was built in.

mod binary;
mod files;
mod image;
mod packages;
mod release;
mod sums;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use crate::arch::Arch;
use crate::command::{cargo, is_root, need_root, run as run_command, say, workspace};
use crate::debian::fresh;
use crate::setup::{self, Group};
use release::Release;

/// What to build.
#[derive(Args)]
pub(crate) struct Options {
    /// The architectures
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["x86_64", "aarch64"])]
    arch: Vec<Arch>,
    /// The secret key of minisign that signs SHA256SUMS; its password is asked for, or read from standard input
    #[arg(long, value_name = "FILE", env = "WSTAP_SIGNING_KEY")]
    sign_with: Option<PathBuf>,
    /// Then install the packages for this host in fresh roots of Debian 12 and 13, upgrade and remove them (needs root)
    #[arg(long)]
    check: bool,
    /// Build this profile of cargo's: "dev" tries the packaging without waiting for the optimiser
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Where everything goes.
pub(crate) fn folder() -> PathBuf {
    workspace().join("target/dist")
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    let mut architectures = options.arch.clone();
    architectures.sort_unstable();
    architectures.dedup();
    let mut groups = vec![Group::Bpf, Group::Dist];
    if architectures.iter().any(|arch| Arch::host() != Some(*arch)) {
        groups.push(Group::Cross);
    }
    setup::run(&groups)?;
    let release = Release::of_workspace()?;
    say(format!("dist: {} at {}", release.version, release.commit));
    let out = folder();
    fresh(&out)?;

    let mut binaries = Vec::new();
    for arch in &architectures {
        say(format!("dist: {}: binary", arch.name()));
        binaries.push(binary::build(*arch, &release, &options.profile)?);
    }
    for built in &binaries {
        say(format!("dist: {}: tarball, deb, rpm, SBOM", built.arch.name()));
        files::stage(built, &release)?;
        files::tarball(built, &release)?;
        files::debug_info(built, &release)?;
        packages::deb(built, &release)?;
        packages::rpm(built, &release)?;
        packages::sbom(built, &release)?;
    }
    say("dist: chart, image");
    files::chart(&release)?;
    if is_root() {
        image::archive(&binaries, &release)?;
    } else {
        say("dist: NO IMAGE: the binary's file capabilities need root; run it as root to have one");
    }
    for folder in ["stage", "work"] {
        let folder = out.join(folder);
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
    }
    sums::write(&out, options.sign_with.as_deref())?;
    ensure!(!release.is_dirty || options.sign_with.is_none(), "what is signed must be committed");
    if release.is_dirty {
        say("dist: the working tree is not committed: this is no release");
    }
    if options.check {
        need_root("Installing packages", "dist --check")?;
        setup::run(&[Group::Install])?;
        say("dist: installing the packages in fresh roots");
        let test =
            ["test", "--package", "wstap-tests", "--test", "install", "--", "--test-threads=1"];
        run_command(cargo(test).env("WSTAP_DIST", &out))?;
    }
    say(format!("dist: {} s in all", begin.elapsed().as_secs()));
    Ok(())
}
