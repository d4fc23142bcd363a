//! How a tenant's messages and senders stand.

use kabar_store::{Lease, SenderStatus};
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

/// How everything stands: what a tenant sees, and beside it the fleet.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    stats: Stats,
    lines: Vec<Line>,
    workers: Vec<Process>,
}

/// A line of the queue in the ledger.
#[derive(Debug, Clone, Serialize)]
struct Line {
    name: String,
    /// How many items can be taken now.
    ready: i64,
}

/// A process at work.
#[derive(Debug, Clone, Serialize)]
struct Process {
    /// As text, since it is larger than the numbers of many readers of JSON.
    id: String,
    process: String,
    workers: Vec<String>,
    started_at: Timestamp,
    /// Until when its lease holds.
    expires_at: Timestamp,
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

impl From<&kabar_store::Status> for Status {
    fn from(status: &kabar_store::Status) -> Self {
        let line = |(name, ready): &(String, i64)| Line { name: name.clone(), ready: *ready };
        Self {
            stats: status.into(),
            lines: status.lines.iter().map(line).collect(),
            workers: status.workers.iter().map(Process::from).collect(),
        }
    }
}

impl From<&Lease> for Process {
    fn from(lease: &Lease) -> Self {
        Self {
            id: lease.id.0.to_string(),
            process: lease.process.clone(),
            workers: lease.workers.clone(),
            started_at: Timestamp(lease.started_at),
            expires_at: Timestamp(lease.expires_at),
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

#[cfg(test)]
mod tests {
    use kabar_domain::message::{MessageState, StateCounts};
    use kabar_store::LeaseId;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_is_that_of_the_contract() {
        let now = 1_000_000_000_000;
        let mut messages = StateCounts::default();
        messages.add(MessageState::Queued, 3);
        let sender = SenderStatus {
            name: "default".to_owned(),
            provider: "whatsapp_cloud".to_owned(),
            state: "parked".to_owned(),
            reason: Some("throttled".to_owned()),
            rate: kabar_domain::pace::Rate::per_second(80).unwrap(),
            effective_rate: Some(40.5),
            parked_until: Some(now + 1_500),
            waiting: 3,
            in_flight: 2,
            sent_last_minute: 7,
        };
        let lease = Lease {
            id: LeaseId(i64::MAX),
            process: "host:1".to_owned(),
            workers: vec!["courier".to_owned()],
            started_at: now,
            expires_at: now + 10_000,
        };
        let lines = vec![("batches".to_owned(), 4)];
        let status = kabar_store::Status { messages, senders: vec![sender], lines, dead: 1, workers: vec![lease] };
        let json = serde_json::to_value(Status::from(&status)).unwrap();
        assert_eq!(
            json["senders"],
            json!([{"name": "default", "provider": "whatsapp_cloud", "state": "parked", "reason": "throttled",
                "rate": 80, "effective_rate": 40.5, "parked_until": "2001-09-09T01:46:41.500Z", "waiting": 3,
                "in_flight": 2, "sent_last_minute": 7}])
        );
        assert_eq!((&json["messages"]["queued"], &json["dead"]), (&json!(3), &json!(1)));
        assert_eq!(json["lines"], json!([{"name": "batches", "ready": 4}]));
        assert_eq!(json["workers"][0]["id"], "9223372036854775807");
        assert_eq!(json["workers"][0]["expires_at"], "2001-09-09T01:46:50Z");
    }
}
