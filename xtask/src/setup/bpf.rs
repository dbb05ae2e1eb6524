//! What compiles the kernel half: a Rust compiler with `core` for BPF, and bpf-linker.
//!
//! `agent/build.rs` looks in the same places.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::Step;
use crate::command::{find, run, workspace};

/// What to do where Debian's packages are not to be had.
pub(super) const OTHER_DISTRIBUTIONS: &str = "\
Debian 12 has all of this. Elsewhere the agent builds with:
    rustup toolchain install nightly --component rust-src
    cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22
(bpf-linker wants LLVM's development files; take the feature that names the nightly's own LLVM,
see `rustc +nightly -vV`.)";

/// The linker's version; its LLVM must be at least the compiler's.
const LINKER_VERSION: &str = "0.13.0";
/// Where Debian keeps LLVM 22, the LLVM of its rustc-web.
const LLVM: &str = "/usr/lib/llvm-22";
/// What building bpf-linker against Debian's LLVM needs.
const LINKER_PACKAGES: &[&str] =
    &["g++", "libpolly-22-dev", "libxml2-dev", "libzstd-dev", "llvm-22-dev", "zlib1g-dev"];

/// The Debian packages that are missing.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if !compiler_present() {
        packages.extend(["rustc-web", "libstd-rust-web-dev-bpf"]);
    }
    if !linker_present() && !llvm_present() {
        packages.extend(LINKER_PACKAGES);
    }
    packages
}

/// The step that builds bpf-linker, when there is none.
pub(super) fn linker_step() -> Option<Step> {
    if linker_present() {
        return None;
    }
    let what =
        format!("cargo install bpf-linker {LINKER_VERSION} into target/bpf-tools (1 to 3 minutes)");
    Some(Step { what, work: Box::new(install_linker) })
}

fn install_linker() -> Result<()> {
    let root = workspace().join("target/bpf-tools");
    // The second, so that cargo does not ask for it on the path.
    let mut path = std::ffi::OsString::from(format!("{LLVM}/bin:{}/bin:", root.display()));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "bpf-linker", "--locked", "--version", LINKER_VERSION])
        .args(["--no-default-features", "--features", "llvm-22", "--root"])
        .arg(root)
        .env("LLVM_PREFIX", LLVM)
        .env("PATH", path)
        .env("RUSTFLAGS", format!("-L {LLVM}/lib")))
}

fn compiler_present() -> bool {
    let debian = sysroot(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]))
        .is_some_and(|root| Path::new(&root).join("lib/rustlib/bpfel-unknown-none/lib").is_dir());
    let nightly = || {
        let mut rustc = Command::new("rustup");
        rustc.args(["run", "nightly", "rustc", "--print", "sysroot"]);
        sysroot(rustc.env_remove("RUSTUP_TOOLCHAIN"))
            .is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/core").is_dir())
    };
    debian || nightly()
}

fn sysroot(rustc: &mut Command) -> Option<String> {
    let output = rustc.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// A linker that runs: a binary whose LLVM library is gone counts as missing.
fn linker_present() -> bool {
    let ours = workspace().join("target/bpf-tools/bin/bpf-linker");
    let linker = if ours.is_file() { Some(ours) } else { find("bpf-linker") };
    linker.is_some_and(|linker| {
        let mut command = Command::new(linker);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn llvm_present() -> bool {
    Path::new(LLVM).join("bin/llvm-config").is_file()
        && ["libPolly.a", "libLLVM.so"]
            .iter()
            .all(|file| Path::new(LLVM).join("lib").join(file).exists())
        && ["/usr/include/zlib.h", "/usr/include/zstd.h", "/usr/include/libxml2"]
            .iter()
            .all(|file| Path::new(file).exists())
}
