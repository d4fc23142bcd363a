//! Traces: what happened to a job and its messages, as spans that go to an OpenTelemetry collector by OTLP over HTTP.
//!
//! A message's way crosses processes and takes hours, so nothing is carried along that way: whoever does a part of it works
//! out the span's [`Place`] from ids, and tells of the part once it is over. That leaves nothing open in memory, and one
//! decision by the trace's id, the same in every process, says whether a trace is kept.
//!
//! Telling never waits: spans go into a bounded queue, and those that find it full are dropped and counted.

use std::{sync::Arc, time::Duration};

use kabar_http::{ClientError, ClientOptions};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

mod export;
mod place;
mod span;

pub use place::{Caller, Place};
pub use span::{Span, SpanKind};

use crate::names;

/// The most spans that wait to be exported, of some 500 bytes each: a few seconds' worth at a thousand messages a second.
const QUEUE_SPANS: usize = 16_384;

/// The longest wait for a connection to the collector.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest wait for the collector's answer to one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where traces go.
#[derive(Debug, Clone)]
pub struct TracesOptions {
    /// The whole address that takes traces by OTLP over HTTP.
    pub endpoint: String,
    /// What the spans are said to come from (`service.name`).
    pub service: String,
    /// Which of its processes (`service.instance.id`).
    pub instance: String,
    /// How many of the traces are kept, from 0 to 1.
    pub share: f64,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client for traces cannot be made")]
    Client(#[from] ClientError),
    /// The exporter cannot be made: the address, or one of the variables `OTEL_EXPORTER_OTLP_…`, is not valid.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
}

/// Takes spans. Cheap to clone; by default it is off, takes none and costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<SpanData>,
    /// Traces whose ids end in less than this are kept, as OpenTelemetry's `TraceIdRatioBased` has it.
    below: u64,
}

/// The task that exports what [`Traces`] takes.
#[derive(Debug)]
pub struct TracesExport {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Traces {
    /// Starts exporting. The variables `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT` and `…_COMPRESSION` and
    /// `OTEL_RESOURCE_ATTRIBUTES` count as OpenTelemetry has them.
    ///
    /// # Errors
    /// When the exporter cannot be made. Whether there is a collector shows only when spans are exported.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(options: &TracesOptions) -> Result<(Self, TracesExport), TracesError> {
        let (connect_timeout, request_timeout) = (CONNECT_TIMEOUT, REQUEST_TIMEOUT);
        let client = kabar_http::client(&ClientOptions { connect_timeout, request_timeout, max_idle_per_host: 1 })?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&options.endpoint)
            .build()?;
        exporter.set_resource(&resource(options));
        let (queue, spans) = mpsc::channel(QUEUE_SPANS);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(export::run(exporter, spans, stopped));
        Ok((Self(Some(Arc::new(Open { queue, below: bound_of(options.share) }))), TracesExport { stop, task }))
    }

    /// Whether spans go anywhere.
    #[must_use]
    pub const fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the trace of `place` is kept.
    #[must_use]
    pub fn keep(&self, place: Place) -> bool {
        self.0.as_ref().is_some_and(|open| place.sample() < open.below)
    }

    /// Takes a span that is over. Never waits.
    pub fn tell(&self, span: Span) {
        let Some(open) = &self.0 else { return };
        if open.queue.try_send(span.into_data()).is_err() {
            metrics::counter!(names::SPANS_DROPPED).increment(1);
        }
    }
}

impl TracesExport {
    /// Exports what is still there and ends; after `within` what is left is dropped.
    pub async fn finish(self, within: Duration) {
        // The task ends with the program at the latest; until then it listens.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(within, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("the collector took too long; the last spans are dropped");
        }
    }
}

fn resource(options: &TracesOptions) -> Resource {
    Resource::builder()
        .with_service_name(options.service.clone())
        .with_attribute(KeyValue::new(names::attribute::SERVICE_INSTANCE, options.instance.clone()))
        .with_attribute(KeyValue::new(names::attribute::SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .build()
}

/// The bound that a share of all numbers of 63 bits lies below.
fn bound_of(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^63 fits")]
    let bound = (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_traces_is_kept_and_each_process_keeps_the_same() {
        let keep = |share: f64| {
            let (queue, _) = mpsc::channel(1);
            Traces(Some(Arc::new(Open { queue, below: bound_of(share) })))
        };
        let places: Vec<Place> = (0..10_000).map(|_| Place::fresh()).collect();
        let kept = |share| places.iter().filter(|place| keep(share).keep(**place)).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        assert!((2_300..2_700).contains(&kept(0.25)), "{}", kept(0.25));
        assert_eq!(kept(0.25), kept(0.25));
        assert!(!Traces::default().keep(places[0]) && !Traces::default().are_on());
    }

    #[tokio::test]
    async fn who_tells_of_a_span_never_waits() {
        let (queue, mut spans) = mpsc::channel(2);
        let traces = Traces(Some(Arc::new(Open { queue, below: u64::MAX })));
        let now = std::time::SystemTime::now();
        (0..5).for_each(|_| traces.tell(Span::new(names::span::JOB, Place::fresh(), now, now)));
        let mut taken = Vec::new();
        assert_eq!(spans.recv_many(&mut taken, 10).await, 2, "the others were dropped");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_at_the_start() {
        let options = TracesOptions {
            endpoint: "http://a b/v1/traces".to_owned(),
            service: "kabar".to_owned(),
            instance: "test".to_owned(),
            share: 1.0,
        };
        assert!(matches!(Traces::start(&options), Err(TracesError::Exporter(_))));
    }
}
