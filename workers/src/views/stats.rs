//! How a tenant's messages and senders stand.

use kabar_store::SenderStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Counts, Rate, Timestamp};

/// How a tenant's messages and senders stand.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// How many messages are in each state.
    messages: Counts,
    /// The senders, by name.
    senders: Vec<SenderStats>,
    /// How many dead letters there are.
    dead: i64,
}

/// How a sender stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct SenderStats {
    name: String,
    /// Who carries its messages.
    provider: String,
    /// `active`, `paused`, `halted` or `parked`.
    state: String,
    /// Why it is not active.
    reason: Option<String>,
    /// The most messages per second, as configured.
    rate: Rate,
    /// The messages per second that it may send now: fewer than configured after a throttle; null where unlimited.
    effective_rate: Option<f64>,
    /// Until when it is parked; null where it is not.
    parked_until: Option<Timestamp>,
    /// Messages that wait.
    waiting: u64,
    /// Messages in the hands of couriers, or in doubt.
    in_flight: u64,
    /// Attempts that started in the last minute.
    sent_last_minute: u64,
}

impl From<&kabar_store::Status> for Stats {
    fn from(status: &kabar_store::Status) -> Self {
        Self {
            messages: Counts(status.messages),
            senders: status.senders.iter().map(SenderStats::from).collect(),
            dead: status.dead,
        }
    }
}

impl From<&SenderStatus> for SenderStats {
    fn from(status: &SenderStatus) -> Self {
        Self {
            name: status.name.clone(),
            provider: status.provider.clone(),
            state: status.state.clone(),
            reason: status.reason.clone(),
            rate: Rate(status.rate),
            effective_rate: status.effective_rate,
            parked_until: status.parked_until.map(Timestamp),
            waiting: status.waiting,
            in_flight: status.in_flight,
            sent_last_minute: status.sent_last_minute,
        }
    }
}
