//! Configurations shaped like those of public questions and repositories, with what is wrong in each.
//!
//! `NAME.findings` stands beside each: `VERDICT RULE LINE`, worst first. Nothing else may be found, but for warnings
//! about timers, which are named where the file is about them. `NAME.options` holds options of the command line.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use wstap::{
    check::Verdict,
    lint::{
        lint,
        read::{NoDisk, Options, detect, directive::Source},
    },
};
use wstap_tests::workspace;

/// Every configuration of the folder, with the name of its list of findings.
pub(crate) fn all() -> Vec<(PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(workspace().join("tests/lint/wild")).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|one| one.to_str()).unwrap_or_default();
        if extension == "findings" || extension == "options" {
            continue;
        }
        let whole = PathBuf::from(format!("{}.findings", path.display()));
        let findings = if whole.exists() { whole } else { path.with_extension("findings") };
        assert!(findings.exists(), "{} has no list of findings", path.display());
        all.push((path, findings));
    }
    all.sort();
    all
}

/// What is said of the file, in the form of its list.
fn said(file: &Path, with_timers: bool) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let source = Source::new(file.file_name().unwrap().to_str().unwrap(), &text);
    let product = detect(&source).unwrap_or_else(|| panic!("{}: which product?", file.display()));
    let options = fs::read_to_string(file.with_extension("options")).unwrap_or_default();
    let paths: Vec<String> = options
        .split_whitespace()
        .skip_while(|word| *word != "--path")
        .skip(1)
        .map(str::to_owned)
        .collect();
    let linted = lint(product, &[source], &NoDisk, &Options::default(), &paths).unwrap();
    linted
        .findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Pass)
        .filter(|finding| {
            with_timers || finding.check != "idle-timeout" || finding.verdict == Verdict::Fail
        })
        .map(|finding| {
            let line = finding.place.as_ref().map_or(0, |place| place.line);
            format!("{} {} {line}", finding.verdict.name(), finding.check)
        })
        .collect()
}

#[test]
fn what_is_wrong_is_found_and_nothing_else() {
    let all = all();
    assert!(all.len() >= 30, "{}", all.len());
    let mut failed = Vec::new();
    for (file, findings) in all {
        let listed = fs::read_to_string(&findings).unwrap();
        let wanted: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
        let with_timers = wanted.iter().any(|one| one.starts_with("warning idle-timeout"));
        let said = said(&file, with_timers);
        if said != wanted {
            let missing: Vec<_> = wanted.difference(&said).collect();
            let more: Vec<_> = said.difference(&wanted).collect();
            failed.push(format!("{}: missing {missing:?}, more {more:?}", file.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
