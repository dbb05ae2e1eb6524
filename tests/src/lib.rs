//! What the whole-program tests, the demo and the benchmark share: processes that end with their
//! guard, real servers, the agent as a user starts it, and raw clients.
//!
//! Nothing here depends on the agent's crate: the binary is used as it is shipped.

pub mod agent;
pub mod frames;
pub mod hostile;
pub mod http;
pub mod metrics;
pub mod nginx;
pub mod node;
pub mod process;
pub mod random;
pub mod results;
pub mod tail;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long anything that must happen may take; a busy machine needs only a fraction of it, an emulated one half.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this machine emulates its processor: then a test goes as many rounds as show the same. `cargo xtask vm`
/// says so in its machines with `WSTAP_SLOW`.
pub fn is_slow() -> bool {
    std::env::var_os("WSTAP_SLOW").is_some()
}

/// The workspace's root.
pub fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// A fresh folder below `target/`, kept afterwards for a look at the logs.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = workspace().join("target/scratch").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Where cgroup v2 is mounted.
pub fn cgroup2() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let mount = fields.find_map(|mut line| {
        let (path, kind) = (line.nth(1)?, line.next()?);
        (kind == "cgroup2").then(|| path.into())
    });
    mount.context("no cgroup v2 is mounted")
}

/// Says that a test, or a part of one, is left out. Not by the macro: what a test that passes prints by it is not shown.
pub fn left_out(why: &str) {
    use std::io::Write as _;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Standard error that is gone cannot be told.
    let _ = writeln!(std::io::stderr(), "left out: {test}: {why}");
}

/// Whether this kernel is of this version or a later one.
pub fn is_since(version: (u32, u32)) -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Ok((next(), next()) >= version)
}

/// A port that nothing listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Asks until there is an answer; an error that names what was waited for when there is none in
/// [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
