//! From the queue to the collector, some hundred spans at a time.

use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::names;

/// The most spans in one request: some 250 KB.
const MOST_SPANS: usize = 512;

/// How long a span waits for company.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// Exports until every sender is gone, or until `stop` and what is there by then is exported.
pub(super) async fn run(exporter: SpanExporter, mut queue: mpsc::Receiver<SpanData>, mut stop: oneshot::Receiver<()>) {
    let mut batch = Vec::with_capacity(MOST_SPANS);
    let mut is_away = false;
    let mut stopped = false;
    loop {
        let until = Instant::now() + GATHER_FOR;
        while batch.len() < MOST_SPANS {
            let room = MOST_SPANS - batch.len();
            let came = tokio::select! {
                biased;
                _ = &mut stop, if !stopped => {
                    // What is told from now on finds the queue closed; what is in it comes out.
                    queue.close();
                    stopped = true;
                    continue;
                }
                came = timeout_at(until, queue.recv_many(&mut batch, room)) => came,
            };
            match came {
                // Nobody tells of anything any more.
                Ok(0) => {
                    if !batch.is_empty() {
                        export(&exporter, &mut batch, &mut is_away).await;
                    }
                    return;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if !batch.is_empty() {
            export(&exporter, &mut batch, &mut is_away).await;
        }
    }
}

/// Exports a batch. One that is not taken is dropped: the queue would fill behind it.
async fn export(exporter: &SpanExporter, batch: &mut Vec<SpanData>, is_away: &mut bool) {
    let spans = std::mem::replace(batch, Vec::with_capacity(MOST_SPANS));
    let count = spans.len() as u64;
    match exporter.export(spans).await {
        Ok(()) => {
            metrics::counter!(names::SPANS_EXPORTED).increment(count);
            if std::mem::take(is_away) {
                tracing::info!("the collector takes spans again");
            }
        }
        Err(error) => {
            metrics::counter!(names::SPANS_DROPPED).increment(count);
            if !std::mem::replace(is_away, true) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the collector takes no spans: they are dropped until it does");
            }
        }
    }
}
