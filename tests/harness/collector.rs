//! A collector of traces: a real server that takes them as OpenTelemetry's does, by OTLP over HTTP, and keeps the spans.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};

/// The collector. Its server ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    kept: Arc<Kept>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Mutex<Vec<KeptSpan>>,
    is_away: AtomicBool,
}

/// A span, ids in hexadecimal and attributes as texts.
#[derive(Debug, Clone)]
pub struct KeptSpan {
    /// Its trace.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// Its parent; empty at the root.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// In nanoseconds of Unix time.
    pub start_ns: u64,
    /// In nanoseconds of Unix time.
    pub end_ns: u64,
    /// Its attributes.
    pub attributes: HashMap<String, String>,
    /// The attributes of what made it.
    pub resource: HashMap<String, String>,
    /// What happened meanwhile.
    pub events: Vec<String>,
    /// The traces and spans that it points to.
    pub links: Vec<(String, String)>,
    /// Whether it is marked as failed.
    pub is_failed: bool,
}

impl Collector {
    /// One that has no spans yet.
    ///
    /// # Panics
    /// When there is no port for it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let kept = Arc::<Kept>::default();
        let routes =
            Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable()).with_state(kept.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("the server serves");
        });
        Self { address, kept, server }
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it refuses what comes from now on.
    pub fn set_away(&self, is_away: bool) {
        self.kept.is_away.store(is_away, Ordering::Release);
    }

    /// All spans so far, in the order in which they began.
    #[must_use]
    pub fn spans(&self) -> Vec<KeptSpan> {
        let mut spans = self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spans.sort_by_key(|span| span.start_ns);
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    if kept.is_away.load(Ordering::Acquire) {
        // One that a client should not repeat, so that tests need not wait for that.
        return (StatusCode::BAD_REQUEST, Vec::new());
    }
    let is_protobuf = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-protobuf");
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return (StatusCode::BAD_REQUEST, Vec::new()) };
    if !is_protobuf {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, Vec::new());
    }
    let mut spans = kept.spans.lock().unwrap_or_else(PoisonError::into_inner);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let of_scopes = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        spans.extend(of_scopes.map(|span| kept_span(span, &resource)));
    }
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}

fn kept_span(span: Span, resource: &Resource) -> KeptSpan {
    KeptSpan {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind(),
        is_failed: span.status.is_some_and(|status| status.code() == SpanStatus::Error),
        name: span.name,
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        attributes: texts(&span.attributes),
        resource: texts(&resource.attributes),
        events: span.events.into_iter().map(|event| event.name).collect(),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
    }
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
