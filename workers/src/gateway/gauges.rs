//! What waits in the ledger, as gauges. They are read when somebody asks for metrics, so they cost nothing otherwise; every
//! process tells the same of the one ledger.

use std::time::{Duration, Instant};

use kabar_domain::{job::Priority, pace::Rate};
use kabar_store::{Backlog, Store};
use kabar_telemetry::names::{self, field};
use tokio::sync::Mutex;

/// How long what was read holds, however often metrics are asked for.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// How long the ledger may take: who asks for metrics gets them also while it is away.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// When the ledger was last asked. Held while it is: one at a time.
#[derive(Debug, Default)]
pub(super) struct Gauges(Mutex<Option<Instant>>);

impl Gauges {
    /// Reads them anew, unless that was just done or is being done.
    pub(super) async fn refresh(&self, store: &Store) {
        let Ok(mut read_at) = self.0.try_lock() else { return };
        if read_at.is_some_and(|at| at.elapsed() < FRESH_FOR) {
            return;
        }
        match tokio::time::timeout(READ_WITHIN, store.backlog()).await {
            Ok(Ok(backlog)) => report(&backlog),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what waits could not be counted; the metrics show what was");
            }
            Err(_) => tracing::warn!("what waits could not be counted in time; the metrics show what was"),
        }
        *read_at = Some(Instant::now());
    }
}

fn report(backlog: &Backlog) {
    metrics::gauge!(names::MESSAGES_IN_DOUBT).set(backlog.in_doubt as f64);
    metrics::gauge!(names::MESSAGES_UNRESOLVED).set(backlog.unresolved as f64);
    metrics::gauge!(names::OLDEST_EVENT).set(seconds(backlog.oldest_event_ms));
    for sender in &backlog.senders {
        let of = [(field::TENANT, sender.tenant.0.to_string()), (field::SENDER, sender.name.clone())];
        if let Rate::PerSecond(limit) = sender.rate {
            metrics::gauge!(names::SENDER_RATE_LIMIT, &of).set(f64::from(limit.get()));
            metrics::gauge!(names::SENDER_RATE_NOW, &of).set(sender.effective_rate.unwrap_or(f64::from(limit.get())));
        }
        for (priority, lane) in &sender.lanes {
            let [tenant, name] = of.clone();
            let of_lane = [tenant, name, (field::LANE, lane_name(*priority).to_owned())];
            metrics::gauge!(names::MESSAGES_WAITING, &of_lane).set(lane.waiting as f64);
            metrics::gauge!(names::OLDEST_WAITING, &of_lane).set(seconds(lane.oldest_ms));
        }
    }
}

fn seconds(milliseconds: Option<u64>) -> f64 {
    milliseconds.unwrap_or_default() as f64 / 1_000.0
}

const fn lane_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => "urgent",
        Priority::Normal => "normal",
        Priority::Bulk => "bulk",
    }
}
