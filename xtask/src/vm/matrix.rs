//! The matrix: every kernel, and what holds on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::kernels::{Kernel, SERIES};
use super::machine::{self, Order, Outcome};
use super::suites::{SUITES, Suite};
use crate::arch::Arch;
use crate::command::{cargo, run, say, workspace};
use crate::cross;

/// Among the binaries, the agent's.
const AGENT: &str = "wstap";
/// Machines at a time: each keeps one processor busy.
const MACHINES: usize = 2;
/// How long one test may take in a machine; the slowest takes a third.
const TEST_LIMIT: Duration = Duration::from_secs(300);
/// How long a machine may take.
const LIMIT: Duration = Duration::from_secs(1_200);
/// Connections whose ends are compared with what is told of them.
const CLOSURES: &str = "40";
/// How much is shown of what a failed test said.
const SHOWN: usize = 60;

/// What is known of a suite on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// It does not run here.
    Left,
    /// All of its tests passed, in so many seconds.
    Passed(u64),
    /// A test failed, or gave no result.
    Failed,
}

/// Runs the suites of these names (all when there are none) on these kernels and prints the table; an error when a test
/// failed or gave no result.
pub(super) fn run_on(kernels: &[Kernel], names: &[&str], arch: Arch) -> Result<()> {
    let binaries = build(arch)?;
    // A machine for what runs on every kernel, and another for the rest: so two have about as much to do.
    let mut waiting: Vec<(&Kernel, Vec<&Suite>)> = Vec::new();
    for ends in [true, false] {
        for kernel in kernels {
            let oldest_or_newest = [SERIES.first(), SERIES.last()]
                .into_iter()
                .flatten()
                .any(|(series, _)| *series == kernel.series);
            let wanted = |suite: &&Suite| match names {
                [] => suite.ends == ends && (oldest_or_newest || !ends),
                names => suite.ends == ends && names.contains(&suite.name),
            };
            let suites: Vec<_> = SUITES.iter().filter(wanted).collect();
            if !suites.is_empty() {
                waiting.push((kernel, suites));
            }
        }
    }
    let begin = Instant::now();
    let (waiting, done) = (Mutex::new(waiting), Mutex::new(BTreeMap::<_, BTreeMap<_, _>>::new()));
    let again = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((kernel, suites)) = next else { return Ok(()) };
                let (cells, is_again) = on(kernel, &suites, &binaries)?;
                if is_again {
                    again.lock().unwrap_or_else(PoisonError::into_inner).push(&kernel.release);
                }
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.entry(kernel.series).or_default().extend(cells);
            }
        };
        let machines: Vec<_> = (0..MACHINES).map(|_| scope.spawn(work)).collect();
        machines.into_iter().try_for_each(|machine| {
            machine.join().unwrap_or_else(|_| bail!("a machine's thread broke"))
        })
    })?;
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let suites: Vec<_> = SUITES
        .iter()
        .filter(|suite| done.values().any(|cells| cells.contains_key(suite.name)))
        .collect();
    say(format!(
        "\n{}\nvm: {} s in all",
        table(kernels, &suites, &done),
        begin.elapsed().as_secs()
    ));
    for release in again.into_inner().unwrap_or_else(PoisonError::into_inner) {
        say(format!(
            "vm: A MACHINE GAVE NO RESULT, {release}: those in the table are a second one's, see above"
        ));
    }
    let failed = done.values().flat_map(BTreeMap::values).any(|cell| *cell == Cell::Failed);
    ensure!(!failed, "a kernel failed a suite: what its tests said is above");
    Ok(())
}

/// The test binaries, by their names, and the agent's.
fn build(arch: Arch) -> Result<BTreeMap<String, PathBuf>> {
    // What this host runs is built as its own tests are; for another architecture it is static.
    let is_host = Arch::host() == Some(arch);
    let command = |arguments: &[&str]| {
        if is_host { Ok(cargo(arguments.iter().copied())) } else { cross::cargo(arch, arguments) }
    };
    run(&mut command(&["build", "--bin", "wstap"])?)?;
    let mut tests =
        command(&["test", "--no-run", "--package", "wstap-tests", "--message-format=json"])?;
    tests.args(["--test", "live", "--test", "verifier"]).stderr(Stdio::inherit());
    let output = tests.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests cannot be built");
    let agent = if is_host {
        workspace().join("target/debug/wstap")
    } else {
        cross::folder(arch, "dev").join("wstap")
    };
    let mut binaries = BTreeMap::from([(AGENT.to_owned(), agent)]);
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let text = |pointer| message.pointer(pointer).and_then(serde_json::Value::as_str);
        if let (Some(name), Some(file)) = (text("/target/name"), text("/executable")) {
            binaries.insert(name.to_owned(), PathBuf::from(file));
        }
    }
    Ok(binaries)
}

