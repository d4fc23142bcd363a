//! Applies what providers report later: receipts, messages from people and what those say of their wishes, changes of
//! templates. Order and repeats do not matter.

use std::time::Duration;

use kabar_domain::{report::Report, sender::ProviderKind, wish::WishWords};
use kabar_providers::Providers;
use kabar_store::{Applied, NewEvent, Settled, Topic};
use kabar_telemetry::names::{self, field};

use crate::{
    context::Shared,
    steps::{Next, StepError},
    traces,
};

/// How often events are looked for when no bell rings: other processes take them in, too.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The most events in one transaction; each holds up to a thousand reports.
const MOST_EVENTS: u32 = 32;

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let policy = context.settle_policy();
    let read = |event: &NewEvent| {
        let provider =
            event.provider.parse().map_err(|error: kabar_domain::sender::UnknownProvider| error.to_string())?;
        let reports = context.providers.read_event(provider, event.body.as_bytes());
        reports
            .map(|reports| with_wishes(reports, &context.settings.people.wish_words))
            .map_err(|error| error.to_string())
    };
    let applied = context.store.apply_events(MOST_EVENTS, &policy, read).await?;
    if applied.events == 0 {
        return Ok(Next::Bell(Topic::Events, LOOK_EVERY));
    }
    report(&applied);
    report_lags(&applied, context.store.now_ms());
    traces::applied(&context, &applied.heard);
    for (provider, code) in &applied.codes {
        if let Ok(provider) = provider.parse() {
            count_code(&context.providers, provider, *code);
        }
    }
    Ok(Next::Now)
}

/// Each message from a person that says what they want is followed by their wish.
fn with_wishes(reports: Vec<Report>, words: &WishWords) -> Vec<Report> {
    let mut heard = Vec::with_capacity(reports.len());
    for report in reports {
        let wish = if let Report::Inbound(inbound) = &report { words.said_in(inbound) } else { None };
        heard.push(report);
        heard.extend(wish.map(Report::Wish));
    }
    heard
}

/// Counts a code that a provider answered or reported.
pub(crate) fn count_code(providers: &Providers, provider: ProviderKind, code: i64) {
    let known = providers.policy(provider).knows(code).to_string();
    let labels =
        [(field::PROVIDER, provider.as_str().to_owned()), (field::CODE, code.to_string()), (field::KNOWN, known)];
    metrics::counter!(names::PROVIDER_CODES, &labels).increment(1);
}

fn report(applied: &Applied) {
    metrics::counter!(names::RECEIPTS_APPLIED).increment(applied.receipts);
    metrics::counter!(names::RECEIPTS_UNKNOWN).increment(applied.unmatched);
    if applied.doubts_settled > 0 {
        metrics::counter!(names::DOUBTS_SETTLED, field::BY => "receipt").increment(applied.doubts_settled);
    }
    if !applied.sent_twice.is_empty() {
        metrics::counter!(names::SENT_TWICE).increment(applied.sent_twice.len() as u64);
        let messages = &applied.sent_twice;
        tracing::error!(?messages, "sent again after doubt, and now a receipt says that the earlier attempt had left");
    }
    for notice in &applied.notices {
        tracing::warn!(notice, "the provider reports");
    }
    if applied.unreadable > 0 {
        tracing::error!(events = applied.unreadable, "events could not be read; they are kept");
    }
    report_settled(&applied.settled);
}

/// How late events were applied, and how late receipts were by the provider's clock.
fn report_lags(applied: &Applied, now_ms: i64) {
    let seconds = |ms: i64| ms.max(0) as f64 / 1_000.0;
    let (wait, lag) = (metrics::histogram!(names::EVENT_WAIT), metrics::histogram!(names::WEBHOOK_LAG));
    applied.waited.iter().for_each(|waited_ms| wait.record(seconds(*waited_ms)));
    applied.heard.iter().for_each(|heard| lag.record(seconds(now_ms - heard.happened_at)));
}

/// Logs what settling did beyond messages. Each line is for a person who runs the fleet.
pub(crate) fn report_settled(settled: &Settled) {
    for (sender, scope, reason) in &settled.parked {
        metrics::counter!(names::SENDERS_PARKED, field::SCOPE => format!("{scope:?}").to_lowercase()).increment(1);
        tracing::info!(sender, reason, "parked: the provider asks to slow down; its messages wait, nothing is lost");
    }
    for (sender, reason) in &settled.halted {
        metrics::counter!(names::SENDERS_HALTED).increment(1);
        tracing::error!(
            sender,
            reason,
            "HALTED: the provider refuses this sender; its messages are kept. Mend the cause, then `kabar sender resume`"
        );
    }
    for alert in &settled.alerts {
        tracing::warn!(alert, "a person should look at this");
    }
    if settled.doubts > 0 {
        metrics::counter!(names::DOUBTS_OPENED).increment(settled.doubts);
    }
}
