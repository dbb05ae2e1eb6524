//! The command line: what can be asked for, and which command answers.
//!
//! In: arguments and environment. Out: a command run, or one line on standard error:
//! `wstap: what failed: what to do`.

mod audit;
mod doctor;
mod explain;
mod gone;
mod incident;
mod lines;
mod lint;
mod log;
mod replay;
mod report;
mod run;
mod source;
mod tail;
mod top;

use std::{io, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::source::PastArgs;
use crate::{
    config::{CaptureOptions, ConfigFile, ServeOptions, Settings},
    doctor::Attached,
    event::{Event, RoleName},
    sink::{Sinks, filter::Filter},
};

/// What `--version` says of this build; `-V` says the version alone. What was built from a release's commit has the
/// release's BPF object.
const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("WSTAP_COMMIT"),
    "\nBPF object: sha256:",
    env!("WSTAP_EBPF_SHA256"),
);

/// Tells which WebSocket handshakes fail, from which origin, and why: from the Linux kernel, without
/// touching the application.
#[derive(Debug, Parser)]
#[command(name = "wstap", version, long_version = BUILD, propagate_version = true)]
#[command(max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent: capture, serve metrics and the live tail
    #[command(after_help = "WSTAP_LOG sets the log level: error, warn, info, debug or trace.")]
    Run(RunArgs),
    /// Show failed handshakes as they happen
    Tail(TailArgs),
    /// Show a live table of handshakes and closures by origin and cause
    #[command(
        after_help = "Keys: q quits, s changes the order, f shows failing origins only, arrows scroll."
    )]
    Top(TopArgs),
    /// Show the same for a capture or a pasted request and response, without root
    Replay(replay::ReplayArgs),
    /// Say what is wrong for WebSocket in a proxy's configuration: nginx, HAProxy, Apache, Caddy, Traefik, Envoy and others
    Lint(lint::LintArgs),
    /// Make handshakes of our own through proxies and load balancers, and say what of them goes wrong
    Audit(Box<audit::AuditArgs>),
    /// Tell an incident on one page: what failed, since when, what changed, and the fix
    #[command(
        after_help = "Without a file it asks the running agent for what it remembers (--history-bytes)."
    )]
    Report(incident::IncidentArgs),
    /// Say what a cause means, what proves it and how to put it right; without one, list all
    Explain {
        /// The cause's code
        cause: Option<String>,
        /// How this server is told: `gorilla`, `django`, `grafana`; without a name, list all that are known
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
        server: Option<String>,
        /// How this proxy is told: `nginx`, `envoy`, `traefik`; without a name, list all that are known
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
        proxy: Option<String>,
    },
    /// Say what this host offers, what is missing and what that costs; make a handshake as a test
    #[command(after_help = "Exit code: 0 when wstap can capture here, else 1.")]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

#[derive(Args, Debug)]
struct RunArgs {
    #[command(flatten)]
    options: ServeOptions,
    #[command(flatten)]
    file: ConfigFile,
    /// Check the options and the configuration file, say what they come to, and exit
    #[arg(long)]
    check_config: bool,
}

#[derive(Args, Debug)]
struct TailArgs {
    /// `-`: JSON lines on standard input, in place of an agent
    #[arg(value_name = "-")]
    input: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    past: PastArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
struct TopArgs {
    /// `-`: JSON lines on standard input, in place of an agent
    #[arg(value_name = "-")]
    input: Option<PathBuf>,
    #[command(flatten)]
    past: PastArgs,
    /// Only this origin: `https://app.example`, `https://*.example`, `none` or `null`; repeatable
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    origin: Vec<String>,
    /// Only this path; `*` stands for any text: `/chat/*`; repeatable
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// What this host saw as server or as client [default: server]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<RoleName>,
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
struct DoctorArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
struct OutputArgs {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// What the commands need of the pipeline.
#[derive(Clone, Copy)]
pub struct Pipeline {
    /// Attaches to the kernel, then gives up the privileges that this took: for the whole process, as long as there is
    /// no other thread yet.
    pub attach: fn(&Settings) -> anyhow::Result<Capture>,
    /// Captures and gives each event to the function, until it answers `false`.
    pub capture: fn(&Settings, &mut dyn FnMut(Event) -> bool) -> anyhow::Result<()>,
    /// Attaches, makes a handshake of its own, says whether it was seen, and detaches.
    pub self_test: fn(&Settings) -> anyhow::Result<Attached>,
}

/// An attached capture: captures until `stop` turns true (or its sender is gone) and publishes to the sinks; sets the
/// stats source, and readiness once it sees traffic. Runs on a thread of its own.
pub type Capture = Box<dyn FnOnce(Arc<Sinks>, Stop) -> anyhow::Result<()> + Send>;

/// Turns true when the agent shall end.
pub type Stop = tokio::sync::watch::Receiver<bool>;

impl Cli {
    /// Runs the command. A reader of our output that has gone is no failure.
    pub fn run(self, pipeline: Pipeline) -> ExitCode {
        let result = match self.command {
            Command::Run(args) => run::run(args, pipeline),
            Command::Tail(args) => tail::run(args, pipeline),
            Command::Top(args) => top::run(args, pipeline),
            Command::Replay(args) => replay::run(args),
            Command::Lint(args) => match lint::run(args) {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
            Command::Audit(args) => return audit::run(&args).into(),
            Command::Report(args) => incident::run(args),
            Command::Doctor(args) => match doctor::run(args, pipeline) {
                Ok(false) => return ExitCode::FAILURE,
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            },
            Command::Explain { cause, server, proxy } => {
                explain::run(cause.as_deref(), server.as_deref(), proxy.as_deref())
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "wstap", &mut script);
                print(&script)
            }
            Command::Man => manual().and_then(|page| print(&page)),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// The manual page of `wstap` and its commands.
fn manual() -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands() {
        clap_mangen::Man::new(subcommand.clone()).render(&mut page)?;
    }
    Ok(page)
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// One line on standard error; standard error that is gone cannot be told.
fn complain(text: &str) {
    use io::Write as _;
    let line = text.lines().collect::<Vec<_>>().join(" ");
    let _ = writeln!(io::stderr(), "wstap: {line}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests;
