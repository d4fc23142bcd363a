//! One request: it leaves at its slot or not at all, and what comes of it is written down.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use kabar_domain::{
    content::Content,
    job::JobId,
    outcome::{Decision, Outcome, Scope},
};
use kabar_providers::{Access, SendRequest};
use kabar_store::{Claimed, Parking, Settlement, Started};
use kabar_telemetry::names::{self, field};
use tokio::time::Instant;

use super::{Courier, batch::lateness, senders::KnownSender};
use crate::{
    fault::{self, Point},
    recorder::{count_code, report_settled},
    traces::{self, Attempt, Exchange},
};

/// A message whose attempt has been started.
pub(super) struct Ready {
    pub(super) message: Claimed,
    pub(super) attempt: Started,
    pub(super) slot: Option<Instant>,
    pub(super) content: Option<Arc<Content>>,
    pub(super) access: Arc<Access>,
    /// The producer's id of its job.
    pub(super) job: Option<JobId>,
    pub(super) times: Times,
}

/// When what came before the request was done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Its batch was claimed.
    pub(super) claimed_at: SystemTime,
    /// Its start was committed.
    pub(super) started_at: SystemTime,
}

/// Sends the request at its slot and writes down what came of it. Never cancelled.
pub(super) async fn run(courier: &Courier, sender: &KnownSender, ready: Ready) {
    if let Some(slot) = ready.slot {
        tokio::time::sleep_until(slot).await;
    }
    let (outcome, exchange) = match not_to_leave(courier, sender, &ready) {
        Some(reason) => (Outcome::not_sent(reason), None),
        None => {
            let answer = send(courier, sender, &ready).await;
            fault::pass(Point::AfterAnswer);
            answer
        }
    };
    let context = &courier.context;
    // In a box, so that it does not swell the task where traces are off.
    let told = context.traces.are_on().then(|| Box::new(outcome.clone()));
    let settlement = Settlement { message_id: ready.message.id, number: ready.attempt.number, outcome };
    match courier.writer.settle(vec![settlement]).await {
        Ok(settled) => report_settled(&settled),
        Err(error) => tracing::error!(
            message_id = ready.message.id,
            error = &error as &dyn std::error::Error,
            "an outcome could not be written down; the message will be in doubt"
        ),
    }
    if let Some(outcome) = told {
        let attempt = Attempt {
            message: &ready.message,
            job: ready.job.as_ref(),
            number: ready.attempt.number,
            provider: ready.access.provider.as_str(),
            claimed_at: ready.times.claimed_at,
            started_at: ready.times.started_at,
            exchange,
            outcome: &outcome,
        };
        traces::attempted(context, &attempt);
    }
}

/// Why the request must not leave any more, though its attempt was started: it provably stays here.
fn not_to_leave(courier: &Courier, sender: &KnownSender, ready: &Ready) -> Option<&'static str> {
    let now_ms = courier.context.store.now_ms();
    if let Some(slot) = ready.slot {
        let late = lateness(slot);
        metrics::histogram!(names::SLOT_LATENESS).record(late);
        if late > courier.context.settings.pace.late_tolerance {
            metrics::counter!(names::SLOTS_FORFEITED).increment(1);
            tracing::debug!(message_id = ready.message.id, late_us = late.as_micros() as u64, "forfeited");
            return Some("its slot had passed");
        }
    }
    if !sender.is_open(now_ms) {
        return Some("the provider had just said no to the sender");
    }
    if !courier.context.hold.is_safe(now_ms) {
        return Some("this worker's lease was about to end");
    }
    None
}

/// What the provider answered, and when; nothing leaves where there is no content.
async fn send(courier: &Courier, sender: &KnownSender, ready: &Ready) -> (Outcome, Option<Exchange>) {
    let Some(content) = &ready.content else {
        return (Outcome::of(Decision::Failed, "the recipient lacks a value that the content needs"), None);
    };
    let provider = ready.access.provider;
    let request = SendRequest { to: &ready.message.phone, content, opaque: &ready.attempt.opaque };
    sender.access.count_request();
    let (left_at, clock) = (SystemTime::now(), Instant::now());
    let outcome = courier.context.providers.send(&ready.access, &request).await;
    let took = clock.elapsed();
    metrics::histogram!(names::SEND_DURATION, field::PROVIDER => provider.as_str()).record(took);
    let decision = decision_name(outcome.decision);
    metrics::counter!(names::ATTEMPTS, field::PROVIDER => provider.as_str(), field::DECISION => decision).increment(1);
    if let Some(code) = outcome.code {
        count_code(&courier.context.providers, provider, code);
    }
    tracing::debug!(message_id = ready.message.id, sender = sender.id, decision, code = outcome.code, "sent");
    let settings = &courier.context.settings.courier;
    if sender.note(&outcome, courier.context.store.now_ms(), settings.outage_run) {
        // Rare and large: in a box it does not swell the task of every request.
        Box::pin(park_for_outage(courier, sender.id, &outcome, settings.park_first, settings.park_most)).await;
    }
    (outcome, Some(Exchange { left_at, took }))
}

/// An outage must not spend a backlog's attempts: the sender waits, longer each time.
async fn park_for_outage(courier: &Courier, sender: i64, outcome: &Outcome, first: Duration, most: Duration) {
    let reason = format!("requests in a row came to nothing, the last: {}", outcome.meaning);
    let parking = Parking { scope: Scope::Sender, delay: None, first, most, reason: &reason, cut: false };
    metrics::counter!(names::SENDERS_PARKED, field::SCOPE => "sender").increment(1);
    tracing::warn!(sender, reason, "parked: the provider seems to be out; its messages wait, nothing is lost");
    if let Err(error) = courier.context.store.park(sender, &parking).await {
        tracing::warn!(sender, error = &error as &dyn std::error::Error, "the sender could not be parked");
    }
}

/// What was decided, as metrics and traces call it.
pub(crate) const fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Accepted => "accepted",
        Decision::Throttled => "throttled",
        Decision::Retry => "retry",
        Decision::Failed => "failed",
        Decision::Blocked => "blocked",
        Decision::OptedOut => "opted_out",
        Decision::TemplatePaused => "template_paused",
        Decision::TemplateDisabled => "template_disabled",
        Decision::Halt => "halt",
        Decision::InDoubt => "in_doubt",
        Decision::NotSent => "not_sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_is_exported_from_the_start() {
        for name in field::values(field::DECISION).unwrap() {
            let decision: Decision = serde_json::from_value((*name).into()).unwrap();
            assert_eq!(decision_name(decision), *name);
        }
    }
}
