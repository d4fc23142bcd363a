//! How far the ends of broadcasts that were foreseen were off.
//!
//! What was foreseen once all of a broadcast was planned is kept in its row until it has ended. Whoever takes it out of
//! there tells of the error: so it is told once, and nobody needs to lead.

use super::forecast::Waiting;
use crate::{
    Store,
    db::{args, row, statements},
    error::StoreResult,
};

statements! {
    BROADCAST = "select sender_id from jobs where id = $1 and kind = 'broadcast' and control = 'running'";
    /// A broadcast has one lane, of one of three priorities.
    WAITING = "select count(*) as messages, min(due_at) as first_due, max(due_at) as last_due from messages
where state = 'queued' and sender_id = $1 and lane in ($2, $2 + 72057594037927936, $2 + 144115188075855872)";
    NOTE = "update jobs set foreseen_end = $2 where id = $1 and foreseen_end is null";
    /// Of those that a person stopped nothing could be foreseen.
    ENDED = "select jobs.id, jobs.foreseen_end,
  cast(case when jobs.control = 'running' and senders.state = 'active' then 1 else 0 end as bigint) as went_on
from jobs join senders on senders.id = jobs.sender_id
where jobs.foreseen_end is not null and (jobs.control <> 'running' or senders.state <> 'active' or (
  not exists (select 1 from messages where state = 'queued' and sender_id = jobs.sender_id
    and lane in (jobs.id, jobs.id + 72057594037927936, jobs.id + 144115188075855872))
  and not exists (select 1 from messages where state = 'claimed' and +job_id = jobs.id)))
order by jobs.id limit $1";
    TAKE_OUT = "update jobs set foreseen_end = null where id = $1 and foreseen_end = $2";
}

row! {
    struct WaitingRow {
        messages: i64,
        first_due: Option<i64>,
        last_due: Option<i64>,
    }
}

row! {
    struct EndedRow {
        id: i64,
        foreseen_end: i64,
        went_on: i64,
    }
}

impl Store {
    /// Keeps when the last message of a broadcast (the ledger's id of its job) is to leave by what is known now, for
    /// [`Store::errors_of_foreseen_ends`]. Nothing where that cannot be foreseen, or the job is no broadcast.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub async fn foresee_end(&self, job_id: i64) -> StoreResult<()> {
        let Some((sender_id,)) = self.db.optional::<(i64,), _>(BROADCAST, args![job_id]).await? else { return Ok(()) };
        let waiting: Option<WaitingRow> = self.db.optional(WAITING, args![sender_id, job_id]).await?;
        let (Some(waiting), Some(sender)) = (waiting, self.forecasts(&[sender_id]).await?.remove(&sender_id)) else {
            return Ok(());
        };
        let waiting = Waiting {
            messages: waiting.messages.unsigned_abs(),
            not_before: waiting.first_due.unwrap_or(0),
            last_due: waiting.last_due.unwrap_or(0),
            ahead: sender.ahead_of_job(job_id),
        };
        let Some(end) = sender.last_departure(waiting, self.now_ms()) else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        tx.execute(NOTE, args![job_id, end]).await?;
        tx.commit().await
    }

    /// For each broadcast that has ended since the last look, at most `limit`: by how many milliseconds it was later than
    /// foreseen; less than nothing: earlier. An end is when nothing of it waits or is claimed. Those that a person stopped
    /// meanwhile, or whose sender does not send, are left out.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub async fn errors_of_foreseen_ends(&self, limit: u32) -> StoreResult<Vec<i64>> {
        let ended: Vec<EndedRow> = self.db.all(ENDED, args![i64::from(limit)]).await?;
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now_ms();
        let mut errors = Vec::new();
        let mut tx = self.db.begin().await?;
        for broadcast in ended {
            let is_ours = tx.execute(TAKE_OUT, args![broadcast.id, broadcast.foreseen_end]).await? > 0;
            if is_ours && broadcast.went_on > 0 {
                errors.push(now - broadcast.foreseen_end);
            }
        }
        tx.commit().await?;
        Ok(errors)
    }
}