/// Runs the suites in one machine, and tells whether a first one gave no result.
fn on(
    kernel: &Kernel,
    suites: &[&Suite],
    binaries: &BTreeMap<String, PathBuf>,
) -> Result<(BTreeMap<&'static str, Cell>, bool)> {
    let binary = |name: &str| {
        let file = binaries.get(name).with_context(|| format!("{name} was not built"))?;
        anyhow::Ok(file.display().to_string())
    };
    let mut script = String::new();
    for suite in suites {
        for test in suite.tests {
            writeln!(script, "one {} {test}", binary(suite.binary)?)?;
        }
    }
    let command = ["/bin/sh", "-c", &format!("{ONE}{script}")].map(str::to_owned);
    let environment = [
        ("WSTAP_SLOW", "1".to_owned()),
        ("WSTAP_PROBES", "1".to_owned()),
        ("WSTAP_BINARY", binary(AGENT)?),
        ("WSTAP_CLOSURES", CLOSURES.to_owned()),
        ("TEST_LIMIT", TEST_LIMIT.as_secs().to_string()),
        ("RUST_BACKTRACE", "0".to_owned()),
    ];
    let order = Order { command: &command, environment: &environment, limit: LIMIT, shown: false };
    say(format!("vm: {} begins", kernel.release));
    let mut outcome = machine::run(kernel, &order)?;
    // Of a kernel that went down a test that hung gave no result either; one that failed by itself did.
    let found = results(&outcome.output);
    let has_failed = found.values().any(|(how, _)| *how == FAILED);
    let is_again = found.is_empty() || (outcome.end.is_down() && !has_failed);
    if is_again {
        say(format!(
            "vm: {} gave no result ({:?} after {} s) and is tried once more:\n{}\n{}",
            kernel.release,
            outcome.end,
            outcome.time.as_secs(),
            outcome.output,
            outcome.console
        ));
        outcome = machine::run(kernel, &order)?;
    }
    Ok((report(kernel, suites, &outcome), is_again))
}

/// What the machine's shell runs for each test: it and how it ended, in a line of its own.
const ONE: &str = r#"
# What the programs cost is a figure of some tests; the machine is nobody else's.
echo 1 >/proc/sys/kernel/bpf_stats_enabled
one() {
    begin=$(date +%s)
    if said=$(timeout "$TEST_LIMIT" "$1" --include-ignored --exact "$2" --test-threads=1 --nocapture 2>&1) &&
        echo "$said" | grep -q '^test result: ok. 1 passed'
    then
        echo "vm: passed $2 $(($(date +%s) - begin))"
    else
        [ $? = 124 ] && how=hung || how=failed
        echo "$said"
        echo "vm: $how $2 $(($(date +%s) - begin))"
    fi
    echo "$said" | sed -n 's/^figure: /vm: figure /p'
}
"#;

/// How a test ended, as [`ONE`] says it: it passed, it failed by itself, or its time was over.
const PASSED: &str = "passed";
const FAILED: &str = "failed";
const HUNG: &str = "hung";

/// How each test ended, and its seconds.
fn results(output: &str) -> BTreeMap<&str, (&str, u64)> {
    output
        .lines()
        .filter_map(|line| {
            let (how, rest) = line.strip_prefix("vm: ")?.split_once(' ')?;
            let (test, seconds) = rest.split_once(' ')?;
            let is_end = [PASSED, FAILED, HUNG].contains(&how);
            is_end.then_some((test, (how, seconds.parse().ok()?)))
        })
        .collect()
}

/// Says what came of a machine.
fn report(kernel: &Kernel, suites: &[&Suite], outcome: &Outcome) -> BTreeMap<&'static str, Cell> {
    let results = results(&outcome.output);
    let mut cells = BTreeMap::new();
    for suite in suites {
        let ends: Vec<_> = suite.tests.iter().map(|test| results.get(test)).collect();
        let passed =
            !outcome.end.is_down() && ends.iter().all(|end| matches!(end, Some((PASSED, _))));
        let seconds = ends.iter().flatten().map(|(_, seconds)| seconds).sum();
        cells.insert(suite.name, if passed { Cell::Passed(seconds) } else { Cell::Failed });
    }
    if cells.values().any(|cell| *cell == Cell::Failed) {
        say(format!("vm: {} failed ({:?}):", kernel.release, outcome.end));
        let lines: Vec<_> = outcome.output.lines().collect();
        let mut said = 0;
        for (number, line) in lines.iter().enumerate() {
            if line.starts_with("vm: ") {
                if [FAILED, HUNG].iter().any(|how| line.starts_with(&format!("vm: {how} "))) {
                    let from = said.max(number.saturating_sub(SHOWN));
                    lines.get(from..number).unwrap_or_default().iter().for_each(say);
                }
                said = number + 1;
                say(line);
            }
        }
        if outcome.end.is_down() {
            lines.get(said..).unwrap_or_default().iter().for_each(say);
            say(&outcome.console);
        }
    }
    for line in outcome.output.lines() {
        if let Some(figure) = line.strip_prefix("vm: figure ") {
            say(format!("vm: {}: {figure}", kernel.series));
        }
    }
    say(format!("vm: {} took {} s", kernel.release, outcome.time.as_secs()));
    cells
}

fn table(
    kernels: &[Kernel],
    suites: &[&Suite],
    done: &BTreeMap<&str, BTreeMap<&'static str, Cell>>,
) -> String {
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let head = ["kernel"].into_iter().chain(suites.iter().map(|suite| suite.name));
    let mut lines = vec![row(head.map(str::to_owned).collect())];
    lines.push(format!("|{}", "---|".repeat(suites.len() + 1)));
    for kernel in kernels {
        let cell = |suite: &&Suite| {
            let cells = done.get(kernel.series);
            match cells.and_then(|cells| cells.get(suite.name)).unwrap_or(&Cell::Left) {
                Cell::Left => "-".to_owned(),
                Cell::Passed(seconds) => format!("passed, {seconds} s"),
                Cell::Failed => "FAILED".to_owned(),
            }
        };
        lines.push(row([kernel.release.clone()]
            .into_iter()
            .chain(suites.iter().map(cell))
            .collect()));
    }
    lines.join("\n")
}
