//! The Prometheus families about handshakes and connections.
//!
//! In: events. Out: counters, gauges and histograms whose every label is bounded: values that a
//! client or a server chooses fold into `other` at their cap, and folding is counted.

mod labels;
pub(crate) mod openmetrics;
mod origins;
mod outputs;
mod own;
mod path;
pub(crate) use path::template;
mod process;
mod retries;
mod series;

use std::{sync::Mutex, time::Duration};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::{
    labels::{ByWorkload, Distinct, OTHER, locked},
    openmetrics::Exemplars,
    origins::Origins,
    retries::Retries,
    series::{ClosureSeries, HandshakeSeries},
};
use super::{stats::AgentStats, tail::TailStats};
use crate::{
    config::{OriginPolicy, Settings},
    event::{
        ClosureEvent, Event, HandshakeEvent, Outcome, Policy, RoleName, Scheme, UNSEEN, Workload,
    },
};

/// The most series of one family, whatever its labels could make. What comes later is counted with
/// `other` in every label that a peer can choose.
const MAX_SERIES: usize = 10_000;
/// The most close codes outside 1000 to 1015 that get a label value of their own.
const MAX_CLOSE_CODES: usize = 32;
/// The most workloads that have series at a time; a node runs a few hundred pods at most.
const MAX_WORKLOADS: usize = 500;

/// The labels that come with `--workload-labels`, behind a family's own.
const WORKLOAD_LABELS: [&str; 2] = ["namespace", "workload"];
const HANDSHAKE_LABELS: [&str; 6] = ["origin", "outcome", "status", "cause", "scheme", "policy"];
const CLOSURE_LABELS: [&str; 3] = ["origin", "code", "initiator"];

const HANDSHAKE_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const CONNECTION_SECONDS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 86_400.0];
/// Close together around the idle timeouts that proxies ship with: 60, 100, 350 and 3600 seconds.
const IDLE_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 30.0, 45.0, 55.0, 65.0, 95.0, 105.0, 180.0, 300.0, 340.0, 360.0, 600.0, 1800.0,
    3550.0, 3650.0, 14_400.0,
];

/// How the families are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The text format of Prometheus.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

/// Why the metrics cannot be built or written.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be built: {0}: please report this")]
pub struct MetricsError(#[from] prometheus::Error);

/// An accepted connection that is open; dropping it takes it out of `ws_connections_active`.
#[derive(Debug)]
pub struct ActiveConnection(Option<IntGauge>);

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.dec();
        }
    }
}

/// The families, and what bounds their labels.
pub(super) struct Metrics {
    registry: Registry,
    roles: Vec<RoleName>,
    policy: OriginPolicy,
    origins: Mutex<Origins>,
    close_codes: Mutex<Distinct<u16>>,
    paths: Mutex<Distinct<String>>,
    by_workload: Option<Mutex<ByWorkload>>,
    path_series: Mutex<Distinct<(String, String)>>,
    handshake_series: Mutex<Distinct<HandshakeSeries>>,
    closure_series: Mutex<Distinct<ClosureSeries>>,
    handshakes: IntCounterVec,
    handshake_seconds: HistogramVec,
    active: IntGaugeVec,
    closures: IntCounterVec,
    by_path: Option<IntCounterVec>,
    connection_seconds: prometheus::Histogram,
    idle_seconds: prometheus::Histogram,
    retries: Retries,
    exemplars: Mutex<Exemplars>,
    events: IntCounterVec,
}

