//! The sinks: everything between an event and the user.
//!
//! In: events from the pipeline's thread, a snapshot of the agent's own state. Out: `/metrics`, the
//! live-tail socket and what it remembers, lines on a terminal and on standard output. Publishing never blocks and never
//! waits for a reader.

mod accepted;
mod bind;
mod events;
pub mod filter;
mod history;
mod http;
pub(crate) mod json;
mod metrics;
mod otlp;
pub mod render;
mod serve;
mod stats;
mod tail;

use std::{
    cell::OnceCell,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

pub use bind::BindError;
pub(crate) use metrics::template as path_template;
pub use metrics::{ActiveConnection, MetricsError};
pub use serve::Servers;
pub use stats::{AgentStats, HookStats, Outputs, ProgramStats, TableStats, TlsStats};
pub use tail::{Ask, SOCKET_MODE};
use tokio::sync::watch;

use crate::{
    config::Settings,
    event::{Event, Outcome, RoleName, Workload},
};

/// An event, and its line once somebody wants one.
struct Told<'a> {
    event: &'a Event,
    line: OnceCell<Arc<str>>,
}

impl Told<'_> {
    /// The event as JSON, with a line feed.
    fn line(&self) -> &Arc<str> {
        self.line.get_or_init(|| json::line(self.event).into())
    }
}

type StatsSource = Box<dyn Fn() -> AgentStats + Send + Sync>;

/// Where the pipeline puts what it found. Shared by the pipeline's thread and the servers.
pub struct Sinks {
    metrics: metrics::Metrics,
    tail: tail::Hub,
    /// The HTTP clients that were left.
    left: http::Left,
    events: Option<events::Stream>,
    logs: Option<otlp::Logs>,
    accepted: Mutex<accepted::Sum>,
    not_ready: watch::Sender<Option<String>>,
    stats: OnceLock<StatsSource>,
    counts_workloads: bool,
    ignore_audit: Option<String>,
}

impl Sinks {
    /// Sinks with nothing in them, not ready.
    pub fn new(settings: &Settings) -> Result<Self, MetricsError> {
        Ok(Self {
            metrics: metrics::Metrics::new(settings)?,
            left: http::Left::default(),
            tail: tail::Hub::new(settings.sinks.history_bytes),
            events: None,
            logs: None,
            accepted: Mutex::default(),
            not_ready: watch::Sender::new(Some("starting".to_owned())),
            stats: OnceLock::new(),
            counts_workloads: settings.workload_grace.is_some(),
            ignore_audit: settings.ignore_audit.clone(),
        })
    }

    /// Writes events to `out` from now on, when the settings want that.
    pub fn write_events(
        &mut self,
        settings: &Settings,
        out: impl Write + Send + 'static,
    ) -> io::Result<()> {
        let start = |wanted| events::Stream::start(wanted, settings.sinks.events_rate, out);
        self.events = settings.sinks.events.map(start).transpose()?;
        Ok(())
    }

    /// Sends events to an OTLP receiver from now on, when the settings want that: for as long as the returned task
    /// is polled. Must be called inside a runtime.
    pub fn send_events(
        &mut self,
        settings: &Settings,
    ) -> anyhow::Result<Option<impl Future<Output = ()> + Send + 'static>> {
        let Some(settings) = &settings.sinks.otlp else { return Ok(None) };
        let (logs, exporter) = otlp::Logs::new(settings)?;
        self.logs = Some(logs);
        Ok(Some(exporter.run()))
    }

    /// Counts an event and hands it to whoever reads events. Never blocks: a reader whose queue is
    /// full misses the event and is told so.
    pub fn publish(&self, event: &Event) {
        let mark = match event {
            Event::Handshake(handshake) => handshake.audit.as_ref().map(|audit| &*audit.mark),
            Event::Closure(closure) => closure.audit.as_deref(),
            _ => None,
        };
        if self.leaves_out(mark) {
            self.spread(event);
            return;
        }
        self.metrics.count(event);
        if let Event::Handshake(handshake) = event
            && handshake.outcome == Outcome::Accepted
        {
            self.accepted().count(handshake, Instant::now());
        }
        self.spread(event);
    }

    /// Whether the metrics do not count a handshake with this mark of an audit.
    pub fn leaves_out(&self, mark: Option<&str>) -> bool {
        let both = mark.zip(self.ignore_audit.as_deref());
        both.is_some_and(|(mark, name)| crate::http::mark::is_of(mark, name))
    }

    /// Time passes: tells what is due. `at_once`: what is being summed up, too.
    pub fn tick(&self, at_once: bool) {
        let sum = self.accepted().take(Instant::now(), at_once);
        if let Some(sum) = sum {
            self.spread(&Event::Accepted(sum));
        }
        self.events.iter().for_each(events::Stream::tick);
    }

    /// Nothing more will be published: what waits is told, as far as that takes no time.
    pub fn finish(&self) {
        self.tick(true);
        self.events.iter().for_each(events::Stream::finish);
    }

    fn spread(&self, event: &Event) {
        let told = Told { event, line: OnceCell::new() };
        self.tail.publish(&told);
        self.events.iter().for_each(|events| events.publish(&told));
        self.logs.iter().for_each(|logs| logs.publish(&told));
    }

    /// What the outputs say of themselves.
    fn outputs(&self) -> Outputs {
        let mut events = Vec::new();
        if let Some(stream) = &self.events {
            events.extend(stream.counts().named().map(|(result, count)| ("stdout", result, count)));
        }
        if let Some(logs) = &self.logs {
            events.extend(logs.counts().map(|(result, count)| ("otlp", result, count)));
        }
        Outputs { remembered: self.tail.remembered(), events }
    }

    fn accepted(&self) -> MutexGuard<'_, accepted::Sum> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody looks at the names of processes and containers in this event: to find them costs as much as
    /// all else.
    pub fn wants_names(&self, event: &Event) -> bool {
        self.counts_workloads
            || self.tail.wants(event)
            || self.events.as_ref().is_some_and(|events| events.wants(event))
            || self.logs.as_ref().is_some_and(|logs| logs.wants(event))
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
        self.scrape_as(metrics::Format::Text)
    }

    /// The same in the format that was asked for.
    pub(crate) fn scrape_as(&self, format: metrics::Format) -> Result<String, MetricsError> {
        let mut stats = self.stats.get().map(|source| source()).unwrap_or_default();
        stats.outputs = self.outputs();
        self.metrics.render(&stats, self.tail.stats(), &self.left.counts(), format)
    }
}
