//! Cron schedules that enqueue a job at each tick.
//!
//! Any number of schedulers may look at once: a tick is fired by whoever moves the schedule's row on to the next tick,
//! in one transaction with the job, whose id names the schedule and the tick's local time. So a tick fires exactly
//! once. Of several that were missed by downtime the latest fires, or what the schedule says; those of a pause never do.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use kabar_domain::{
    job::{Door, Job, JobId},
    schedule::{CronSchedule, Missed, Tick},
};
use serde_json::Value;

use crate::{
    Store, TenantId, Topic,
    db::{Tx, args, row, statements},
    dead_letters::{NewDeadLetter, bury_in},
    error::{StoreError, StoreResult},
};

/// The line that a tick's job would have come by, had it been enqueued from outside; `kabar dead retry` puts it there.
const JOBS_LINE: &str = "jobs";

/// When a schedule falls due whose expression names no further tick.
const NEVER: i64 = i64::MAX;

/// How far back the latest missed tick is looked for, in seconds, the nearest first; so a schedule of many ticks is not
/// walked through from where it stopped.
const LOOK_BACK_SECONDS: [i64; 5] = [120, 3_600, 86_400, 32 * 86_400, 366 * 86_400];

statements! {
    ADD = "insert into schedules (tenant_id, cron, timezone, job, missed, next_tick, next_at, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning id";
    LIST = "select id, tenant_id, cron, timezone, job, missed, next_tick, next_at, paused_at, created_at from schedules
where tenant_id = $1 order by id";
    ONE = "select id, tenant_id, cron, timezone, job, missed, next_tick, next_at, paused_at, created_at from schedules
where tenant_id = $1 and id = $2";
    DUE = "select id, tenant_id, cron, timezone, job, missed, next_tick, next_at, paused_at, created_at from schedules
where next_at <= $1 and paused_at is null order by next_at limit $2";
    MOVE_ON = "update schedules set next_tick = $4, next_at = $5
where id = $1 and next_tick = $2 and next_at = $3 and paused_at is null";
    PAUSE = "update schedules set paused_at = $3 where tenant_id = $1 and id = $2 and paused_at is null";
    RESUME = "update schedules set paused_at = null, next_tick = $3, next_at = $4
where tenant_id = $1 and id = $2 and paused_at is not null";
    REMOVE = "delete from schedules where tenant_id = $1 and id = $2";
}

/// A cron expression in a time zone with the job that each tick enqueues. Times are Unix milliseconds.
#[derive(Clone, PartialEq)]
pub struct Schedule {
    /// The ledger's id.
    pub id: i64,
    /// Who owns it.
    pub tenant: TenantId,
    /// The expression.
    pub cron: String,
    /// The name of its time zone, such as `Asia/Jakarta`.
    pub timezone: String,
    /// The job as it was given; an `id` in it begins the ids of the jobs.
    pub job: Value,
    /// What becomes of ticks that fall due while no scheduler runs.
    pub missed: Missed,
    /// Since when a person lets it rest.
    pub paused_at: Option<i64>,
    /// When it next falls due; the end of time where its expression names no further tick.
    pub next_at: i64,
    /// The local time of that tick, as it ends the job's id.
    pub next_tick: String,
    /// When it was added.
    pub created_at: i64,
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule")
            .field("id", &self.id)
            .field("cron", &self.cron)
            .field("timezone", &self.timezone)
            .field("next_tick", &self.next_tick)
            .finish_non_exhaustive()
    }
}

row! {
    struct ScheduleRow {
        id: i64,
        tenant_id: i64,
        cron: String,
        timezone: String,
        job: String,
        missed: String,
        next_tick: String,
        next_at: i64,
        paused_at: Option<i64>,
        created_at: i64,
    }
}

impl ScheduleRow {
    fn into_schedule(self) -> StoreResult<Schedule> {
        Ok(Schedule {
            id: self.id,
            tenant: TenantId(self.tenant_id),
            cron: self.cron,
            timezone: self.timezone,
            job: serde_json::from_str(&self.job).map_err(|error| StoreError::unreadable("a schedule's job", error))?,
            missed: self.missed.parse().map_err(|error| StoreError::unreadable("a schedule", error))?,
            paused_at: self.paused_at,
            next_at: self.next_at,
            next_tick: self.next_tick,
            created_at: self.created_at,
        })
    }
}

impl Schedule {
    fn expression(&self) -> StoreResult<CronSchedule> {
        let zone = self.timezone.parse().map_err(|error| StoreError::unreadable("a schedule's time zone", error))?;
        CronSchedule::parse(&self.cron, zone).map_err(|error| StoreError::unreadable("a schedule", error))
    }

