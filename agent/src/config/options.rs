//! The options as the command line, the environment and the configuration file give them: one
//! definition for all three, so that their names cannot drift apart.
//!
//! Every field is optional here; defaults come in when all sources are joined.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use serde::Deserialize;

use super::SinkOptions;
use crate::{
    event::RoleName,
    http::mark,
    kernel::{Hooks, tls},
};

/// Which configuration file to read.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigFile {
    /// TOML file with the same names as the flags [default: /etc/wstap/config.toml when it exists]
    #[arg(long, value_name = "FILE", env = "WSTAP_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What decides a verdict.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct JudgeOptions {
    /// How long an answer may take before the handshake counts as timed out [default: 10s]
    #[arg(long, value_name = "TIME", env = "WSTAP_HANDSHAKE_TIMEOUT", value_parser = duration)]
    #[serde(deserialize_with = "duration_text")]
    pub handshake_timeout: Option<Duration>,
    /// An origin of our own, as a regular expression that must match all of it; repeatable.
    /// Every other origin is then `foreign`
    #[arg(long, value_name = "REGEX", env = "WSTAP_ALLOW_ORIGIN", value_delimiter = ' ')]
    pub allow_origin: Vec<String>,
    /// Whether events show a line of what a server said when it refused [default: true]
    #[arg(long, value_name = "BOOL", env = "WSTAP_ANSWER_TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub answer_text: Option<bool>,
}

/// What a capture needs.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CaptureOptions {
    /// What decides a verdict.
    #[command(flatten)]
    #[serde(skip)]
    pub judge: JudgeOptions,
    /// The unix socket for live-tail readers [default: /run/wstap/tail.sock]
    #[arg(long, value_name = "PATH", env = "WSTAP_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Which hooks to use [default: auto: the cgroup hooks, and beside them the probes for unix sockets where
    /// the kernel has them]
    #[arg(long, value_name = "FAMILY", env = "WSTAP_HOOKS")]
    pub hooks: Option<Hooks>,
    /// Whose TLS to look into, by uprobes on TLS libraries: off, auto (processes that listen), or names of
    /// processes; it costs each of their TLS reads and writes about 2 us [default: off]
    #[arg(long, value_name = "off|auto|NAME,...", env = "WSTAP_TLS")]
    pub tls: Option<tls::Wanted>,
    /// The share of one processor that the TLS probes in one process may take, in percent; above it the process is
    /// let go for 30 s [default: 2]
    #[arg(long, value_name = "PERCENT", env = "WSTAP_TLS_BUDGET")]
    pub tls_budget: Option<f64>,
    /// The cgroup v2 directory to attach to [default: the mount found in /proc/mounts]
    #[arg(long, value_name = "PATH", env = "WSTAP_CGROUP")]
    pub cgroup: Option<PathBuf>,
    /// The container runtime's CRI socket, to name containers and pods [default: they are not named]
    #[arg(long, value_name = "PATH", env = "WSTAP_CRI_SOCKET")]
    pub cri_socket: Option<PathBuf>,
    /// Labels of pods that events carry, by their keys: `app,app.kubernetes.io/version`; needs --cri-socket
    #[arg(long, value_name = "KEY", env = "WSTAP_POD_LABELS", value_delimiter = ',')]
    pub pod_labels: Vec<String>,
    /// The ring between kernel and agent in bytes, a power of two from 4096; records that find it full
    /// are lost and counted [default: 4194304]
    #[arg(long, value_name = "BYTES", env = "WSTAP_RING_BYTES")]
    pub ring_bytes: Option<u32>,
}

