//! One lease per process: while it holds, what its couriers claimed is theirs; once it ends, the janitor gives it back.

use std::time::Duration;

use crate::{
    Store, Topic, attempts,
    db::{args, statements},
    error::StoreResult,
    outcomes::lock_messages,
};

/// A claimed message starts within seconds. One that has not after this many milliseconds is nobody's, though its lease
/// holds: the claim was committed and the word of it lost, as when the database went away just then. Were it somebody's
/// after all, its start would be refused, and nothing else come of it.
const CLAIM_MOST_MS: i64 = 60_000;

/// No request lasts so long (`courier.request_timeout` ends at 5 minutes), so a message that has been `sending` for longer
/// than this many milliseconds is in nobody's hands, though its lease holds: the start was committed and the word of it
/// lost. An outcome that is told after all is heard.
const SEND_MOST_MS: i64 = 600_000;

/// The most messages that one step of the rescue moves.
const CHUNK: i64 = 1_000;

statements! {
    TAKE = "insert into leases (id, process, workers, started_at, expires_at) values ($1, $2, $3, $4, $5)";
    RENEW = "update leases set expires_at = $2 where id = $1 and expires_at > $3";
    END = "delete from leases where id = $1";
    LIST = "select id, process, workers, started_at, expires_at from leases where expires_at > $1 order by started_at";
    WORKING = "select count(*) from leases where expires_at > $1 and ',' || workers || ',' like '%,' || $2 || ',%'";
    ORPHANS = "select id from messages where state = 'claimed'
  and (not exists (select 1 from leases where leases.id = messages.lease_id and leases.expires_at > $1) or updated_at <= $3)
union all select id from messages where state = 'sending'
  and (not exists (select 1 from leases where leases.id = messages.lease_id and leases.expires_at > $1) or updated_at <= $4)
limit $2";
    GIVE_BACK = "update messages set lease_id = null, updated_at = $2,
  state = case when exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled')
    then 'cancelled' else 'queued' end,
  reason = case when exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled')
    then 'cancelled' else reason end
where id in (select cast(value as bigint) from json_each($1)) and state = 'claimed'
  and (not exists (select 1 from leases where leases.id = messages.lease_id and leases.expires_at > $2) or updated_at <= $3)";
    DOUBT = "update messages set state = 'in_doubt', lease_id = null, updated_at = $2, due_at = $3,
  reason = case when exists (select 1 from leases where leases.id = messages.lease_id and leases.expires_at > $2)
    then 'its worker is at work, and no outcome of the attempt was written down in ten minutes'
    else 'its worker ended between the start of the attempt and its outcome' end
where id in (select cast(value as bigint) from json_each($1)) and state = 'sending'
  and (not exists (select 1 from leases where leases.id = messages.lease_id and leases.expires_at > $2) or updated_at <= $4)";
    HELD = "select (select count(*) from messages where state = 'claimed' and lease_id = $1)
  + (select count(*) from messages where state = 'sending' and lease_id = $1)";
    FORGET = "delete from leases where expires_at < $1";
}

/// The id of a process, random at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId(pub i64);

/// A process at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// What people call it: host and process number.
    pub process: String,
    /// The workers that it runs.
    pub workers: Vec<String>,
    /// Since when, in Unix milliseconds.
    pub started_at: i64,
    /// Until when, in Unix milliseconds, unless it is renewed.
    pub expires_at: i64,
}

impl Store {
    /// Takes a lease for this process, under a fresh random id.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn take_lease(&self, process: &str, workers: &[&str], length: Duration) -> StoreResult<Lease> {
        let started_at = self.now_ms();
        let id = LeaseId(fastrand::i64(1..i64::MAX));
        let expires_at = started_at + i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4);
        let mut tx = self.db.begin().await?;
        // A lease that ended is kept for a while: it says who held what.
        tx.execute(FORGET, args![started_at - 3_600_000]).await?;
        tx.execute(TAKE, args![id.0, process, workers.join(","), started_at, expires_at]).await?;
        tx.commit().await?;
        let workers = workers.iter().map(|worker| (*worker).to_owned()).collect();
        Ok(Lease { id, process: process.to_owned(), workers, started_at, expires_at })
    }

    /// Renews a lease that has not ended; the time until which it now holds, or none where it ended.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn renew_lease(&self, id: LeaseId, length: Duration) -> StoreResult<Option<i64>> {
        // Clocks drift and are set while processes run.
        self.set_clock().await?;
        let now = self.now_ms();
        let until = now + i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4);
        let mut tx = self.db.begin().await?;
        let renewed = tx.execute(RENEW, args![id.0, until, now]).await?;
        tx.commit().await?;
        Ok((renewed == 1).then_some(until))
    }

    /// Ends a lease at shutdown; what it still holds is rescued at once.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn end_lease(&self, id: LeaseId) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(END, args![id.0]).await?;
        tx.commit().await
    }

    /// How many messages a lease holds: claimed or being sent.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn held(&self, id: LeaseId) -> StoreResult<u64> {
        let row: Option<(i64,)> = self.db.optional(HELD, args![id.0]).await?;
        Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// The processes at work.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn leases(&self) -> StoreResult<Vec<Lease>> {
        let rows: Vec<(i64, String, String, i64, i64)> = self.db.all(LIST, args![self.now_ms()]).await?;
        Ok(rows
            .into_iter()
            .map(|(id, process, workers, started_at, expires_at)| Lease {
                id: LeaseId(id),
                process,
                workers: workers.split(',').map(str::to_owned).collect(),
                started_at,
                expires_at,
            })
            .collect())
    }

    /// Whether a worker of this kind lives anywhere.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn worker_lives(&self, worker: &str) -> StoreResult<bool> {
        let row: Option<(i64,)> = self.db.optional(WORKING, args![self.now_ms(), worker]).await?;
        Ok(row.is_some_and(|(count,)| count > 0))
    }

    /// Takes from ended processes what they held: claimed messages wait again with nothing spent, started ones are in
    /// doubt until `grace` is over. So does what was claimed a minute ago and never started, and what was started ten minutes
    /// ago and has no outcome. Gives how many of each.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn rescue(&self, grace: Duration) -> StoreResult<(u64, u64)> {
        let now = self.now_ms();
        let orphans: Vec<(i64,)> =
            self.db.all(ORPHANS, args![now, CHUNK, now - CLAIM_MOST_MS, now - SEND_MOST_MS]).await?;
        if orphans.is_empty() {
            return Ok((0, 0));
        }
        let ids: Vec<i64> = orphans.into_iter().map(|(id,)| id).collect();
        let until = now + i64::try_from(grace.as_millis()).unwrap_or(i64::MAX / 4);
        let mut tx = self.db.begin().await?;
        // Whoever is just starting one of them is waited for, so that its attempt is seen below.
        lock_messages(&mut tx, ids.iter().copied()).await?;
        attempts::write_open(&mut tx, &ids).await?;
        let ids = crate::jobs::json_list(&ids);
        let given_back = tx.execute(GIVE_BACK, args![ids.as_str(), now, now - CLAIM_MOST_MS]).await?;
        let moved = (given_back, tx.execute(DOUBT, args![ids, now, until, now - SEND_MOST_MS]).await?);
        tx.commit().await?;
        if moved.0 > 0 {
            self.wake.ring(Topic::Messages);
        }
        Ok(moved)
    }
}
