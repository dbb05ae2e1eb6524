//! `wstap audit`: handshakes of our own through the chain.
//!
//! In: a URL and options. Out: findings in the wanted format; what keeps the audit from running on standard error, with
//! an exit code of its own.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{
    complain,
    report::{EXIT_CODES, ReportArgs},
};
use crate::{
    audit::{
        Audit, Unreachable, baseline, behind,
        client::{
            connect::{Connector, Family, HttpProxy, Resolve},
            request::Given,
            tls,
        },
        expect::{self, Expectation},
        mark, plan,
        probes::Observer,
        target::Target,
    },
    check::{Exit, Finding, Report, Suite, Tool, Verdict, write},
    config::{DEFAULT_SOCKET, duration},
    pages,
};

mod cookies;
mod header;

#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(super) struct AuditArgs {
    /// What is audited: wss://app.example.com/ws
    #[arg(value_parser = Target::parse)]
    url: Target,
    /// The page's origin, which must be let in [default: that of the URL]
    #[arg(long)]
    origin: Option<String>,
    /// A subprotocol that is offered; repeatable, one of them must be chosen
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Be the backend: listen here, answer, and record what arrives
    #[arg(long, value_name = "ADDRESS")]
    backend: Option<SocketAddr>,
    /// Read what arrives from the agent on the backend's node [default socket: /run/wstap/tail.sock]
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, default_missing_value = DEFAULT_SOCKET,
          require_equals = false, conflicts_with = "backend")]
    agent: Option<PathBuf>,
    /// What is expected of each path, in TOML (docs/audit.md)
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// An earlier report: what fails as it did then passes
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the report as JSON, for a later --baseline
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Keep two quiet connections for so long, one with pings
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle: Option<Duration>,
    /// Where the same host takes connections without TLS [default: 80 when the URL's port is 443]
    #[arg(long, value_name = "PORT")]
    plain_port: Option<u16>,
    /// Trust the authorities in this PEM file, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Connect to an address of your own choice: app.example.com:443:10.0.0.7; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<Resolve>,
    /// The name that TLS asks for [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// A header field that every request carries, NAME:VALUE; repeatable, its value is never shown
    #[arg(long, value_name = "NAME:VALUE", value_parser = header::parse)]
    header: Vec<header::Field>,
    /// Cookies that every request carries: a Cookie header's value, or a cookie jar of curl's
    #[arg(long, value_name = "FILE")]
    cookie_file: Option<PathBuf>,
    /// An HTTP proxy to go through by CONNECT: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    proxy: Option<HttpProxy>,
    /// IPv4 only
    #[arg(long, short = '4', conflicts_with = "ipv6")]
    ipv4: bool,
    /// IPv6 only
    #[arg(long, short = '6')]
    ipv6: bool,
    /// How long each answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// At most so many handshakes a second
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// The name in the mark of every handshake, which an agent may leave out (wstap run --ignore-audit)
    #[arg(long, value_name = "NAME", default_value = "audit", value_parser = mark::name)]
    mark: String,
    /// The proxy whose fixes are shown [default: the one that answers]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(pages::proxies()))]
    server: Option<String>,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the audit; what keeps it from running is a usage error, and is told here.
pub(super) fn run(args: &AuditArgs) -> Exit {
    match try_run(args) {
        Ok(exit) => exit,
        Err(error) if super::is_broken_pipe(&error) => Exit::Pass,
        Err(error) => {
            complain(&format!("{error:#}"));
            Exit::Usage
        }
    }
}

fn try_run(args: &AuditArgs) -> anyhow::Result<Exit> {
    let paths = paths(args)?;
    let baseline = args.baseline.as_deref().map(baseline::read).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut suites = Vec::new();
    let mut unreachable = None;
    let audited = runtime.block_on(async {
        let audits = prepare(args, paths).await?;
        for audit in &audits {
            match Box::pin(audit.run(&mut progress)).await {
                Ok(suite) => suites.push(suite),
                Err(error) => {
                    suites.push(unreached(&audit.target, &error));
                    unreachable = Some(error);
                    break;
                }
            }
        }
        anyhow::Ok(())
    });
    progress(0, 0, "");
    audited?;
    if let Some(file) = args.save.as_deref().filter(|_| unreachable.is_none()) {
        let failed = || format!("cannot write {}: check --save", file.display());
        let report = Report::new(Tool::Audit, suites.clone());
        let mut out = std::fs::File::create(file).with_context(failed)?;
        write(&report, crate::check::Format::Json, crate::check::Look::default(), &mut out)
            .with_context(failed)?;
    }
    if let Some(baseline) = baseline.filter(|_| unreachable.is_none()) {
        suites = suites.into_iter().map(|suite| baseline.compare(suite)).collect();
    }
    let exit = args.report.deliver(&Report::new(Tool::Audit, suites))?;
    Ok(match unreachable {
        Some(error) => {
            complain(&error.to_string());
            Exit::Unreachable
        }
        None => exit,
    })
}

