//! One content for many recipients, with its progress.

use kabar_domain::message::MessageState;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Counts, State, Timestamp};

/// One content for many recipients, with its progress.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Broadcast {
    /// The id of its job.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: Option<String>,
    /// `planning`, `running`, `paused`, `completed` or `cancelled`.
    pub(crate) state: &'static str,
    /// How many recipients were planned so far.
    pub(crate) audience: i64,
    /// How many of its messages are in each state.
    pub(crate) counts: Counts,
    /// When its last message leaves at the sender's present rate, with what goes before it and what shares the sender; null
    /// where nothing waits, the sender does not send, or it is unlimited.
    pub(crate) eta: Option<Timestamp>,
    /// When it was enqueued.
    pub(crate) created_at: Timestamp,
}

impl From<&kabar_store::Broadcast> for Broadcast {
    fn from(broadcast: &kabar_store::Broadcast) -> Self {
        Self {
            id: broadcast.id.clone(),
            name: broadcast.name.clone(),
            state: broadcast.state.as_str(),
            audience: broadcast.audience,
            counts: Counts(broadcast.counts),
            eta: broadcast.eta.map(Timestamp),
            created_at: Timestamp(broadcast.created_at),
        }
    }
}

/// A broadcast, and why its messages are where they are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BroadcastDetail {
    #[serde(flatten)]
    broadcast: Broadcast,
    /// Why messages are where they are: each reason with how many it holds for, the most frequent first.
    reasons: Vec<Reason>,
}

/// Why some messages of a broadcast are where they are.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Reason {
    state: State,
    /// Such as `recipient_blocked`.
    reason: Option<String>,
    /// The provider's code.
    code: Option<i64>,
    /// For how many messages.
    count: i64,
}

impl BroadcastDetail {
    /// With the ledger's reasons; states that need none are left out.
    pub(crate) fn new(
        broadcast: &kabar_store::Broadcast,
        reasons: &[(MessageState, Option<String>, Option<i64>, i64)],
    ) -> Self {
        let told = reasons.iter().filter(|(_, reason, code, _)| reason.is_some() || code.is_some());
        let reasons = told.map(|(state, reason, code, count)| Reason {
            state: State(*state),
            reason: reason.clone(),
            code: *code,
            count: *count,
        });
        Self { broadcast: broadcast.into(), reasons: reasons.collect() }
    }
}

#[cfg(test)]
mod tests {
    use kabar_domain::message::StateCounts;
    use kabar_store::BroadcastState;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_is_that_of_the_contract() {
        let mut counts = StateCounts::default();
        counts.add(MessageState::InDoubt, 2);
        let broadcast = kabar_store::Broadcast {
            id: "dep-2026-12-01".to_owned(),
            job_id: 7,
            name: None,
            state: BroadcastState::Running,
            audience: 2,
            counts,
            eta: Some(1_000_000_000_000),
            created_at: 0,
        };
        let reasons = [(MessageState::Read, None, None, 4), (MessageState::Failed, None, Some(131_026), 1)];
        let json = serde_json::to_value(BroadcastDetail::new(&broadcast, &reasons)).unwrap();
        assert_eq!(json["id"], "dep-2026-12-01");
        assert_eq!((&json["name"], &json["state"], &json["audience"]), (&json!(null), &json!("running"), &json!(2)));
        assert_eq!((&json["counts"]["in_doubt"], &json["counts"]["read"]), (&json!(2), &json!(0)));
        assert_eq!(json["eta"], "2001-09-09T01:46:40Z");
        assert!(json.get("job_id").is_none());
        assert_eq!(json["reasons"], json!([{"state": "failed", "reason": null, "code": 131_026, "count": 1}]));
    }
}
