//! Events as OTLP logs, by gRPC (`--otlp-endpoint`).
//!
//! In: events from the pipeline. Out: batches of log records. Publishing only puts the event's line into a queue of
//! [`QUEUE_BYTES`]; a task sends, and waits longer after each failure. A receiver that is away, slow or refuses costs
//! the queue and nothing else: what does not fit is dropped and counted, and so is a batch that was refused or could not
//! be sent for [`GIVE_UP`].

mod proto;
mod record;

use std::{
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use http::uri::PathAndQuery;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, sleep, timeout},
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_prost::ProstCodec;

use self::proto::{
    Any, AnyValue, EXPORT, ExportLogsServiceRequest, ExportLogsServiceResponse,
    InstrumentationScope, KeyValue, LogRecord, Resource, ResourceLogs, ScopeLogs,
};
use super::Told;
use crate::{
    clock,
    config::{EventsWanted, OtlpSettings},
    event::Event,
};

/// Bytes of events that wait to be sent; what does not fit is dropped and counted.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// At most so many events wait.
const QUEUE_EVENTS: usize = 8192;
/// At most so many go in one request.
const BATCH: usize = 512;
/// A request is sent so long after its first event.
const LINGER: Duration = Duration::from_millis(500);
/// How long the receiver may take to answer, and to be connected.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait after a failure, and the longest: each is twice the one before.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A batch is tried for so long.
const GIVE_UP: Duration = Duration::from_secs(300);

/// The pipeline's end.
pub(super) struct Logs {
    wanted: EventsWanted,
    queue: Sender<Arc<str>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// Bytes that wait.
    waiting: AtomicUsize,
}

/// The task's end.
pub(super) struct Exporter {
    lines: Receiver<Arc<str>>,
    channel: Channel,
    headers: MetadataMap,
    counts: Arc<Counts>,
}

impl Logs {
    /// Both ends. Nothing is connected before there is something to send; must be called inside a runtime.
    pub(super) fn new(settings: &OtlpSettings) -> anyhow::Result<(Self, Exporter)> {
        let mut endpoint = Endpoint::from_str(&settings.endpoint)
            .context("--otlp-endpoint is no address: write http://host:4317")?
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT);
        if settings.endpoint.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            tls = match &settings.ca {
                Some(file) => {
                    let pem = std::fs::read(file).with_context(|| {
                        format!("cannot read --otlp-ca {}: check the path", file.display())
                    })?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
                None => tls.with_native_roots(),
            };
            endpoint = endpoint
                .tls_config(tls)
                .context("--otlp-endpoint: TLS cannot be used: check --otlp-ca")?;
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &settings.headers {
            // Checked when the settings were read, but for gRPC's own rule: no binary headers.
            let name = AsciiMetadataKey::from_str(name)
                .context("--otlp-headers: a name ends in -bin, and its value would be binary")?;
            let mut value = AsciiMetadataValue::try_from(value)
                .context("--otlp-headers: a value has characters that no header may have")?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let (queue, lines) = channel(QUEUE_EVENTS);
        let counts: Arc<Counts> = Arc::default();
        let exporter = Exporter {
            lines,
            channel: endpoint.connect_lazy(),
            headers,
            counts: Arc::clone(&counts),
        };
        Ok((Self { wanted: settings.events, queue, counts }, exporter))
    }

    /// Whether this event is to be sent.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match (self.wanted, event) {
            (EventsWanted::All, Event::Handshake(_) | Event::Closure(_)) => true,
            _ => event.is_trouble(),
        }
    }

    /// Puts an event into the queue, when it has room. Never blocks.
    pub(super) fn publish(&self, told: &Told<'_>) {
        if !self.wants(told.event) {
            return;
        }
        let line = told.line();
        let Counts { waiting, dropped, .. } = &*self.counts;
        let before = waiting.fetch_add(line.len(), Ordering::Relaxed);
        if before + line.len() > QUEUE_BYTES || self.queue.try_send(Arc::clone(line)).is_err() {
            waiting.fetch_sub(line.len(), Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of the events, by result.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { sent, dropped, failed, .. } = &*self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("sent", of(sent)), ("dropped", of(dropped)), ("failed", of(failed))]
    }
}

impl Exporter {
    /// Sends for as long as it is polled and the other end is there.
    pub(super) async fn run(mut self) {
        let mut lines = Vec::with_capacity(BATCH);
        let mut is_healthy = true;
        while let Some(first) = self.lines.recv().await {
            lines.push(first);
            let deadline = Instant::now() + LINGER;
            while lines.len() < BATCH {
                let room = BATCH - lines.len();
                let left = deadline.saturating_duration_since(Instant::now());
                match timeout(left, self.lines.recv_many(&mut lines, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            self.send(&lines, &mut is_healthy).await;
            let bytes = lines.drain(..).map(|line| line.len()).sum();
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Sends a batch, again and again while that may help.
    async fn send(&self, lines: &[Arc<str>], is_healthy: &mut bool) {
        let now = u64::try_from(clock::wall().as_nanos()).unwrap_or(u64::MAX);
        let records: Vec<_> = lines.iter().filter_map(|line| record::record(line, now)).collect();
        let count = records.len() as u64;
        let request = request(records);
        let (began, mut wait) = (Instant::now(), BACK_OFF.0);
        loop {
            let status = match self.export(request.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.counts.sent.fetch_add(count - rejected, Ordering::Relaxed);
                    self.counts.failed.fetch_add(rejected, Ordering::Relaxed);
                    *is_healthy = true;
                    return;
                }
                Err(status) => status,
            };
            if std::mem::replace(is_healthy, false) {
                // The endpoint's own words may quote what was sent: only the code.
                tracing::warn!(code = %status.code(), "events cannot be sent to the OTLP receiver");
            }
            if !may_pass(status.code()) || began.elapsed() + wait > GIVE_UP {
                self.counts.failed.fetch_add(count, Ordering::Relaxed);
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// One request; how many records the receiver refused of it.
    async fn export(&self, request: ExportLogsServiceRequest) -> Result<u64, Status> {
        let mut client = Grpc::new(self.channel.clone());
        let away = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        timeout(TIMEOUT, client.ready())
            .await
            .map_err(|_| Status::deadline_exceeded("not connected in time"))?
            .map_err(away)?;
        let mut request = Request::new(request);
        *request.metadata_mut() = self.headers.clone();
        let codec: ProstCodec<ExportLogsServiceRequest, ExportLogsServiceResponse> =
            ProstCodec::default();
        let answer = client.unary(request, PathAndQuery::from_static(EXPORT), codec);
        let answer = timeout(TIMEOUT, answer)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer in time"))??;
        let refused = answer.into_inner().partial_success.map(|part| part.rejected_log_records);
        Ok(refused.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }
}

/// Whether the same may succeed later (OTLP specification, "Failures").
const fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            // What a connection that broke off becomes.
            | Code::Unknown
    )
}

fn request(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Any::Text(value.to_owned())) }),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut attributes = vec![text("service.name", "wstap"), text("service.version", version)];
    if let Ok(host) = rustix::system::uname().nodename().to_str() {
        attributes.push(text("host.name", host));
    }
    // The Kubernetes manifests set it by the downward API.
    if let Ok(node) = std::env::var("WSTAP_NODE") {
        attributes.push(text("k8s.node.name", &node));
    }
    let scope = InstrumentationScope { name: "wstap".to_owned(), version: version.to_owned() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(Resource { attributes }), scope_logs }],
    }
}
