//! What each program costs this kernel's verifier, against `verifier.toml`. Needs root.
//!
//! In: every program of both families, verified by the running kernel. Fails when one is refused, when one costs more
//! than [`MOST`], or more than [`GROWTH`] above what the file says. The error has the file's text as it would be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use wstap::kernel::verifier::{Verdict, verify};
use wstap_tests::workspace;

/// The most instructions that a program may cost on any kernel: a tenth of what the kernel allows, so that what one
/// version prunes less well than another still loads.
const MOST: u64 = 100_000;
/// In percent: a program that grows by more changes the file, and whoever does it sees by how much.
const GROWTH: u64 = 10;

/// What fentry programs' names begin with: some kernels give them to nobody, and on those they cost nothing. The
/// same code is in the kprobe programs.
const FENTRY: [&str; 2] = ["ws_unix_", "ws_tcp_"];

/// By kernel series, by program.
type Table = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn every_program_is_within_its_budget() -> Result<()> {
    let file = workspace().join("tests/verifier/verifier.toml");
    let table: Table = toml::from_str(&fs::read_to_string(&file)?)
        .with_context(|| format!("{} is not a table", file.display()))?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let series = series(&release).context(release)?;
    let known = table.get(&series).cloned().unwrap_or_default();

    let mut faults = String::new();
    let mut measured = format!("[\"{series}\"]\n");
    for (program, verdict) in verify()? {
        let cost = match verdict {
            Verdict::Takes(cost) => cost,
            Verdict::NotAsked(reason) if FENTRY.iter().any(|start| program.starts_with(start)) => {
                println!("{program} is not measured: {reason}");
                continue;
            }
            Verdict::Refuses(reason) | Verdict::NotAsked(reason) => {
                writeln!(faults, "{program} is refused: {reason}")?;
                continue;
            }
        };
        writeln!(measured, "{program} = {cost}")?;
        if cost > MOST {
            writeln!(faults, "{program} costs {cost}, more than {MOST}")?;
        }
        match known.get(program) {
            None => writeln!(faults, "{program} has no row")?,
            Some(row) if cost * 100 > row * (100 + GROWTH) => {
                writeln!(faults, "{program} costs {cost}, and its row says {row}")?;
            }
            Some(_) => {}
        }
    }
    println!("{measured}");
    if let Some(path) = std::env::var_os("WSTAP_VERIFIER_WRITE") {
        fs::write(path, &measured)?;
    }
    ensure!(
        faults.is_empty(),
        "{faults}\nMeasured, as {} would say it:\n{measured}",
        file.display()
    );
    Ok(())
}

/// Of a release the name of its part of the file: major and minor version; from 7 on the major one.
fn series(release: &str) -> Option<String> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(if major >= 7 { major.to_string() } else { format!("{major}.{minor}") })
}
