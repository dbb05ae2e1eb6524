//! Compiles the kernel half (`agent-ebpf`) and tells the agent where the object is.
//!
//! Out: `WSTAP_EBPF_OBJECT`, the path of the BPF object, for `include_bytes_aligned!`; and what `wstap --version`
//! says of this build: `WSTAP_COMMIT` and `WSTAP_EBPF_SHA256`.
//! A missing tool ends in one error that names `cargo xtask setup`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The BPF crate's target: little endian, as every host that the agent supports.
const TARGET: &str = "bpfel-unknown-none";
/// Debian's compiler, which has a prebuilt `core` for the BPF target (libstd-rust-web-dev-bpf).
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

fn main() {
    match build().and_then(|object| Ok((hash(&object)?, object))) {
        Ok((hash, object)) => {
            println!("cargo::rustc-env=WSTAP_EBPF_OBJECT={}", object.display());
            println!("cargo::rustc-env=WSTAP_EBPF_SHA256={hash}");
            // Only a release knows: to ask git at each build would build anew after each commit.
            println!("cargo::rerun-if-env-changed=WSTAP_COMMIT");
            let commit = env::var("WSTAP_COMMIT").unwrap_or_else(|_| "(a working tree)".to_owned());
            println!("cargo::rustc-env=WSTAP_COMMIT={commit}");
        }
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
        }
    }
}

fn build() -> Result<PathBuf, String> {
    // As it is now, not as it was when this script was compiled: a copied target folder would else go on
    // building the tree that it was copied from.
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?)
        .parent()
        .ok_or("the agent's crate is not inside the workspace")?
        .to_path_buf();
    for source in ["Cargo.toml", "agent-ebpf", "agent-common/src", "agent-common/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=PATH");

    let linker = linker(&workspace)?;
    println!("cargo::rerun-if-changed={}", linker.display());
    let target_dir = PathBuf::from(variable("OUT_DIR")?).join("ebpf");

    let mut cargo = compiler()?;
    // Cargo's variables for this build (flags, wrappers such as clippy's driver, another target)
    // do not hold for the BPF build.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS", "CARGO_TARGET_DIR"];
        if ours.contains(&&*text)
            || text.starts_with("CARGO_BUILD_")
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || (text.starts_with("RUSTC_") && text != "RUSTC_BOOTSTRAP")
        {
            cargo.env_remove(&name);
        }
    }
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let flags = [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        // The object names its sources; without this, each folder would give another object.
        format!("--remap-path-prefix={}=wstap", workspace.display()),
        format!("--remap-path-prefix={}=cargo", cargo_home()?.display()),
    ];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo
        .args(["build", "--release", "--package", "wstap-ebpf", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"));

    let output = cargo.output().map_err(|error| format!("cannot start {cargo:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the BPF crate did not build; if a tool is missing, run `cargo xtask setup`\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(target_dir.join(TARGET).join("release/wstap-ebpf"))
}

/// Where cargo keeps the sources of other crates.
fn cargo_home() -> Result<PathBuf, String> {
    let set = env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(env::home_dir()?.join(".cargo"))).ok_or("no CARGO_HOME and no HOME".into())
}

fn hash(object: &Path) -> Result<String, String> {
    use sha2::{Digest as _, Sha256};
    let bytes = fs::read(object).map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

/// bpf-linker as `cargo xtask setup` builds it, or one on the path.
fn linker(workspace: &Path) -> Result<PathBuf, String> {
    let ours = workspace.join("target/bpf-tools/bin/bpf-linker");
    if ours.is_file() {
        return Ok(ours);
    }
    // Seen again as soon as setup has built it.
    println!("cargo::rerun-if-changed={}", ours.display());
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file())
        .ok_or_else(|| "bpf-linker is missing: run `cargo xtask setup`".to_owned())
}

/// A cargo whose compiler can build for the BPF target: Debian's own, else rustup's nightly.
fn compiler() -> Result<Command, String> {
    if has_bpf_core() {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.env("RUSTC", DISTRIBUTION_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        return Ok(cargo);
    }
    if has_nightly_source() {
        let mut cargo = Command::new("rustup");
        cargo.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
        // rustup chose these for the outer build.
        cargo.env_remove("RUSTC").env_remove("RUSTDOC").env_remove("RUSTUP_TOOLCHAIN");
        cargo.env_remove("CARGO").env_remove("RUSTC_BOOTSTRAP");
        return Ok(cargo);
    }
    Err("no Rust compiler here can build for BPF (Debian's rustc-web with libstd-rust-web-dev-bpf, \
         or rustup's nightly with rust-src): run `cargo xtask setup`"
        .to_owned())
}

fn has_bpf_core() -> bool {
    let libraries =
        sysroot(&mut Command::new(DISTRIBUTION_RUSTC)).map(|root| root.join("lib/rustlib"));
    libraries.is_some_and(|folder| folder.join(TARGET).join("lib").is_dir())
}

fn has_nightly_source() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc"]).env_remove("RUSTUP_TOOLCHAIN");
    sysroot(&mut rustc).is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir())
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}; this is a cargo build script"))
}
