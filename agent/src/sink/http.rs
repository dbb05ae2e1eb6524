//! The HTTP endpoints: `/metrics`, `/healthz`, `/readyz`.
//!
//! In: a scrape. Out: text. `/healthz` says that the process answers; `/readyz` that it sees traffic.
//!
//! A client is served once and then left. It has [`HEAD_TIME`] to ask and [`SERVE_TIME`] in all; at
//! [`CONNECTIONS_MAX`] clients the oldest one is left for the next, one that has not asked yet before one that
//! does not read its answer. However many come and say nothing, whoever asks is answered.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    Sinks,
    metrics::{Format, openmetrics},
};

/// The content type of the Prometheus text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The content type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many clients are served at a time. Each holds a descriptor and, at worst, a scrape of its own.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to send its request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a client may take in all. Prometheus gives up after 10 s by default (`scrape_timeout`).
const SERVE_TIME: Duration = Duration::from_secs(30);

/// How long the agent waits when the system has no descriptor left for a client.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// Clients that were left before they had their answer.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// For the next one, as there were too many.
    crowded: AtomicU64,
    /// Because they took too long.
    slow: AtomicU64,
}

impl Left {
    /// The counts, by reason.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("crowded", of(&self.crowded)), ("slow", of(&self.slow))]
    }
}

/// A client that is being served.
struct Client {
    task: AbortHandle,
    /// Whether its request is there.
    has_asked: Arc<AtomicBool>,
}

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, sinks: Arc<Sinks>) {
    let router = router(Arc::clone(&sinks));
    let mut clients = VecDeque::new();
    let mut is_short = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                is_short = false;
                clients.retain(|client: &Client| !client.task.is_finished());
                if clients.len() >= CONNECTIONS_MAX {
                    leave_one(&mut clients, &sinks.left);
                }
                let has_asked = Arc::default();
                let task = one(stream, router.clone(), Arc::clone(&has_asked), Arc::clone(&sinks));
                clients.push_back(Client { task: tokio::spawn(task).abort_handle(), has_asked });
            }
            Err(error) => {
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "a client of /metrics could not be accepted: raise the limit of open files");
                }
                leave_one(&mut clients, &sinks.left);
                sleep(NO_DESCRIPTOR).await;
            }
        }
    }
}

/// Leaves the oldest client that has not asked; the oldest of all when all have.
fn leave_one(clients: &mut VecDeque<Client>, left: &Left) {
    let silent = clients.iter().position(|client| !client.has_asked.load(Ordering::Relaxed));
    if let Some(client) = clients.remove(silent.unwrap_or(0)) {
        client.task.abort();
        left.crowded.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves one client, once.
async fn one(stream: TcpStream, router: Router, has_asked: Arc<AtomicBool>, sinks: Arc<Sinks>) {
    let router = router.layer(middleware::from_fn(move |request, next: Next| {
        has_asked.store(true, Ordering::Relaxed);
        next.run(request)
    }));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let is_slow = match timeout(SERVE_TIME, connection).await {
        Ok(ended) => ended.is_err_and(|error| error.is_timeout()),
        Err(_) => true,
    };
    if is_slow {
        sinks.left.slow.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the endpoints share.
#[derive(Clone)]
struct Endpoints {
    sinks: Arc<Sinks>,
    /// The last scrape of each format and when it was begun.
    last: Arc<Mutex<[Option<Scrape>; 2]>>,
}

/// A rendered scrape, and when it was begun.
type Scrape = (Instant, Bytes);

fn router(sinks: Arc<Sinks>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Endpoints { sinks, last: Arc::default() })
}

async fn metrics(State(endpoints): State<Endpoints>, headers: HeaderMap) -> Response {
    let asked = Instant::now();
    // Prometheus names it when it reads exemplars; its weight against the other format does not matter.
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accept.flat_map(|value| value.split(','));
    let wants = ranges.any(|range| range.trim().starts_with(openmetrics::MEDIA_TYPE));
    let (format, media_type) =
        if wants { (Format::OpenMetrics, OPENMETRICS) } else { (Format::Text, TEXT_FORMAT) };
    // A task of its own: a client that is left must not let the next one begin beside it.
    match tokio::spawn(endpoints.scrape(asked, format)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the scrape failed\n").into_response(),
    }
}

impl Endpoints {
    /// A scrape that began after `asked`: rendered once for all who wait, one at a time.
    async fn scrape(self, asked: Instant, format: Format) -> anyhow::Result<Bytes> {
        let mut last = self.last.lock().await;
        let [text, open] = &mut *last;
        let last = if format == Format::Text { text } else { open };
        if let Some((began, text)) = last
            && *began >= asked
        {
            return Ok(text.clone());
        }
        let began = Instant::now();
        let sinks = self.sinks;
        // The snapshot asks the kernel for its maps: not on the thread that serves.
        let text =
            Bytes::from(tokio::task::spawn_blocking(move || sinks.scrape_as(format)).await??);
        *last = Some((began, text.clone()));
        Ok(text)
    }
}

async fn readyz(State(Endpoints { sinks, .. }): State<Endpoints>) -> Response {
    match sinks.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
