//! Whether this process lives, whether it is ready, and its metrics.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use kabar_queue::Line;

use super::Gateway;

/// It answers, so it lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can take work in: the ledger, the queue and its lease, with the reason where it cannot.
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    let context = &gateway.context;
    let mut problems = Vec::new();
    if let Err(error) = context.store.check_migrated().await {
        problems.push(format!("ledger: {error}"));
    }
    if let Err(error) = context.queue.ready(Line::Batches).await {
        problems.push(format!("queue: {error}"));
    }
    if !context.hold.is_safe(context.store.now_ms()) {
        problems.push("lease: it has ended or is about to; this process sends nothing".to_owned());
    }
    if problems.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", problems.join("\n"))).into_response()
    }
}

/// Every metric, in the format that Prometheus reads.
pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    match &gateway.metrics {
        Some(metrics) => {
            gateway.gauges.refresh(&gateway.context.store).await;
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