    /// The next `count` moments at which it fires, by the clocks of its zone, from the tick that is due on; those that
    /// would be if it is paused are those after `now` (Unix milliseconds).
    ///
    /// # Errors
    /// When what the ledger holds of it cannot be read.
    pub fn upcoming(&self, count: usize, now: i64) -> StoreResult<Vec<DateTime<Tz>>> {
        let expression = self.expression()?;
        let from = if self.paused_at.is_some() { now } else { self.next_at.saturating_sub(1) };
        let ticks = expression.after(instant(from)).take(count).map(|tick| tick.at).collect::<Vec<_>>();
        Ok(ticks.into_iter().map(|at| expression.local(at)).collect())
    }

    /// The job that its next tick enqueues, for whoever looks at it beforehand.
    ///
    /// # Errors
    /// Why there is none.
    pub fn next_job(&self, door: Door) -> Result<Job, String> {
        read_job(&self.job, self.id, &self.next_tick, door)
    }
}

/// A schedule to be.
#[derive(Debug, Clone)]
pub struct NewSchedule<'a> {
    /// The expression.
    pub cron: &'a str,
    /// Its time zone.
    pub timezone: Tz,
    /// The job that every tick enqueues anew; an `id` in it begins the ids of the jobs.
    pub job: &'a Value,
    /// What becomes of ticks that fall due while no scheduler runs.
    pub missed: Missed,
}

impl Store {
    /// Adds a schedule; `door` reads its job as it will be read at each tick.
    ///
    /// # Errors
    /// When the expression or the job cannot be understood, the expression names no further tick, or the
    /// ledger cannot be written.
    pub async fn add_schedule(&self, tenant: TenantId, new: &NewSchedule<'_>, door: Door) -> StoreResult<Schedule> {
        let NewSchedule { cron, timezone, job, missed } = *new;
        let refused = StoreError::Refused;
        let expression = CronSchedule::parse(cron, timezone).map_err(|error| refused(error.to_string()))?;
        let now = self.now_ms();
        let next = expression
            .next_after(instant(now))
            .ok_or_else(|| refused(format!("{cron:?} never falls due: no tick lies ahead")))?;
        // The schedule's own number may have any length; the longest stands for it.
        read_job(job, i64::MAX, &next.key(), door).map_err(|problem| refused(format!("the job: {problem}")))?;
        let values = args![
            tenant.0,
            cron,
            timezone.name(),
            job.to_string(),
            missed.to_string(),
            next.key(),
            next.at.timestamp_millis(),
            now
        ];
        let mut tx = self.db.begin().await?;
        let (id,): (i64,) = tx.one(ADD, values).await?;
        self.note_change(&mut tx, tenant, "schedule.add", id).await?;
        tx.commit().await?;
        self.schedule(tenant, id).await
    }

