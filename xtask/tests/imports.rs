//! Whether the kernel half's files use only what lies before them, so that one can be changed without reading the others.
//!
//! In: the `use` declarations of every file, as text. Fails at one that runs against the order of the places, and at
//! files that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The places of `agent-ebpf/src`: each uses only those before it.
const PLACES: [&str; 9] = [
    "arguments",
    "atomic",
    "verifier",
    "counters",
    "socket",
    "packet",
    "ring",
    "connection",
    "hooks",
];

/// By file, which files it uses; both as module paths.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_kernel_half_uses_only_what_lies_before() -> Result<()> {
    let uses = uses(&source("agent-ebpf"))?;
    let rank = |file: &str| {
        let place = file.split("::").next().unwrap_or_default();
        PLACES.iter().position(|name| *name == place)
    };
    let strangers: Vec<_> =
        uses.keys().filter(|file| *file != "main" && rank(file).is_none()).collect();
    assert!(strangers.is_empty(), "these have no place: {strangers:?}");
    let upwards: Vec<_> = uses
        .iter()
        .filter(|(file, _)| *file != "main")
        .flat_map(|(file, used)| used.iter().map(move |used| (file, used)))
        .filter(|(file, used)| rank(used) > rank(file))
        .collect();
    assert!(upwards.is_empty(), "these use what lies behind them: {upwards:?}");
    assert_eq!(circle(&uses), None, "these files use each other");
    Ok(())
}

#[test]
fn the_files_of_the_common_half_use_each_other_in_no_circle() -> Result<()> {
    assert_eq!(circle(&uses(&source("agent-common"))?), None, "these files use each other");
    Ok(())
}

#[test]
fn the_test_finds_what_it_looks_for() {
    let text =
        "use super::b::{self, C};\nuse crate::{\n    c::{D, e::F},\n    g,\n};\nuse other::h;\n";
    let files = ["a", "a::b", "a::x", "c", "c::e", "g"].map(str::to_owned).into();
    let found = used("a::x", false, text, &files);
    assert_eq!(found, ["a::b", "c", "c::e", "g"].map(str::to_owned).into());

    let uses = |pairs: &[(&str, &str)]| {
        let mut uses = Uses::new();
        for (file, used) in pairs {
            uses.entry((*file).to_owned()).or_default().insert((*used).to_owned());
        }
        uses
    };
    assert_eq!(circle(&uses(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert!(circle(&uses(&[("a", "b"), ("b", "c"), ("c", "a")])).is_some());
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src")
}

fn uses(source: &Path) -> Result<Uses> {
    let mut texts = BTreeMap::new();
    read(source, "", &mut texts)?;
    let files = texts.keys().cloned().collect();
    let uses = texts
        .iter()
        .map(|(file, (is_mod, text))| (file.clone(), used(file, *is_mod, text, &files)))
        .collect();
    Ok(uses)
}

/// Reads a folder's files: by module path, whether it is the module's `mod.rs`, and the text.
fn read(folder: &Path, module: &str, texts: &mut BTreeMap<String, (bool, String)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem =
            path.file_stem().and_then(|stem| stem.to_str()).context("a file without a name")?;
        let inner = if module.is_empty() { stem.to_owned() } else { format!("{module}::{stem}") };
        if path.is_dir() {
            read(&path, &inner, texts)?;
        } else if stem == "mod" {
            texts.insert(module.to_owned(), (true, fs::read_to_string(&path)?));
        } else {
            texts.insert(inner, (false, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The files that one file's declarations name, itself left out.
fn used(file: &str, is_mod: bool, text: &str, files: &BTreeSet<String>) -> BTreeSet<String> {
    let inside = if is_mod { Some(file) } else { file.rsplit_once("::").map(|(module, _)| module) };
    let inside: Vec<_> = inside.into_iter().flat_map(|module| module.split("::")).collect();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = BTreeSet::new();
    for declaration in code.split("use ").skip(1) {
        let Some((tree, _)) = declaration.split_once(';') else { continue };
        let tree: String = tree.chars().filter(|c| !c.is_whitespace()).collect();
        for path in paths(&tree) {
            let mut names: Vec<_> = path.split("::").collect();
            let base = match names.first() {
                Some(&"crate") => Vec::new(),
                Some(&"self") => inside.clone(),
                // Of a file that is not its module's `mod.rs`, `super` is where the file lies.
                Some(&"super") if is_mod => {
                    inside.split_last().map(|(_, outer)| outer.to_vec()).unwrap_or_default()
                }
                Some(&"super") => inside.clone(),
                _ => continue,
            };
            names.splice(..1, base);
            // The longest part of the path that is a file.
            while !names.is_empty() && !files.contains(&names.join("::")) {
                names.pop();
            }
            if !names.is_empty() {
                found.insert(names.join("::"));
            }
        }
    }
    found.remove(file);
    found
}

/// The paths that a declaration's tree names, `a::{b,c::d}`.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let mut branches = Vec::new();
    let mut branch = String::new();
    let mut depth = 0;
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            branches.push(std::mem::take(&mut branch));
        } else {
            branch.push(c);
        }
    }
    branches.push(branch);
    let whole = |path: String| format!("{before}{path}");
    branches.iter().flat_map(|branch| paths(branch)).map(whole).collect()
}

/// Files that use each other in a circle, if any do: what is left when those are taken away, again and again, that use
/// none of the rest.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    let mut left: Vec<_> = uses.keys().cloned().collect();
    loop {
        let before = left.len();
        let rest = left.clone();
        left.retain(|file| {
            uses.get(file).is_some_and(|used| used.iter().any(|used| rest.contains(used)))
        });
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(left);
        }
    }
}
