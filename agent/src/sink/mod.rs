//! The sinks: everything between an event and the user.
//!
//! In: events from the pipeline's thread, a snapshot of the agent's own state. Out: `/metrics`, the
//! live-tail socket, lines on a terminal. Publishing never blocks and never waits for a reader.

mod bind;
pub mod filter;
mod http;
pub(crate) mod json;
mod metrics;
pub mod render;
mod serve;
mod stats;
mod tail;

use std::sync::OnceLock;

pub use bind::BindError;
pub use metrics::{ActiveConnection, MetricsError};
pub use serve::Servers;
pub use stats::{AgentStats, HookStats, ProgramStats, TableStats};
pub use tail::SOCKET_MODE;
use tokio::sync::watch;

use crate::{
    config::Settings,
    event::{Event, RoleName, Workload},
};

type StatsSource = Box<dyn Fn() -> AgentStats + Send + Sync>;

/// Where the pipeline puts what it found. Shared by the pipeline's thread and the servers.
pub struct Sinks {
    metrics: metrics::Metrics,
    tail: tail::Hub,
    /// The HTTP clients that were left.
    left: http::Left,
    not_ready: watch::Sender<Option<String>>,
    stats: OnceLock<StatsSource>,
    counts_workloads: bool,
}

impl Sinks {
    /// Sinks with nothing in them, not ready.
    pub fn new(settings: &Settings) -> Result<Self, MetricsError> {
        Ok(Self {
            metrics: metrics::Metrics::new(settings)?,
            tail: tail::Hub::default(),
            left: http::Left::default(),
            not_ready: watch::Sender::new(Some("starting".to_owned())),
            stats: OnceLock::new(),
            counts_workloads: settings.workload_grace.is_some(),
        })
    }

    /// Counts an event and hands it to the live-tail readers. Never blocks: a reader whose queue is
    /// full misses the event and is told so.
    pub fn publish(&self, event: &Event) {
        self.metrics.count(event);
        self.tail.publish(event);
    }

    /// Whether anybody looks at the names of processes and containers: to find them costs as much as all else.
    pub fn wants_names(&self) -> bool {
        self.counts_workloads || self.tail.is_read()
    }

    /// A workload has gone for good: its series are removed.
    pub fn forget(&self, workload: &Workload) {
        self.metrics.forget(workload);
    }

    /// An accepted connection is open for as long as the returned value lives. `origin` is the handshake's.
    #[must_use]
    pub fn connection_opened(&self, role: RoleName, origin: Option<&str>) -> ActiveConnection {
        self.metrics.connection_opened(role, origin)
    }

    /// Where the agent's own metrics come from; called once for each scrape, off the pipeline's
    /// thread. A second call changes nothing.
    pub fn set_stats_source(&self, source: impl Fn() -> AgentStats + Send + Sync + 'static) {
        let _ = self.stats.set(Box::new(source));
    }

    /// The agent sees traffic: `/readyz` says so from now on.
    pub fn set_ready(&self) {
        self.not_ready.send_replace(None);
    }

    /// The agent does not see traffic, and why: `/readyz` answers 503 from now on.
    pub fn set_not_ready(&self, reason: &str) {
        self.not_ready.send_replace(Some(reason.to_owned()));
    }

    /// Why the agent is not ready; `None` when it is.
    pub fn not_ready(&self) -> Option<String> {
        self.not_ready.borrow().clone()
    }

    /// Returns once the agent is ready.
    pub async fn ready(&self) {
        // The sender is `self`, so it cannot be gone.
        let _ = self.not_ready.subscribe().wait_for(Option::is_none).await;
    }

    /// The text that `/metrics` answers with.
    pub fn scrape(&self) -> Result<String, MetricsError> {
        let stats = self.stats.get().map(|source| source()).unwrap_or_default();
        self.metrics.render(&stats, self.tail.stats(), &self.left.counts())
    }
}
