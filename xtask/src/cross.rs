//! Builds for an architecture, static: the same way for this host's and for another one.
//!
//! For another one the compiler needs its standard library, and a linker and C compiler for it. rustup's compiler has the
//! library when `rustup target add` brought it. Else Debian's compiler is taken with Debian's library for that architecture,
//! unpacked below `target/cross`: its package cannot be installed beside the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::command::{self, workspace};
use crate::debian::{Apt, fresh, own_suites};

/// Debian's compiler, and the package of its standard library.
const COMPILER: &str = "/usr/bin/rustc";
const LIBRARY: &str = "libstd-rust-web-dev";

/// Where builds for an architecture go. Not among the host's own: the flags and the compiler are others.
fn target(arch: Arch) -> PathBuf {
    workspace().join("target/cross").join(arch.name())
}

/// Where the programs of a profile are.
pub(crate) fn folder(arch: Arch, profile: &str) -> PathBuf {
    let profile = if profile == "dev" { "debug" } else { profile };
    target(arch).join(arch.triple()).join(profile)
}

/// A program of the GNU tool chain for the architecture.
pub(crate) fn tool(arch: Arch, name: &str) -> String {
    if Arch::host() == Some(arch) {
        name.to_owned()
    } else {
        format!("{}-linux-gnu-{name}", arch.name())
    }
}

/// A cargo that builds static programs for the architecture.
pub(crate) fn cargo(arch: Arch, arguments: &[&str]) -> Result<Command> {
    let mut cargo = command::cargo(arguments.iter().copied());
    let triple = arch.triple();
    let variable = triple.to_uppercase().replace('-', "_");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    // Whoever builds it where: the bytes are the same. The flags hold for the agent, not for build scripts.
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=wstap", workspace().display()),
        format!("--remap-path-prefix={}=cargo", home.display()),
    ];
    if Arch::host() != Some(arch) {
        let linker = tool(arch, "gcc");
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), &linker);
        cargo.env(format!("CC_{}", triple.replace('-', "_")), linker);
        if !has_library(Command::new("rustc").current_dir(workspace()), arch) {
            flags.push(format!("--sysroot={}", library(arch)?.display()));
            cargo.env("RUSTC", COMPILER);
        }
    }
    cargo.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), flags.join(" "));
    cargo.args(["--target", &triple, "--target-dir"]).arg(target(arch));
    Ok(cargo)
}

/// Whether a compiler has the standard library of an architecture.
fn has_library(rustc: &mut Command, arch: Arch) -> bool {
    let output = rustc.args(["--print", "sysroot"]).output();
    let root = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    root.is_some_and(|root| {
        Path::new(root.trim()).join("lib/rustlib").join(arch.triple()).join("lib").is_dir()
    })
}

/// The root of Debian's standard library for the architecture, of the version of Debian's compiler.
fn library(arch: Arch) -> Result<PathBuf> {
    let mut query = Command::new("dpkg-query");
    let output = query.args(["--show", "--showformat=${Version}", LIBRARY]).output();
    let output = output.context("cannot start dpkg-query")?;
    ensure!(
        output.status.success(),
        "there is no standard library for {arch}. With rustup: rustup target add {arch}. On Debian 12: \
         apt-get install rustc-web {LIBRARY}",
        arch = arch.triple()
    );
    let version = String::from_utf8(output.stdout)?;
    let folder = target(arch).join(format!("library-{version}"));
    if !folder.is_dir() {
        let suites = own_suites()?;
        let suites: Vec<_> = suites.iter().map(|(label, suite)| (*label, suite.as_str())).collect();
        let apt = Apt::update(&format!("library-{}", arch.name()), arch, &suites)?;
        let partial = target(arch).join("library.partial");
        fresh(&partial)?;
        apt.unpack(&[format!("{LIBRARY}={version}")], &partial)?;
        fs::rename(&partial, &folder)?;
    }
    Ok(folder.join("usr"))
}