    /// A tenant's schedules in the order of their ids.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn schedules(&self, tenant: TenantId) -> StoreResult<Vec<Schedule>> {
        let rows: Vec<ScheduleRow> = self.db.all(LIST, args![tenant.0]).await?;
        rows.into_iter().map(ScheduleRow::into_schedule).collect()
    }

    /// One schedule of a tenant.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be read.
    pub async fn schedule(&self, tenant: TenantId, id: i64) -> StoreResult<Schedule> {
        let row: Option<ScheduleRow> = self.db.optional(ONE, args![tenant.0, id]).await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "schedule",
            name: id.to_string(),
            hint: ": `kabar schedule list` shows what there is".to_owned(),
        })?;
        row.into_schedule()
    }

    /// Removes a schedule; whether it was there. Jobs that it enqueued stay.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn remove_schedule(&self, tenant: TenantId, id: i64) -> StoreResult<bool> {
        self.change_schedule(tenant, id, "schedule.remove", async |tx| tx.execute(REMOVE, args![tenant.0, id]).await)
            .await
    }

    /// Lets a schedule rest; whether it did not yet. What falls due meanwhile never fires.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be written.
    pub async fn pause_schedule(&self, tenant: TenantId, id: i64) -> StoreResult<bool> {
        self.schedule(tenant, id).await?;
        let values = args![tenant.0, id, self.now_ms()];
        self.change_schedule(tenant, id, "schedule.pause", async |tx| tx.execute(PAUSE, values).await).await
    }

    /// Lets a schedule go on with its next tick from now; whether it rested.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be written.
    pub async fn resume_schedule(&self, tenant: TenantId, id: i64) -> StoreResult<bool> {
        let schedule = self.schedule(tenant, id).await?;
        let (next_tick, next_at) = next_of(&schedule.expression()?, self.now_ms());
        let values = args![tenant.0, id, next_tick, next_at];
        self.change_schedule(tenant, id, "schedule.resume", async |tx| tx.execute(RESUME, values).await).await
    }

    /// Changes a schedule and notes who did; whether there was something to change.
    async fn change_schedule(
        &self,
        tenant: TenantId,
        id: i64,
        action: &'static str,
        change: impl AsyncFnOnce(&mut Tx) -> StoreResult<u64>,
    ) -> StoreResult<bool> {
        let mut tx = self.db.begin().await?;
        let changed = change(&mut tx).await? > 0;
        if changed {
            self.note_change(&mut tx, tenant, action, id).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// The schedules of all tenants that are due at `now` (Unix milliseconds), the longest overdue first, at most
    /// `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn due_schedules(&self, now: i64, limit: u32) -> StoreResult<Vec<Schedule>> {
        let rows: Vec<ScheduleRow> = self.db.all(DUE, args![now, i64::from(limit)]).await?;
        rows.into_iter().map(ScheduleRow::into_schedule).collect()
    }

    /// Fires a schedule that is due: the job of one tick, once, whoever else tries. Of several missed ticks its policy says
    /// which; where each is to fire, it stays due until all have. None where it is not due, where its ticks are skipped,
    /// where somebody else fired it, or where the job can no longer be enqueued and became a dead letter with its reason.
    /// `refused` is such a reason that the caller found.
    ///
    /// # Errors
    /// When the ledger cannot be written; the tick then stays due.
    pub async fn fire_schedule(
        &self,
        schedule: &Schedule,
        door: Door,
        refused: Option<&str>,
    ) -> StoreResult<Option<JobId>> {
        let now = self.now_ms();
        if schedule.next_at > now {
            return Ok(None);
        }
        let expression = schedule.expression()?;
        let (fires, next) = turn(&expression, schedule, now);
        let (next_tick, next_at) =
            next.map_or_else(|| next_of(&expression, now), |next| (next.key(), next.at.timestamp_millis()));
        let mut tx = self.db.begin().await?;
        let values = args![schedule.id, schedule.next_tick.as_str(), schedule.next_at, next_tick, next_at];
        if tx.execute(MOVE_ON, values).await? == 0 {
            return Ok(None);
        }
        let fired = match fires {
            Some(tick) => self.enqueue_tick(&mut tx, schedule, &tick, door, refused).await?,
            None => None,
        };
        tx.commit().await?;
        if fired.is_some() {
            self.wake.ring(Topic::Jobs);
        }
        Ok(fired)
    }

    async fn enqueue_tick(
        &self,
        tx: &mut Tx,
        schedule: &Schedule,
        tick: &str,
        door: Door,
        refused: Option<&str>,
    ) -> StoreResult<Option<JobId>> {
        let problem = match (read_job(&schedule.job, schedule.id, tick, door), refused) {
            (Ok(_), Some(refused)) => refused.to_owned(),
            (Ok(job), None) => match self.enqueue_in(tx, schedule.tenant, &job).await {
                Ok(_) => return Ok(Some(job.id().clone())),
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => error.to_string(),
            },
            (Err(problem), _) => problem,
        };
        let job_key = job_id_text(&schedule.job, schedule.id, tick);
        let body = with_id(&schedule.job, &job_key).to_string();
        let reason = format!("schedule {}: {problem}", schedule.id);
        let letter = NewDeadLetter { line: JOBS_LINE, job_key: Some(&job_key), body: &body, reason: &reason };
        let letter = bury_in(tx, schedule.tenant, letter, self.now_ms()).await?;
        // Not the problem: it may quote a word of the job.
        tracing::warn!(schedule = schedule.id, letter, "a schedule's job is a dead letter: `kabar dead show` says why");
        Ok(None)
    }
}

/// Which tick of a due schedule fires, by its key, and the one after it that is due as well.
fn turn(expression: &CronSchedule, schedule: &Schedule, now: i64) -> (Option<String>, Option<Tick>) {
    let most = if let Missed::CatchUp(most) = schedule.missed { most as usize } else { 1 };
    let mut ticks = latest_ticks(expression, schedule.next_at, now, most).into_iter();
    // A tick that its expression names no more was due all the same: another version read it otherwise.
    let Some(first) = ticks.next() else { return (Some(schedule.next_tick.clone()), None) };
    let late = now - first.at.timestamp_millis() > Missed::LATE_SECONDS * 1_000;
    let skipped = schedule.missed == Missed::Skip && late;
    ((!skipped).then(|| first.key()), ticks.next())
}

