//! What people do to broadcasts and reminders: pause, resume, cancel, retry.
//!
//! All of it wins over couriers until an attempt's start is committed: messages are taken out of their hands in the
//! same transaction that notes what the person said.

use super::{
    BroadcastState, CANCEL_CLAIMED, CANCEL_FEW, CANCEL_JOB, CANCEL_QUEUED, CONTROL, FAILED, GIVE_BACK, HELD, RETRY,
    WAITING, derived,
};
use crate::{
    Store, TenantId, Topic,
    db::{Tx, args},
    error::{StoreError, StoreResult},
    jobs::{JobRow, json_list},
    lanes::lane,
    outcomes::lock_messages,
};

/// The most messages that one transaction of a sweep writes, so that couriers get their turn in between.
const CHUNK: i64 = 5_000;

/// Why the messages of a cancelled broadcast ended.
const BROADCAST_CANCELLED: &str = "broadcast_cancelled";

impl Store {
    /// Pauses a broadcast; what couriers hold of it goes back. Pausing one that is paused changes nothing.
    ///
    /// # Errors
    /// When there is none of the id, it is over, or the ledger cannot be written.
    pub async fn pause_broadcast(&self, tenant: TenantId, key: &str) -> StoreResult<()> {
        let row = self.broadcast_row(tenant, key).await?;
        self.refuse_if_over(&row, "paused").await?;
        let mut tx = self.db.begin().await?;
        tx.execute(CONTROL, args![row.id, "running", "paused"]).await?;
        let held = lock_held(&mut tx, row.id).await?;
        tx.execute(GIVE_BACK, args![held, self.now_ms()]).await?;
        self.note_change(&mut tx, tenant, "broadcast.pause", key).await?;
        tx.commit().await
    }

