//! A cron expression that enqueues a job.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Timestamp;

/// A cron expression in a time zone with the job that each tick enqueues.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Schedule {
    id: String,
    /// Minute, hour, day of month, month, day of week.
    cron: String,
    /// Such as `Asia/Jakarta`.
    timezone: String,
    /// The job as it was given; an `id` in it begins the ids of the jobs.
    #[schema(value_type = Object)]
    job: Value,
    /// When it next falls due.
    next_at: Timestamp,
    /// The local time of that tick, as it ends the job's id.
    next_tick: String,
    /// When it was added.
    created_at: Timestamp,
}

impl From<&kabar_store::Schedule> for Schedule {
    fn from(schedule: &kabar_store::Schedule) -> Self {
        Self {
            id: schedule.id.to_string(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            job: schedule.job.clone(),
            next_at: Timestamp(schedule.next_at),
            next_tick: schedule.next_tick.clone(),
            created_at: Timestamp(schedule.created_at),
        }
    }
}
