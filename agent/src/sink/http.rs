//! The HTTP endpoints: `/metrics`, `/healthz`, `/readyz`.
//!
//! In: a scrape. Out: text. `/healthz` says that the process answers; `/readyz` that it sees traffic.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Sinks;

/// The content type of the Prometheus text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn router(sinks: Arc<Sinks>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(sinks)
}

async fn metrics(State(sinks): State<Arc<Sinks>>) -> Response {
    // The snapshot asks the kernel for its maps: not on the thread that serves.
    match tokio::task::spawn_blocking(move || sinks.scrape()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the scrape failed\n").into_response(),
    }
}

async fn readyz(State(sinks): State<Arc<Sinks>>) -> Response {
    match sinks.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}
