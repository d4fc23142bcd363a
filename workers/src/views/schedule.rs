//! A cron expression that enqueues a job.

use chrono::SecondsFormat;
use kabar_store::StoreResult;
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
    /// `active` or `paused`.
    #[schema(value_type = String)]
    state: &'static str,
    /// What becomes of ticks that were missed: `skip`, `coalesce` or `catch_up:N`.
    missed: String,
    /// When it next falls due; null while it is paused.
    next_at: Option<Timestamp>,
    /// The local time of that tick, as it ends the job's id.
    next_tick: String,
    /// The next firings by the clocks of its zone; while it is paused, those that would be.
    pub(crate) next: Vec<String>,
    /// When it was added.
    created_at: Timestamp,
}

/// How many of the next firings are shown.
const UPCOMING: usize = 10;

impl Schedule {
    /// A schedule with what it will do after `now`, in Unix milliseconds.
    pub(crate) fn new(schedule: &kabar_store::Schedule, now: i64) -> StoreResult<Self> {
        let next = schedule.upcoming(UPCOMING, now)?;
        Ok(Self {
            id: schedule.id.to_string(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            job: schedule.job.clone(),
            state: if schedule.paused_at.is_some() { "paused" } else { "active" },
            missed: schedule.missed.to_string(),
            next_at: schedule.paused_at.is_none().then_some(Timestamp(schedule.next_at)),
            next_tick: schedule.next_tick.clone(),
            next: next.into_iter().map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).collect(),
            created_at: Timestamp(schedule.created_at),
        })
    }
}