    /// Lets a paused broadcast go on. Resuming one that is not paused changes nothing.
    ///
    /// # Errors
    /// When there is none of the id, it is over, or the ledger cannot be written.
    pub async fn resume_broadcast(&self, tenant: TenantId, key: &str) -> StoreResult<()> {
        let row = self.broadcast_row(tenant, key).await?;
        self.refuse_if_over(&row, "resumed").await?;
        let mut tx = self.db.begin().await?;
        tx.execute(CONTROL, args![row.id, "paused", "running"]).await?;
        self.note_change(&mut tx, tenant, "broadcast.resume", key).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Jobs);
        self.wake.ring(Topic::Messages);
        Ok(())
    }

    /// Cancels a broadcast: from the first commit on nothing of it is started, then what waits is ended step by step.
    /// How many messages were ended. Cancelling again goes on where it stopped.
    ///
    /// # Errors
    /// When there is none of the id, it has completed, or the ledger cannot be written.
    pub async fn cancel_broadcast(&self, tenant: TenantId, key: &str) -> StoreResult<u64> {
        let row = self.broadcast_row(tenant, key).await?;
        if row.control != "cancelled" {
            self.refuse_if_over(&row, "cancelled").await?;
        }
        let lane = self.lane_of(&row).await?;
        let mut tx = self.db.begin().await?;
        tx.execute(CANCEL_JOB, args![row.id]).await?;
        let held = lock_held(&mut tx, row.id).await?;
        self.note_change(&mut tx, tenant, "broadcast.cancel", key).await?;
        let mut cancelled = tx.execute(CANCEL_CLAIMED, args![held, self.now_ms(), BROADCAST_CANCELLED]).await?;
        tx.commit().await?;
        loop {
            let values = args![row.sender_id, lane, CHUNK, self.now_ms(), BROADCAST_CANCELLED];
            let mut tx = self.db.begin().await?;
            let swept = tx.execute(CANCEL_QUEUED, values).await?;
            tx.commit().await?;
            cancelled += swept;
            if swept == 0 {
                break;
            }
        }
        let mut tx = self.db.begin().await?;
        crate::budgets::forget_promises(&mut tx, row.sender_id).await?;
        tx.commit().await?;
        Ok(cancelled)
    }

    /// Lets the failed messages of a broadcast be tried anew, but for those whose time has run out. How many.
    ///
    /// # Errors
    /// When there is none of the id, it was cancelled, or the ledger cannot be written; what was put back by then stays
    /// so.
    pub async fn retry_failed(&self, tenant: TenantId, key: &str) -> StoreResult<u64> {
        let row = self.broadcast_row(tenant, key).await?;
        if row.control == "cancelled" {
            return Err(over(&row.job_key, BroadcastState::Cancelled, "retried"));
        }
        let mut retried = 0;
        let mut after = (-1, -1);
        loop {
            let now = self.now_ms();
            let mut tx = self.db.begin().await?;
            let failed: Vec<(i64, i64, i64)> = tx.all(FAILED, args![row.id, after.0, after.1, now, CHUNK]).await?;
            let Some(&(_, recipient, part)) = failed.last() else { break };
            after = (recipient, part);
            let ids: Vec<i64> = failed.into_iter().map(|(id, ..)| id).collect();
            if retried == 0 {
                self.note_change(&mut tx, tenant, "broadcast.retry", key).await?;
            }
            retried += tx.execute(RETRY, args![json_list(&ids), now]).await?;
            tx.commit().await?;
        }
        self.wake.ring(Topic::Messages);
        Ok(retried)
    }

    /// Cancels what has not left of a reminder or a single send, because of `reason`, such as `paid`. How many messages
    /// were ended. Cancelling again changes nothing.
    ///
    /// # Errors
    /// When there is none of the id, it is a broadcast, or the ledger cannot be written.
    pub async fn cancel_reminder(&self, tenant: TenantId, key: &str, reason: &str) -> StoreResult<u64> {
        let row = self.job_row(tenant, key, None).await?.ok_or_else(|| StoreError::NotFound {
            what: "reminder",
            name: key.to_owned(),
            hint: ": `kabar reminder list` shows what there is".to_owned(),
        })?;
        if row.kind == "broadcast" {
            let problem = format!("{key} is a broadcast: cancel it with `kabar broadcast cancel {key}`");
            return Err(StoreError::Refused(problem));
        }
        let mut tx = self.db.begin().await?;
        tx.execute(CANCEL_JOB, args![row.id]).await?;
        let cancelled = tx.execute(CANCEL_FEW, args![row.id, self.now_ms(), reason]).await?;
        let action = if reason == "paid" { "reminder.paid" } else { "job.cancel" };
        self.note_change(&mut tx, tenant, action, key).await?;
        tx.commit().await?;
        Ok(cancelled)
    }

    async fn lane_of(&self, row: &JobRow) -> StoreResult<i64> {
        Ok(lane(self.job(row.id).await?.priority(), Some(row.id)))
    }

    async fn refuse_if_over(&self, row: &JobRow, done: &str) -> StoreResult<()> {
        // Counting walks through all its messages, and who pauses a broadcast is in a hurry: one that waits is enough.
        if row.control != "cancelled" {
            let waiting = args![row.sender_id, self.lane_of(row).await?];
            if row.state != "planned" || self.db.optional::<(i64,), _>(WAITING, waiting).await?.is_some() {
                return Ok(());
            }
        }
        let counts = self.job_counts(row.id).await?;
        match derived(&row.control, &row.state, &counts) {
            state @ (BroadcastState::Completed | BroadcastState::Cancelled) => Err(over(&row.job_key, state, done)),
            BroadcastState::Planning | BroadcastState::Running | BroadcastState::Paused => Ok(()),
        }
    }
}

/// What couriers hold of a job, as a list of ids, locked in the order in which they lock what they start: so no two
/// transactions wait for each other. What is being claimed just now is refused when it is to be started.
async fn lock_held(tx: &mut Tx, job_id: i64) -> StoreResult<String> {
    let held: Vec<(i64,)> = tx.all(HELD, args![job_id]).await?;
    let held: Vec<i64> = held.into_iter().map(|(id,)| id).collect();
    lock_messages(tx, held.iter().copied()).await?;
    Ok(json_list(&held))
}

fn over(key: &str, state: BroadcastState, done: &str) -> StoreError {
    let state = state.as_str();
    StoreError::Refused(format!(
        "broadcast {key} is {state} and cannot be {done}: `kabar broadcast show {key}` says how it went"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_it_is_and_where_to_look() {
        let refusal = over("d", BroadcastState::Completed, "resumed").to_string();
        assert_eq!(
            refusal,
            "broadcast d is completed and cannot be resumed: `kabar broadcast show d` says how it went"
        );
    }
}
