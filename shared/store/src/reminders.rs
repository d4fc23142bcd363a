//! Moving a reminder to another due date.
//!
//! A move is one transaction: what has not left is cancelled, and the messages for the new date are written beside it, so
//! that the ledger still shows what was said when. What is being sent at that moment leaves; should it come back, its time
//! has run out. The job keeps the identity that it had when it was enqueued: that body under its id is the same job for
//! good, however often it was moved.

use chrono::{DateTime, NaiveDate, Utc};
use kabar_domain::{
    content::{Content, Params},
    job::{Job, ReminderJob},
    reminder::{PlannedReminder, plan},
};

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    db::{args, statements},
    error::{StoreError, StoreResult},
    plan::{Chunk, PlannedJob},
};

/// Why messages end that were for a due date which holds no more.
const MOVED: &str = "moved";

statements! {
    JOB = "select id, tenant_id, body, sender_id, control, cursor, created_at from jobs
where tenant_id = $1 and job_key = $2 and kind = 'reminder'";
    /// Nobody paid, cancelled or moved it since it was read.
    CHANGE_BODY = "update jobs set body = $3 where id = $1 and body = $2 and control = 'running'
returning state";
    CANCEL = "update messages set state = 'cancelled', reason = $3, lease_id = null, updated_at = $2
where job_id = $1 and state in ('queued', 'claimed')";
    OUTDATE = "update messages set expires_at = $2 where job_id = $1 and state in ('sending', 'in_doubt')";
    LATEST_PART = "select max(part) from messages where job_id = $1";
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq)]
pub struct MovedReminder {
    /// The reminder as it is now.
    pub reminder: ReminderJob,
    /// How many messages were taken back.
    pub cancelled: u64,
    /// What will be sent for the new date, the earliest first.
    pub planned: Vec<PlannedReminder>,
}

impl Store {
    /// Moves a reminder to another due date: what has not left is cancelled, and each offset that still lies ahead of the
    /// new date gets a message, also where one of the old date's was sent. `params` takes the place of its template's
    /// values where given. A reminder that stands there already, with these values, is left as it is.
    ///
    /// # Errors
    /// When there is none of the id, it was paid or cancelled, its content takes no `params`, or the ledger cannot be
    /// written.
    pub async fn move_reminder(
        &self,
        tenant: TenantId,
        key: &str,
        due: NaiveDate,
        params: Option<Params>,
    ) -> StoreResult<MovedReminder> {
        let row: Option<PlannedJob> = self.db.optional(JOB, args![tenant.0, key]).await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "reminder",
            name: key.to_owned(),
            hint: ": `kabar reminder list` shows what there is".to_owned(),
        })?;
        let Job::Reminder(before) = self.open_job(row.body.clone())? else {
            return Err(StoreError::unreadable("a job", "it is no reminder"));
        };
        if row.control != "running" {
            return Err(over(key));
        }
        let reminder = changed(&before, due, params)?;
        let now = self.now_ms();
        let now_at = DateTime::<Utc>::from_timestamp_millis(now).unwrap_or_default();
        let ahead = |since| plan(due, &reminder.before, reminder.at, reminder.timezone, since);
        if reminder == before {
            return Ok(MovedReminder { planned: ahead(now_at), reminder, cancelled: 0 });
        }
        let body = self.sealer.seal(to_json(&Job::Reminder(reminder.clone()))?)?;
        let mut tx = self.db.begin().await?;
        let state: Option<(String,)> = tx.optional(CHANGE_BODY, args![row.id, row.body.as_str(), body]).await?;
        let Some((state,)) = state else { return Err(over(key)) };
        self.note_change(&mut tx, tenant, "reminder.move", key).await?;
        if state != "planned" {
            // Its messages come from the new body.
            tx.commit().await?;
            let enqueued_at = DateTime::<Utc>::from_timestamp_millis(row.created_at).unwrap_or_default();
            return Ok(MovedReminder { planned: ahead(enqueued_at), reminder, cancelled: 0 });
        }
        let cancelled = tx.execute(CANCEL, args![row.id, now, MOVED]).await?;
        tx.execute(OUTDATE, args![row.id, now]).await?;
        let (latest,): (Option<i64>,) = tx.one(LATEST_PART, args![row.id]).await?;
        let moves = latest.map_or(0, |part| kabar_domain::reminder::Part::of(part).moves + 1);
        let chunk: Chunk = self.plan_reminder(&mut tx, &row, &reminder, moves, now_at).await?;
        let job = Job::Reminder(reminder.clone());
        self.write_chunk(&mut tx, &row, &job, &chunk).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(MovedReminder { planned: ahead(now_at), reminder, cancelled })
    }
}

fn changed(before: &ReminderJob, due: NaiveDate, params: Option<Params>) -> StoreResult<ReminderJob> {
    let mut reminder = ReminderJob { due, ..before.clone() };
    if let Some(params) = params {
        let Content::Template(template) = &mut reminder.content else {
            return Err(StoreError::Refused("only a template takes params; cancel it and make another".to_owned()));
        };
        template.params = params;
    }
    let checked = reminder.content.due_on(due).check_filled();
    checked.map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(reminder)
}

fn over(key: &str) -> StoreError {
    StoreError::Refused(format!(
        "reminder {key} was paid, cancelled or changed meanwhile and cannot be moved: `kabar reminder show {key}` says \
         how it stands"
    ))
}