/// The latest ticks up to `now` of a schedule that has been due since `due_at`, at most `most` (one at least), the earliest
/// first. In Unix milliseconds.
fn latest_ticks(expression: &CronSchedule, due_at: i64, now: i64, most: usize) -> VecDeque<Tick> {
    let until = instant(now);
    let since = due_at.saturating_sub(1);
    let mut found = VecDeque::new();
    for start in
        LOOK_BACK_SECONDS.map(|seconds| now.saturating_sub(seconds * 1_000).max(since)).into_iter().chain([since])
    {
        found.clear();
        for tick in expression.after(instant(start)).take_while(|tick| tick.at <= until) {
            if found.len() == most {
                found.pop_front();
            }
            found.push_back(tick);
        }
        if found.len() == most || start == since {
            break;
        }
    }
    found
}

/// The key and the instant of the first tick after `now`.
fn next_of(expression: &CronSchedule, now: i64) -> (String, i64) {
    let next = expression.next_after(instant(now));
    next.map_or(("never".to_owned(), NEVER), |next| (next.key(), next.at.timestamp_millis()))
}

fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn job_id_text(job: &Value, schedule_id: i64, tick: &str) -> String {
    match job.get("id") {
        Some(Value::String(prefix)) => format!("{prefix}:{tick}"),
        _ => format!("schedule-{schedule_id}:{tick}"),
    }
}

fn with_id(job: &Value, id: &str) -> Value {
    let mut job = job.clone();
    if let Value::Object(fields) = &mut job {
        fields.insert("id".to_owned(), id.into());
    }
    job
}

/// The job of a tick, or why there is none.
fn read_job(job: &Value, schedule_id: i64, tick: &str, door: Door) -> Result<Job, String> {
    if job.get("id").is_some_and(|id| !id.is_string() && !id.is_null()) {
        return Err("id: must be a text".to_owned());
    }
    let job = with_id(job, &job_id_text(job, schedule_id, tick));
    Job::from_value(job, door, None).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_millis()
    }

    fn latest(cron: &str, due: &str, now: &str) -> Option<String> {
        let expression = CronSchedule::parse(cron, Tz::Asia__Jakarta).unwrap();
        latest_ticks(&expression, ms(due), ms(now), 1).pop_back().map(|tick| tick.key())
    }

    #[test]
    fn of_missed_ticks_the_latest_fires() {
        let due = "2026-11-19T02:00:00Z";
        assert_eq!(latest("0 9 * * *", due, "2026-11-21T05:00:00Z").as_deref(), Some("20261121T0900"));
        assert_eq!(latest("0 9 * * *", due, due).as_deref(), Some("20261119T0900"), "on the very moment");
        assert_eq!(latest("* * * * *", due, "2027-11-19T05:00:30Z").as_deref(), Some("20271119T1200"));
        assert_eq!(latest("0 9 19 11 *", due, "2029-01-01T00:00:00Z").as_deref(), Some("20281119T0900"));
        assert_eq!(latest("0 9 19 11 *", due, "2026-12-01T00:00:00Z").as_deref(), Some("20261119T0900"));
        assert_eq!(latest("*/20 * * * * *", due, "2026-11-19T02:00:45Z").as_deref(), Some("20261119T090040"));
    }

    #[test]
    fn the_latest_ticks_are_bounded_and_in_order() {
        let expression = CronSchedule::parse("0 * * * *", Tz::UTC).unwrap();
        let keys = |due, now, most| -> Vec<String> {
            latest_ticks(&expression, ms(due), ms(now), most).iter().map(Tick::key).collect()
        };
        let (due, now) = ("2026-11-19T02:00:00Z", "2026-11-21T05:30:00Z");
        assert_eq!(keys(due, now, 3), ["20261121T0300", "20261121T0400", "20261121T0500"]);
        assert_eq!(keys("2026-11-21T04:00:00Z", now, 3), ["20261121T0400", "20261121T0500"], "no earlier than due");
        assert_eq!(keys(due, now, 1_000).len(), 52);
    }

    #[test]
    fn a_tick_before_the_schedule_was_due_never_fires() {
        assert_eq!(latest("0 9 * * *", "2026-11-21T02:00:00Z", "2026-11-21T01:00:00Z"), None);
    }

    #[test]
    fn jobs_are_named_after_the_schedule_and_the_tick() {
        let job = json!({"type": "send", "to": "+6281234567890", "content": {"text": "x"}});
        let read = |job: &Value| read_job(job, 7, "20261121T0900", Door::default());
        assert_eq!(read(&job).unwrap().id().as_str(), "schedule-7:20261121T0900");
        assert_eq!(read(&with_id(&job, "rent")).unwrap().id().as_str(), "rent:20261121T0900");
        assert!(read(&with_id(&job, &"x".repeat(128))).unwrap_err().starts_with("id: "));
        let mut numbered = job.clone();
        numbered["id"] = json!(7);
        assert!(read(&numbered).is_err());
    }
}