impl Metrics {
    pub(super) fn new(settings: &Settings) -> Result<Self, MetricsError> {
        let more: &[&str] = if settings.workload_grace.is_some() { &WORKLOAD_LABELS } else { &[] };
        let by_path = || {
            let name = "ws_handshakes_by_path_total";
            let help = "WebSocket opening handshakes by path (ids masked) and status.";
            IntCounterVec::new(Opts::new(name, help), &["path", "status"])
        };
        let metrics = Self {
            registry: Registry::new(),
            roles: settings.roles.clone(),
            policy: settings.policy.clone(),
            origins: Mutex::new(Origins::new(settings.max_origins)),
            close_codes: Mutex::new(Distinct::new(MAX_CLOSE_CODES)),
            paths: Mutex::new(Distinct::new(settings.max_paths)),
            by_workload: settings.workload_grace.map(|_| {
                let distinct = Distinct::new(MAX_WORKLOADS);
                Mutex::new(ByWorkload { distinct, runtime_asked: settings.cri_socket.is_some() })
            }),
            by_path: (settings.max_paths > 0).then(by_path).transpose()?,
            path_series: Mutex::new(Distinct::new(MAX_SERIES)),
            handshake_series: Mutex::new(Distinct::new(MAX_SERIES)),
            closure_series: Mutex::new(Distinct::new(MAX_SERIES)),
            handshakes: IntCounterVec::new(
                Opts::new("ws_handshakes_total", "WebSocket opening handshakes by what became of them."),
                &[&HANDSHAKE_LABELS, more].concat(),
            )?,
            handshake_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "ws_handshake_duration_seconds",
                    "From the request's first byte to the answer's first byte, or to the end without one.",
                )
                .buckets(HANDSHAKE_SECONDS.to_vec()),
                &["outcome"],
            )?,
            active: IntGaugeVec::new(
                Opts::new("ws_connections_active", "Accepted connections that are open."),
                &["origin"],
            )?,
            closures: IntCounterVec::new(
                Opts::new("ws_closures_total", "Ends of accepted connections."),
                &[&CLOSURE_LABELS, more].concat(),
            )?,
            connection_seconds: prometheus::Histogram::with_opts(
                HistogramOpts::new("ws_connection_duration_seconds", "From the 101 to the end.")
                    .buckets(CONNECTION_SECONDS.to_vec()),
            )?,
            idle_seconds: prometheus::Histogram::with_opts(
                HistogramOpts::new(
                    "ws_idle_before_close_seconds",
                    "From the last frame to the end of the connection.",
                )
                .buckets(IDLE_SECONDS.to_vec()),
            )?,
            retries: Retries::new()?,
            exemplars: Mutex::default(),
            events: IntCounterVec::new(
                Opts::new("wstap_events_total", "Events made, of both roles."),
                &["type", "role"],
            )?,
        };
        for family in [
            Box::new(metrics.handshakes.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.handshake_seconds.clone()),
            Box::new(metrics.active.clone()),
            Box::new(metrics.closures.clone()),
            Box::new(metrics.connection_seconds.clone()),
            Box::new(metrics.idle_seconds.clone()),
            Box::new(metrics.events.clone()),
        ] {
            metrics.registry.register(family)?;
        }
        metrics.retries.register(&metrics.registry)?;
        if let Some(by_path) = &metrics.by_path {
            metrics.registry.register(Box::new(by_path.clone()))?;
        }
        Ok(metrics)
    }

    pub(super) fn count(&self, event: &Event) {
        match event {
            Event::Handshake(handshake) => {
                self.events.with_label_values(&["handshake", handshake.role.name()]).inc();
                if self.roles.contains(&handshake.role) {
                    if handshake.attempt.is_some() {
                        self.retries.retried(&self.origin(
                            handshake.origin.as_deref(),
                            handshake.policy,
                            handshake.outcome == Outcome::Accepted,
                        ));
                    }
                    self.count_handshake(handshake, self.workload(event));
                }
            }
            Event::Closure(closure) => {
                self.events.with_label_values(&["closure", closure.role.name()]).inc();
                if self.roles.contains(&closure.role) {
                    self.count_closure(closure, self.workload(event));
                }
            }
            Event::GaveUp(client) if self.roles.contains(&client.role) => {
                self.retries.gave_up(&self.connection_origin(client.origin.as_deref()));
            }
            Event::Storm(storm) if self.roles.contains(&storm.role) => {
                self.retries.storm(&self.connection_origin(storm.origin.as_deref()));
            }
            _ => {}
        }
    }

    fn count_handshake(&self, event: &HandshakeEvent, workload: Option<Workload>) {
        let outcome = event.outcome.name();
        let accepted = event.outcome == Outcome::Accepted;
        let policy = event.policy.name();
        let cause = event.cause.map_or("none", crate::diagnose::Cause::code);
        let series = HandshakeSeries {
            origin: self.origin(event.origin.as_deref(), event.policy, accepted),
            outcome,
            status: labels::status(event.status),
            cause,
            scheme: event.scheme.name(),
            policy,
            workload,
        };
        if let Some(by_path) = &self.by_path {
            let path = labels::path(&event.path, accepted, &mut locked(&self.paths));
            let of_path = (path, series.status.clone());
            let admitted = locked(&self.path_series).admit(&of_path);
            let values = if admitted { [&*of_path.0, &of_path.1] } else { [OTHER, OTHER] };
            by_path.with_label_values(&values).inc();
        }
        let series = if locked(&self.handshake_series).admit(&series) {
            series
        } else {
            HandshakeSeries {
                origin: OTHER.to_owned(),
                status: OTHER.to_owned(),
                cause: OTHER,
                scheme: Scheme::Unknown.name(),
                workload: series.workload.map(|_| folded_workload()),
                ..series
            }
        };
        self.handshakes.with_label_values(&series.values()).inc();
        if let Some(id) = event.id.as_ref().filter(|_| event.has_failed()) {
            let trace = event.trace_id.as_deref();
            locked(&self.exemplars).put(&series.named(), id, trace, &event.time);
        }
        if event.outcome != Outcome::Unobserved {
            let seconds = Duration::from_micros(event.duration_us).as_secs_f64();
            self.handshake_seconds.with_label_values(&[outcome]).observe(seconds);
        }
    }

    fn count_closure(&self, event: &ClosureEvent, workload: Option<Workload>) {
        let code = match event.code {
            1000..=1015 => event.code.to_string(),
            code if locked(&self.close_codes).admit(&code) => code.to_string(),
            _ => OTHER.to_owned(),
        };
        let series = ClosureSeries {
            origin: self.connection_origin(event.origin.as_deref()),
            code,
            initiator: event.initiator.name(),
            workload,
        };
        let series = if locked(&self.closure_series).admit(&series) {
            series
        } else {
            ClosureSeries {
                origin: OTHER.to_owned(),
                code: OTHER.to_owned(),
                workload: series.workload.map(|_| folded_workload()),
                ..series
            }
        };
        self.closures.with_label_values(&series.values()).inc();
        if !event.older_than_agent {
            self.connection_seconds.observe(event.connection_seconds);
        }
        self.idle_seconds.observe(event.idle_seconds);
    }

    /// Whose event it is, when that is counted.
    fn workload(&self, event: &Event) -> Option<Workload> {
        self.by_workload.as_ref().map(|by| labels::workload(event, &mut locked(by)))
    }

    /// A workload has gone for good: removes its series, and no other's.
    pub(super) fn forget(&self, workload: &Workload) {
        let Some(by) = &self.by_workload else { return };
        let own = |of: &Option<Workload>| of.as_ref() == Some(workload);
        locked(by).distinct.release(|value| value == workload);
        for series in locked(&self.handshake_series).release(|series| own(&series.workload)) {
            locked(&self.exemplars).remove(&series.named());
            // It was admitted and perhaps not counted yet.
            let _ = self.handshakes.remove_label_values(&series.values());
        }
        for series in locked(&self.closure_series).release(|series| own(&series.workload)) {
            let _ = self.closures.remove_label_values(&series.values());
        }
    }

    /// A connection whose handshake was seen; those without come with the agent's own numbers.
    pub(super) fn connection_opened(
        &self,
        role: RoleName,
        origin: Option<&str>,
    ) -> ActiveConnection {
        ActiveConnection(self.roles.contains(&role).then(|| {
            let origin = self.origin(origin, self.policy.judge(origin), true);
            let gauge = self.active.with_label_values(&[&origin]);
            gauge.inc();
            gauge
        }))
    }

    /// The label value for a request's `Origin`.
    fn origin(&self, origin: Option<&str>, policy: Policy, accepted: bool) -> String {
        let (label, gone) = labels::origin(origin, policy, accepted, &mut locked(&self.origins));
        if let Some(gone) = gone {
            // None of its handshakes was accepted: it has no other series.
            for series in locked(&self.handshake_series).release(|series| series.origin == gone) {
                // It was admitted and perhaps not counted yet.
                let _ = self.handshakes.remove_label_values(&series.values());
            }
        }
        label
    }

    /// The same for the end of a connection, whose handshake the agent may not have seen.
    fn connection_origin(&self, origin: Option<&str>) -> String {
        match origin {
            Some(UNSEEN) => UNSEEN.to_owned(),
            origin => self.origin(origin, self.policy.judge(origin), true),
        }
    }

    /// All families: these, and the agent's own.
    pub(super) fn render(
        &self,
        stats: &AgentStats,
        tail: TailStats,
        clients_left: &[(&'static str, u64)],
        format: Format,
    ) -> Result<String, MetricsError> {
        let folded = [
            ("origin", locked(&self.origins).folded()),
            ("close-code", locked(&self.close_codes).folded()),
            ("path", locked(&self.paths).folded()),
            ("ws_handshakes_by_path_total", locked(&self.path_series).folded()),
            ("workload", self.by_workload.as_ref().map_or(0, |by| locked(by).distinct.folded())),
            ("ws_handshakes_total", locked(&self.handshake_series).folded()),
            ("ws_closures_total", locked(&self.closure_series).folded()),
        ];
        let unseen = stats.unseen.iter().filter(|(role, _)| self.roles.contains(role));
        let unseen = unseen.map(|(_, count)| own::gauge_value(*count)).sum();
        self.active.with_label_values(&[UNSEEN]).set(unseen);
        let mut families = self.registry.gather();
        families.extend(own::families(stats, tail, clients_left, &folded)?);
        families.extend(outputs::families(&stats.outputs)?);
        families.extend(process::families()?);
        Ok(match format {
            Format::Text => TextEncoder::new().encode_to_string(&families)?,
            Format::OpenMetrics => openmetrics::encode(&families, &locked(&self.exemplars)),
        })
    }
}

/// What workloads beyond a cap are counted as.
fn folded_workload() -> Workload {
    Workload { namespace: OTHER.to_owned(), name: OTHER.to_owned() }
}

#[cfg(test)]
mod tests;
