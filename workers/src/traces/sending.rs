//! How a message was sent.

use std::time::{Duration, SystemTime};

use kabar_domain::{
    job::JobId,
    outcome::{Decision, Outcome},
};
use kabar_store::Claimed;
use kabar_telemetry::{
    Place, Span, SpanKind,
    names::{attribute, happening, span},
};

use super::{MessageWay, Ways, instant};
use crate::{context::Context, courier::decision_name};

/// An attempt whose outcome is in the ledger.
pub(crate) struct Attempt<'a> {
    pub(crate) message: &'a Claimed,
    /// The producer's id of its job.
    pub(crate) job: Option<&'a JobId>,
    pub(crate) number: i64,
    pub(crate) provider: &'static str,
    /// When its batch was claimed.
    pub(crate) claimed_at: SystemTime,
    /// When its start was committed.
    pub(crate) started_at: SystemTime,
    /// Its request, if one left.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) outcome: &'a Outcome,
}

/// A request that left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) left_at: SystemTime,
    /// How long the answer took.
    pub(crate) took: Duration,
}

/// Tells of an attempt that has ended just now; with the first of a message, of the message.
pub(crate) fn attempted(context: &Context, attempt: &Attempt<'_>) {
    let Some(ways) = Ways::of(context) else { return };
    let Claimed { id, job_id, of_broadcast, .. } = *attempt.message;
    let Some(way) = ways.message(job_id, id, of_broadcast) else { return };
    let Some(place) = ways.attempt(way, id, attempt.number) else { return };
    let now = SystemTime::now();
    if attempt.number == 1 {
        ways.traces.tell(message_span(attempt, way, now));
    }
    ways.traces.tell(attempt_span(attempt, way, place, now));
    if let Some(exchange) = attempt.exchange {
        ways.traces.tell(request_span(attempt, exchange, place));
    }
}

fn message_span(attempt: &Attempt<'_>, way: MessageWay, now: SystemTime) -> Span {
    // What a courier claims is due, whatever its clock says of that.
    let due_at = instant(attempt.message.due_at).min(attempt.claimed_at);
    let span = identified(Span::new(span::MESSAGE, way.place, due_at, now), attempt);
    if way.of_broadcast { span.link(way.job) } else { span.under(way.job) }
}

fn attempt_span(attempt: &Attempt<'_>, way: MessageWay, place: Place, now: SystemTime) -> Span {
    let decision = decision_name(attempt.outcome.decision);
    let span = identified(Span::new(span::ATTEMPT, place, attempt.claimed_at, now), attempt)
        .under(way.place)
        .attribute(attribute::ATTEMPT, attempt.number)
        .attribute(attribute::DECISION, decision)
        .event(happening::STARTED, attempt.started_at);
    judged(span, attempt.outcome)
}

fn request_span(attempt: &Attempt<'_>, exchange: Exchange, place: Place) -> Span {
    let Exchange { left_at, took } = exchange;
    let span = Span::new(span::PROVIDER_REQUEST, place.beside(), left_at, left_at + took)
        .under(place)
        .of_kind(SpanKind::Client)
        .attribute(attribute::HTTP_METHOD, "POST")
        .attribute(attribute::PROVIDER, attempt.provider);
    judged(span, attempt.outcome)
}

/// With what an operator looks for.
fn identified(span: Span, attempt: &Attempt<'_>) -> Span {
    let span = span.attribute(attribute::MESSAGE_ID, attempt.message.id);
    match attempt.job {
        Some(job) => span.attribute(attribute::JOB_ID, job.to_string()),
        None => span,
    }
}

/// The provider's words are left out: they may quote a number.
fn judged(span: Span, outcome: &Outcome) -> Span {
    let span = match outcome.code {
        Some(code) => span.attribute(attribute::CODE, code),
        None => span,
    };
    if outcome.decision == Decision::Accepted { span } else { span.failed(decision_name(outcome.decision)) }
}