/// What the agent needs on top of a capture.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServeOptions {
    /// What a capture needs.
    #[command(flatten)]
    #[serde(skip)]
    pub capture: CaptureOptions,
    /// Where /metrics, /healthz and /readyz are served [default: 127.0.0.1:9843]
    #[arg(long, value_name = "ADDR:PORT", env = "WSTAP_METRICS_ADDR")]
    pub metrics_addr: Option<SocketAddr>,
    /// How many distinct origins get a label value; the rest fold into `other` [default: 200]
    #[arg(long, value_name = "N", env = "WSTAP_MAX_ORIGINS")]
    pub max_origins: Option<usize>,
    /// How many distinct paths get a label value in `ws_handshakes_by_path_total`; 0: no such family [default: 0]
    #[arg(long, value_name = "N", env = "WSTAP_MAX_PATHS")]
    pub max_paths: Option<usize>,
    /// Count handshakes and closures by `namespace` and `workload`, too
    #[arg(
        long, env = "WSTAP_WORKLOAD_LABELS", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true", require_equals = true
    )]
    pub workload_labels: Option<bool>,
    /// How long the series of a workload that has gone from this host stay [default: 10m]
    #[arg(long, value_name = "TIME", env = "WSTAP_WORKLOAD_GRACE", value_parser = duration)]
    #[serde(deserialize_with = "duration_text")]
    pub workload_grace: Option<Duration>,
    /// The roles that the metrics count [default: server]
    #[arg(long, value_name = "ROLE", env = "WSTAP_ROLES", value_delimiter = ',')]
    pub roles: Vec<RoleName>,
    /// Leave handshakes of `wstap audit --mark NAME` out of the metrics; whoever knows the name can do the same
    #[arg(long, value_name = "NAME", env = "WSTAP_IGNORE_AUDIT", value_parser = mark::name)]
    pub ignore_audit: Option<String>,
    /// A file to create once the agent sees traffic
    #[arg(long, value_name = "PATH", env = "WSTAP_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// Where events go besides.
    #[command(flatten)]
    #[serde(skip)]
    pub sinks: SinkOptions,
}

impl JudgeOptions {
    fn or(self, weaker: Self) -> Self {
        Self {
            handshake_timeout: self.handshake_timeout.or(weaker.handshake_timeout),
            allow_origin: either(self.allow_origin, weaker.allow_origin),
            answer_text: self.answer_text.or(weaker.answer_text),
        }
    }
}

impl CaptureOptions {
    fn or(self, weaker: Self) -> Self {
        Self {
            judge: self.judge.or(weaker.judge),
            socket: self.socket.or(weaker.socket),
            hooks: self.hooks.or(weaker.hooks),
            tls: self.tls.or(weaker.tls),
            tls_budget: self.tls_budget.or(weaker.tls_budget),
            cgroup: self.cgroup.or(weaker.cgroup),
            cri_socket: self.cri_socket.or(weaker.cri_socket),
            pod_labels: either(self.pod_labels, weaker.pod_labels),
            ring_bytes: self.ring_bytes.or(weaker.ring_bytes),
        }
    }
}

impl ServeOptions {
    /// These options, and where one is not given the `weaker` one. A list replaces a list.
    pub(super) fn or(self, weaker: Self) -> Self {
        Self {
            capture: self.capture.or(weaker.capture),
            metrics_addr: self.metrics_addr.or(weaker.metrics_addr),
            max_origins: self.max_origins.or(weaker.max_origins),
            max_paths: self.max_paths.or(weaker.max_paths),
            workload_labels: self.workload_labels.or(weaker.workload_labels),
            workload_grace: self.workload_grace.or(weaker.workload_grace),
            roles: either(self.roles, weaker.roles),
            ignore_audit: self.ignore_audit.or(weaker.ignore_audit),
            ready_file: self.ready_file.or(weaker.ready_file),
            sinks: self.sinks.or(weaker.sinks),
        }
    }
}

impl From<CaptureOptions> for ServeOptions {
    fn from(capture: CaptureOptions) -> Self {
        Self { capture, ..Self::default() }
    }
}

impl From<JudgeOptions> for ServeOptions {
    fn from(judge: JudgeOptions) -> Self {
        CaptureOptions { judge, ..CaptureOptions::default() }.into()
    }
}

fn either<T>(strong: Vec<T>, weak: Vec<T>) -> Vec<T> {
    if strong.is_empty() { weak } else { strong }
}

/// A time as people write it: `10s`, `500ms`, `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| "write a time with its unit, for example 10s or 500ms".to_owned())
}

fn duration_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}
