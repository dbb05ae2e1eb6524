//! The agent's settings: flags over environment over the configuration file over the defaults.
//!
//! In: parsed flags (which already hold the environment) and the file. Out: [`Settings`], checked.

mod file;
mod options;
mod policy;
mod sinks;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use options::duration;
pub use options::{CaptureOptions, ConfigFile, JudgeOptions, ServeOptions};
pub use policy::OriginPolicy;
pub use sinks::{EventsWanted, OtlpSettings, SinkOptions, SinkSettings};

use crate::{
    event::RoleName,
    kernel::{Hooks, tls},
};

/// The file that is read when it exists and `--config` names no other.
pub const DEFAULT_FILE: &str = "/etc/wstap/config.toml";
/// Where live-tail readers connect.
pub const DEFAULT_SOCKET: &str = "/run/wstap/tail.sock";
/// Where `/metrics`, `/healthz` and `/readyz` are served: nobody but this host.
pub const DEFAULT_METRICS_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9843);
/// How long an answer may take before the handshake counts as timed out.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The distinct origins that get a label value of their own.
pub const DEFAULT_MAX_ORIGINS: usize = 200;
/// How long a workload's series stay when it has gone: longer than Prometheus looks back (5 minutes).
pub const DEFAULT_WORKLOAD_GRACE: Duration = Duration::from_secs(600);

/// The shortest and the longest handshake timeout: below it slow servers look dead, above it pending
/// handshakes pile up in memory.
const HANDSHAKE_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);
/// The most origins that may have a label value: each is several series.
const MAX_ORIGINS: std::ops::RangeInclusive<usize> = 1..=2_000;
/// The most paths that may have a label value: each is a series for each status.
const MAX_PATHS: usize = 1_000;
/// The shortest and the longest grace: below it Prometheus may not have read the last values, above it what has gone
/// takes the places of what is there.
const WORKLOAD_GRACE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// The share of a processor, in percent, that TLS probes in one process may take.
const TLS_BUDGET: std::ops::RangeInclusive<f64> = 0.1..=100.0;
/// The most pod labels on an event: each is some bytes of every event and of every container that is remembered.
const MAX_POD_LABELS: usize = 16;

/// Why the settings cannot be used. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {source}: check the path and its permissions, or leave out --config"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or a value has the wrong type.
    #[error("{path}: line {line}: {message}: correct the file (wstap run --check-config tries it)")]
    Invalid {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, in one line.
        message: String,
    },
    /// The file has a key that does not exist.
    #[error("{path}: line {line}: unknown key `{key}`: {suggestion}")]
    UnknownKey {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// The nearest key that exists, or all of them.
        suggestion: String,
    },
    /// An origin pattern is not a regular expression.
    #[error(
        "--allow-origin {pattern:?} is not a regular expression: {reason}: correct the pattern"
    )]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong, in one line.
        reason: String,
    },
    /// An origin pattern matches every origin.
    #[error(
        "--allow-origin {pattern:?} matches every origin, so nothing would be foreign: name your \
         own host, for example https://([a-z0-9-]+\\.)?example\\.com"
    )]
    MatchesEverything {
        /// The pattern as given.
        pattern: String,
    },
    /// Pod labels are wanted, and nobody is there to tell them.
    #[error("--pod-labels needs --cri-socket: name the container runtime's socket")]
    LabelsWithoutRuntime,
    /// A header for the OTLP receiver is none; it is not shown, because it may hold a secret.
    #[error("--otlp-headers holds what is no header: write name=value (the values are not shown)")]
    BadHeader,
    /// The OTLP receiver's address is none; it is not shown, because it may hold a password.
    #[error(
        "--otlp-endpoint is no address of a gRPC receiver: write http://host:4317 or https://host:4317, \
         without a path and without a user"
    )]
    BadEndpoint,
    /// A value lies outside its bounds.
    #[error("--{option} {value} is out of bounds: choose a value from {bounds}")]
    OutOfBounds {
        /// The option.
        option: &'static str,
        /// The value as understood.
        value: String,
        /// The bounds in words.
        bounds: &'static str,
    },
}

/// What the agent runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_addr: SocketAddr,
    /// The live-tail socket.
    pub socket: PathBuf,
    /// How long an answer may take.
    pub handshake_timeout: Duration,
    /// How many distinct origins get a label value.
    pub max_origins: usize,
    /// How many distinct paths get a label value; 0: paths are not counted.
    pub max_paths: usize,
    /// How long a workload's series stay when it has gone; `None`: workloads are not counted.
    pub workload_grace: Option<Duration>,
    /// Which origins are our own, if that was configured.
    pub policy: OriginPolicy,
    /// Whether events show a line of what a server said.
    pub answer_text: bool,
    /// The roles that the metrics count.
    pub roles: Vec<RoleName>,
    /// Which hooks to use.
    pub hooks: Hooks,
    /// Whose TLS is looked into, and what that may cost.
    pub tls: tls::Settings,
    /// The cgroup v2 directory to attach to; found in /proc/mounts when `None`.
    pub cgroup: Option<PathBuf>,
    /// The container runtime's CRI socket; without it containers and pods have no names.
    pub cri_socket: Option<PathBuf>,
    /// The keys of the pod labels that events carry.
    pub pod_labels: Vec<String>,
    /// The size of the ring between kernel and agent, in bytes.
    pub ring_bytes: u32,
    /// The name of audits whose handshakes the metrics leave out.
    pub ignore_audit: Option<String>,
    /// A file to create once the agent is ready.
    pub ready_file: Option<PathBuf>,
    /// Where events go besides.
    pub sinks: SinkSettings,
}

