//! Messages tied to a due date.

use chrono::DateTime;
use kabar_domain::{
    job::{Job, ReminderJob},
    reminder::Part,
};
use kabar_store::{JobSummary, MessageSummary, Store, StoreResult, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{State, Timestamp};
use crate::preview;

/// Messages tied to a due date, as lists show them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Reminder {
    /// The id of its job.
    pub(crate) id: String,
    /// To whom.
    pub(crate) to: String,
    /// The day that it is about.
    #[schema(format = Date)]
    pub(crate) due: String,
    /// `accepted`, `planned` or `cancelled`.
    pub(crate) state: String,
    /// How many messages it came to.
    pub(crate) messages: i64,
    /// When it was enqueued.
    pub(crate) created_at: Timestamp,
}

impl Reminder {
    /// A reminder of a list.
    pub(crate) fn new(summary: &JobSummary, job: &ReminderJob) -> Self {
        Self {
            id: summary.id.clone(),
            to: job.to.to_string(),
            due: job.due.to_string(),
            state: summary.state.clone(),
            messages: summary.audience,
            created_at: Timestamp(summary.created_at),
        }
    }
}

/// A reminder with what it has sent, and what it will send when.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReminderDetail {
    /// The id of its job.
    pub(crate) id: String,
    /// To whom.
    pub(crate) to: String,
    /// The day that it is about.
    #[schema(format = Date)]
    pub(crate) due: String,
    /// The zone of that day and of its times.
    pub(crate) timezone: String,
    /// The sender's name.
    pub(crate) sender: String,
    /// `accepted`, `planned` or `cancelled`.
    pub(crate) state: String,
    /// When it was enqueued.
    created_at: Timestamp,
    /// One per offset, the earliest first; also those for a due date before it was moved.
    pub(crate) messages: Vec<OfReminder>,
}

/// The message of one offset.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OfReminder {
    /// The message.
    pub(crate) id: i64,
    /// How long before the due date, such as `3d`.
    pub(crate) before: String,
    /// Whether it was planned for a due date that has been moved since.
    pub(crate) for_earlier_due_date: bool,
    /// Where it is in its life.
    pub(crate) state: State,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Not to be sent before, by the clocks of the reminder's zone.
    pub(crate) local_time: Option<String>,
    /// Not to be sent before.
    pub(crate) due_at: Timestamp,
    /// Not to be sent from then on.
    expires_at: Option<Timestamp>,
}

impl ReminderDetail {
    /// The reminder with this id; none where the job of the id is no reminder.
    pub(crate) async fn read(store: &Store, tenant: TenantId, id: &str) -> StoreResult<Option<Self>> {
        /// A reminder has at most 20 offsets, as often as it was moved.
        const ALL: u32 = 1_000;
        let (job_id, summary) = store.job_summary(tenant, id, Some("reminder")).await?;
        let Job::Reminder(job) = store.job(job_id).await? else { return Ok(None) };
        let mut messages = store.messages_of_job(job_id, 0, ALL).await?;
        messages.sort_by_key(|message| (message.due_at, message.part));
        Ok(Some(Self::new(&summary, &job, &messages)))
    }

    fn new(summary: &JobSummary, job: &ReminderJob, messages: &[MessageSummary]) -> Self {
        let moves = messages.iter().map(|one| Part::of(one.part).moves).max().unwrap_or_default();
        let of_reminder = |message: &MessageSummary| {
            let part = Part::of(message.part);
            let due_at = DateTime::from_timestamp_millis(message.due_at);
            OfReminder {
                id: message.id,
                before: part.before.to_string(),
                for_earlier_due_date: part.moves < moves,
                state: State(message.state),
                reason: message.reason.clone(),
                local_time: due_at.map(|at| preview::local(at, job.timezone)),
                due_at: Timestamp(message.due_at),
                expires_at: message.expires_at.map(Timestamp),
            }
        };
        Self {
            id: summary.id.clone(),
            to: job.to.to_string(),
            due: job.due.to_string(),
            timezone: job.timezone.name().to_owned(),
            sender: job.sender.clone(),
            state: summary.state.clone(),
            created_at: Timestamp(summary.created_at),
            messages: messages.iter().map(of_reminder).collect(),
        }
    }
}

/// A reminder that was taken back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EndedReminder {
    /// The id of its job.
    id: String,
    /// `cancelled`.
    state: &'static str,
    /// `paid` or `cancelled`.
    pub(crate) reason: &'static str,
    /// How many messages were taken back just now.
    pub(crate) messages: u64,
}

impl EndedReminder {
    /// Ends a reminder that was paid.
    pub(crate) async fn paid(store: &Store, tenant: TenantId, id: &str) -> StoreResult<Self> {
        Self::end(store, tenant, id, "paid").await
    }

    /// Takes a reminder back.
    pub(crate) async fn cancelled(store: &Store, tenant: TenantId, id: &str) -> StoreResult<Self> {
        Self::end(store, tenant, id, "cancelled").await
    }

    async fn end(store: &Store, tenant: TenantId, id: &str, reason: &'static str) -> StoreResult<Self> {
        store.job_summary(tenant, id, Some("reminder")).await?;
        let messages = store.cancel_reminder(tenant, id, reason).await?;
        Ok(Self { id: id.to_owned(), state: "cancelled", reason, messages })
    }
}
