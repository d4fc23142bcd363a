//! A part of a way, told once it is over.

use std::time::SystemTime;

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanId, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

pub use opentelemetry::trace::SpanKind;

use super::Place;

/// What the spans are said to be made by.
const SCOPE: &str = "kabar";

/// The most links of a span, as OpenTelemetry has it by default.
const MOST_LINKS: usize = 128;

/// A part of a way with its beginning and its end. Names are those of [`crate::names`]; nothing in it may be personal.
#[derive(Debug, Clone)]
pub struct Span(SpanData);

impl Span {
    /// A span at the root of its trace.
    #[must_use]
    pub fn new(name: &'static str, place: Place, start: SystemTime, end: SystemTime) -> Self {
        Self(SpanData {
            span_context: place.context(false),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: start,
            // Clocks of two machines may disagree; no span ends before it begins.
            end_time: end.max(start),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(SCOPE).build(),
        })
    }

    /// The same as a part of `parent`, which is in the same trace.
    #[must_use]
    pub fn under(mut self, parent: Place) -> Self {
        self.0.parent_span_id = parent.span;
        self.0.parent_span_is_remote = true;
        self
    }

    /// The same with a kind.
    #[must_use]
    pub fn of_kind(mut self, kind: SpanKind) -> Self {
        self.0.span_kind = kind;
        self
    }

    /// The same with an attribute of [`crate::names::attribute`].
    #[must_use]
    pub fn attribute(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.push(KeyValue::new(name, value));
        self
    }

    /// The same with something that happened meanwhile, by a name of [`crate::names::happening`].
    #[must_use]
    pub fn event(mut self, name: &'static str, at: SystemTime) -> Self {
        self.0.events.events.push(Event::new(name, at, Vec::new(), 0));
        self
    }

    /// The same, pointing to a span of another trace.
    #[must_use]
    pub fn link(mut self, other: Place) -> Self {
        if self.0.links.links.len() < MOST_LINKS {
            self.0.links.links.push(Link::with_context(other.context(true)));
        } else {
            self.0.links.dropped_count += 1;
        }
        self
    }

    /// The same, marked as failed for a reason in few words.
    #[must_use]
    pub fn failed(mut self, why: &'static str) -> Self {
        self.0.status = Status::error(why);
        self
    }

    pub(super) fn into_data(self) -> SpanData {
        self.0
    }
}