impl Settings {
    /// Joins what was given on the command line and in the environment with the file and the defaults.
    ///
    /// `file` is the one asked for; without it [`DEFAULT_FILE`] is read when it exists.
    pub fn resolve(flags: ServeOptions, file: Option<&Path>) -> Result<Self, ConfigError> {
        let options = flags.or(file::read(file)?);
        let CaptureOptions {
            judge,
            socket,
            hooks,
            tls,
            tls_budget,
            cgroup,
            cri_socket,
            pod_labels,
            ring_bytes,
        } = options.capture;
        let within = |holds: bool, option, value: &dyn fmt::Debug, bounds| {
            let refused =
                || ConfigError::OutOfBounds { option, value: format!("{value:?}"), bounds };
            holds.then_some(()).ok_or_else(refused)
        };
        let handshake_timeout = judge.handshake_timeout.unwrap_or(DEFAULT_HANDSHAKE_TIMEOUT);
        let holds = HANDSHAKE_TIMEOUT.contains(&handshake_timeout);
        within(holds, "handshake-timeout", &handshake_timeout, "100ms to 10m")?;
        let max_origins = options.max_origins.unwrap_or(DEFAULT_MAX_ORIGINS);
        within(MAX_ORIGINS.contains(&max_origins), "max-origins", &max_origins, "1 to 2000")?;
        let max_paths = options.max_paths.unwrap_or(0);
        within(max_paths <= MAX_PATHS, "max-paths", &max_paths, "0 to 1000")?;
        let grace = options.workload_grace.unwrap_or(DEFAULT_WORKLOAD_GRACE);
        within(WORKLOAD_GRACE.contains(&grace), "workload-grace", &grace, "1s to 24h")?;
        let tls_budget = tls_budget.unwrap_or(tls::BUDGET * 100.0);
        within(TLS_BUDGET.contains(&tls_budget), "tls-budget", &tls_budget, "0.1 to 100")?;
        let keys = pod_labels.len();
        within(keys <= MAX_POD_LABELS, "pod-labels", &format_args!("{keys} keys"), "0 to 16 keys")?;
        if !pod_labels.is_empty() && cri_socket.is_none() {
            return Err(ConfigError::LabelsWithoutRuntime);
        }
        Ok(Self {
            metrics_addr: options.metrics_addr.unwrap_or(DEFAULT_METRICS_ADDR),
            socket: socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            handshake_timeout,
            max_origins,
            max_paths,
            workload_grace: options.workload_labels.unwrap_or(false).then_some(grace),
            policy: OriginPolicy::new(&judge.allow_origin)?,
            answer_text: judge.answer_text.unwrap_or(true),
            roles: if options.roles.is_empty() { vec![RoleName::Server] } else { options.roles },
            hooks: hooks.unwrap_or_default(),
            tls: tls::Settings { wanted: tls.unwrap_or_default(), budget: tls_budget / 100.0 },
            cgroup,
            cri_socket,
            pod_labels,
            ring_bytes: ring_bytes.unwrap_or(crate::kernel::RING_BYTES),
            ignore_audit: options.ignore_audit,
            ready_file: options.ready_file,
            sinks: options.sinks.resolve()?,
        })
    }
}

/// As a configuration file that says the same.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<_> = self.roles.iter().map(|role| format!("{:?}", role.name())).collect();
        writeln!(f, "metrics-addr = \"{}\"", self.metrics_addr)?;
        writeln!(f, "socket = {}", toml_text(&self.socket.to_string_lossy()))?;
        writeln!(f, "handshake-timeout = \"{}ms\"", self.handshake_timeout.as_millis())?;
        writeln!(f, "max-origins = {}", self.max_origins)?;
        writeln!(f, "max-paths = {}", self.max_paths)?;
        writeln!(f, "workload-labels = {}", self.workload_grace.is_some())?;
        if let Some(grace) = self.workload_grace {
            writeln!(f, "workload-grace = \"{}ms\"", grace.as_millis())?;
        }
        writeln!(f, "roles = [{}]", roles.join(", "))?;
        let patterns: Vec<_> =
            self.policy.patterns().iter().map(|pattern| toml_text(pattern)).collect();
        writeln!(f, "allow-origin = [{}]", patterns.join(", "))?;
        writeln!(f, "hooks = \"{}\"", self.hooks.name())?;
        writeln!(f, "tls = {}", toml_text(&self.tls.wanted.to_string()))?;
        writeln!(f, "tls-budget = {:?}", self.tls.budget * 100.0)?;
        if let Some(cgroup) = &self.cgroup {
            writeln!(f, "cgroup = {}", toml_text(&cgroup.to_string_lossy()))?;
        }
        if let Some(socket) = &self.cri_socket {
            writeln!(f, "cri-socket = {}", toml_text(&socket.to_string_lossy()))?;
            let keys: Vec<_> = self.pod_labels.iter().map(|key| toml_text(key)).collect();
            writeln!(f, "pod-labels = [{}]", keys.join(", "))?;
        }
        writeln!(f, "ring-bytes = {}", self.ring_bytes)?;
        if let Some(name) = &self.ignore_audit {
            writeln!(f, "ignore-audit = {}", toml_text(name))?;
        }
        if let Some(file) = &self.ready_file {
            writeln!(f, "ready-file = {}", toml_text(&file.to_string_lossy()))?;
        }
        write!(f, "{}", self.sinks)
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
