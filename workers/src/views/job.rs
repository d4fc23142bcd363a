//! What a producer enqueued.

use kabar_domain::message::StateCounts;
use kabar_store::JobSummary;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Counts, Timestamp};

/// What a producer enqueued, and where its messages are.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = JobStatus)]
pub(crate) struct Job {
    /// The producer's id of it.
    id: String,
    /// `send`, `broadcast` or `reminder`.
    #[serde(rename = "type")]
    kind: String,
    /// What people call it.
    name: Option<String>,
    /// `loading`, `accepted` or `planned`; `paused` or `cancelled` where a person said so.
    state: String,
    /// How many messages were planned so far.
    audience: i64,
    /// How many of its messages are in each state.
    counts: Counts,
    /// When it was enqueued.
    created_at: Timestamp,
}

impl Job {
    /// A job with its messages.
    pub(crate) fn new(summary: JobSummary, counts: StateCounts) -> Self {
        Self {
            id: summary.id,
            kind: summary.kind,
            name: summary.name,
            state: summary.state,
            audience: summary.audience,
            counts: Counts(counts),
            created_at: Timestamp(summary.created_at),
        }
    }
}
