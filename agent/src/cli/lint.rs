//! `wstap lint`: what is wrong for WebSocket in a proxy's configuration.
//!
//! In: files, or standard input. Out: the findings, or with `--fix` a diff.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{
    print,
    report::{EXIT_CODES, ReportArgs},
};
use crate::{
    check::{Exit, Finding, Report, Suite, Tool, Verdict},
    lint::{
        Linted, fix, lint,
        model::{Place, Product},
        read::{
            Disk as _, Here, MAX_FILE, Options, detect, directive::Source, nginx_part,
            parse_version,
        },
        rules::{self, Rule},
    },
};

#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(super) struct LintArgs {
    /// Configuration files; `-` reads standard input: `nginx -T 2>&1 | wstap lint -`
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the files are for, when it does not show
    #[arg(long = "type", value_name = "PRODUCT")]
    product: Option<Product>,
    /// A path that carries WebSocket, when it does not show; only these are judged; repeatable
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// The version of nginx, when `nginx -V` is not among the files: from 1.29.7 on it speaks HTTP/1.1 to backends by itself
    #[arg(long, value_name = "VERSION", value_parser = version)]
    nginx_version: Option<[u32; 3]>,
    /// The name that clients use, where the configuration does not say it (HAProxy, Envoy)
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// TLS ends at a hop in front of this proxy
    #[arg(long)]
    tls_in_front: bool,
    /// Print the mechanical fixes as a unified diff instead of the findings
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    report: ReportArgs,
}

fn version(text: &str) -> Result<[u32; 3], String> {
    parse_version(text).ok_or_else(|| format!("{text:?} is no version of nginx, such as 1.24.0"))
}

pub(super) fn run(args: LintArgs) -> anyhow::Result<ExitCode> {
    let configurations = match configurations(&args) {
        Ok(configurations) => configurations,
        Err(error) => {
            super::complain(&format!("{error:#}"));
            return Ok(Exit::Usage.into());
        }
    };
    let options = Options {
        nginx_version: args.nginx_version,
        host: args.host.clone(),
        tls_in_front: args.tls_in_front,
    };
    let mut suites = Vec::new();
    let mut diffs = String::new();
    for (product, sources) in &configurations {
        let mut linted = match lint(*product, sources, &Here, &options, &args.path) {
            Ok(linted) => linted,
            Err(_) if template(sources).is_some() => {
                Linted { findings: Vec::new(), routes: Vec::new() }
            }
            Err(error) => {
                super::complain(&format!(
                    "{error}: is it a configuration of {}? --type says otherwise",
                    product.name()
                ));
                return Ok(Exit::Usage.into());
            }
        };
        if let Some(finding) = template(sources) {
            // What it will hold is not known: nothing in it passes.
            linted.findings.retain(|other| other.verdict != Verdict::Pass);
            linted.findings.push(finding);
        }
        if args.fix {
            diffs += &diff(*product, sources, &linted);
        }
        let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
        suites.push(Suite::new(names.join(", "), linted.findings));
    }
    let report = Report::new(Tool::Lint, suites);
    if args.fix {
        print(diffs.as_bytes())?;
        return Ok(report.exit(args.report.strict).into());
    }
    Ok(args.report.deliver(&report)?.into())
}

/// The files, those of one product as one configuration, in the order of the command line.
fn configurations(args: &LintArgs) -> anyhow::Result<Vec<(Product, Vec<Source>)>> {
    let mut found: Vec<(Product, Vec<Source>)> = Vec::new();
    for file in &args.files {
        let source = source(file)?;
        let Some(product) = args.product.or_else(|| detect(&source)) else {
            bail!("{}: it does not show which proxy this is for: --type says it", source.name);
        };
        match found.iter_mut().find(|(other, _)| *other == product) {
            Some((_, sources)) => sources.push(source),
            None => found.push((product, vec![source])),
        }
    }
    Ok(found)
}

fn source(file: &Path) -> anyhow::Result<Source> {
    let mut bytes = Vec::new();
    let name = file.display().to_string();
    if name == "-" {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes).context("standard input")?;
    } else {
        let failed = || format!("cannot read {name}: check the name and its permissions");
        ensure!(!file.is_dir(), "{name} is a folder: name the files in it");
        let open = fs::File::open(file).with_context(failed)?;
        open.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(failed)?;
    }
    ensure!(
        bytes.len() as u64 <= MAX_FILE,
        "{name} is larger than {} MiB: too large for a configuration",
        MAX_FILE >> 20
    );
    Ok(Source::new(&name, &String::from_utf8_lossy(&bytes)))
}

/// What is said of a file that is no configuration yet: Helm, Jinja, ERB.
fn template(sources: &[Source]) -> Option<Finding> {
    let marks = ["{{", "{%", "<%"];
    let source =
        sources.iter().find(|source| marks.iter().any(|mark| source.text.contains(mark)))?;
    let line = source.text.lines().position(|line| marks.iter().any(|mark| line.contains(mark)))?;
    let place = Place { file: source.name.clone(), line: u32::try_from(line + 1).ok()? };
    let what = "it is a template, which cannot be followed: lint what it makes (helm template, ansible --check --diff)";
    Some(rules::general(Rule::NotFollowed, &place, what.to_owned()))
}

/// The diff of the mechanical fixes; says on standard error how much is left.
fn diff(product: Product, sources: &[Source], linted: &Linted) -> String {
    let text = |name: &str| {
        let given = sources.iter().find_map(|source| nginx_part(source, name));
        given.or_else(|| Here.read(name))
    };
    let (diff, count) = fix::diff(product, linted, &text);
    let all = linted.findings.iter().filter(|finding| finding.verdict != Verdict::Pass).count();
    super::complain(&format!("{count} of {all} findings have a mechanical fix"));
    diff
}