/// A suite that says that there is nothing to say.
fn unreached(target: &Target, error: &Unreachable) -> Suite {
    Suite::new(target.to_string(), vec![Finding::new("reached", Verdict::Fail, error.to_string())])
}

/// The paths that are audited, with what is expected of each.
fn paths(args: &AuditArgs) -> anyhow::Result<Vec<(Target, Expectation)>> {
    let url = &args.url;
    let Some(file) = &args.expect else {
        return Ok(vec![(url.clone(), Expectation::default())]);
    };
    let expected = expect::read(file)?;
    let own = url.request_target();
    let mut paths = Vec::new();
    if url.path != "/" && !expected.iter().any(|(path, _)| *path == own) {
        paths.push((url.clone(), Expectation::default()));
    }
    paths.extend(expected.into_iter().map(|(path, expectation)| (url.at(&path), expectation)));
    Ok(paths)
}

/// The audits, and what sees what arrives.
async fn prepare(
    args: &AuditArgs,
    paths: Vec<(Target, Expectation)>,
) -> anyhow::Result<Vec<Audit>> {
    let tls = if args.url.secure {
        let trust = tls::Trust { ca: args.ca.as_deref(), insecure: args.insecure };
        Some((tls::config(&trust, b"http/1.1")?, tls::config(&trust, b"h2")?))
    } else {
        None
    };
    let observer = match (&args.backend, &args.agent) {
        (Some(_), _) => Observer::Backend,
        (None, Some(_)) => Observer::Agent,
        (None, None) => Observer::Nobody,
    };
    let mut given = Given {
        headers: args.header.iter().map(|field| field.0.clone()).collect(),
        cookie: args
            .cookie_file
            .as_deref()
            .map(|f| cookies::read(f, args.url.name()))
            .transpose()?,
    };
    if observer == Observer::Backend && given.cookie.is_none() {
        given.cookie = Some("wstap_audit=1".to_owned());
    }
    let run = mark::Run::new(&args.mark);
    let arrivals = behind::Arrivals::default();
    let mut audits = Vec::new();
    for (target, mut expect) in paths {
        expect.subprotocols.extend(args.subprotocol.iter().cloned());
        if observer == Observer::Backend && expect.subprotocols.is_empty() {
            expect.subprotocols.push("wstap.audit".to_owned());
        }
        let origin = args.origin.clone().or_else(|| expect.origins.first().cloned());
        let origin = origin.unwrap_or_else(|| target.own_origin());
        ensure!(
            http::HeaderValue::from_str(&origin).is_ok(),
            "--origin {origin:?} cannot stand in a header field: write https://app.example.com"
        );
        audits.push(Audit {
            plain_port: args.plain_port.or((target.port == 443).then_some(80)),
            target,
            origin,
            expect,
            given: given.clone(),
            connector: Connector {
                resolve: args.resolve.clone(),
                proxy: args.proxy.clone(),
                family: match (args.ipv4, args.ipv6) {
                    (true, _) => Family::V4,
                    (_, true) => Family::V6,
                    _ => Family::Any,
                },
                sni: args.sni.clone(),
                patience: args.timeout,
            },
            tls: tls.clone(),
            idle: args.idle,
            pause: Duration::from_secs(1) / args.rate,
            run: run.clone(),
            observer,
            arrivals: arrivals.clone(),
            proxy: args.server.clone(),
        });
    }
    let handshakes: usize = audits.iter().map(|audit| audit.plan().len()).sum();
    if handshakes > plan::MAX_HANDSHAKES {
        bail!(
            "this audit would make {handshakes} handshakes, and at most {} are made: name fewer paths or origins",
            plan::MAX_HANDSHAKES
        );
    }
    if let Some(address) = args.backend {
        let origins =
            |audit: &Audit| [vec![audit.origin.clone()], audit.expect.origins.clone()].concat();
        let allowed = audits.iter().flat_map(origins).collect();
        behind::listen(address, allowed, arrivals.clone())
            .await
            .with_context(|| format!("cannot listen on {address}: check --backend"))?;
    }
    #[cfg(unix)]
    if let Some(socket) = &args.agent {
        behind::watch(socket, run, arrivals).await?;
    }
    Ok(audits)
}

/// A line on a terminal that the next one overwrites; nothing elsewhere. `count` 0 wipes it.
fn progress(done: usize, count: usize, next: &str) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut out = io::stderr().lock();
    // Standard error that is gone cannot be told.
    let _ = if count == 0 {
        write!(out, "\r\x1b[K")
    } else {
        write!(out, "\r\x1b[K{done}/{count} {}", crate::sink::render::safe(next, 60))
    };
    let _ = out.flush();
}
