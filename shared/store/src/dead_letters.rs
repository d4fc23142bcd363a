//! Work that cannot go on, kept with its body and the reason: nothing is dropped and no line is blocked.

use std::fmt;

use kabar_domain::job::Job;

use crate::{
    Enqueued, Store, TenantId, Topic,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
    jobs::json_list,
};

statements! {
    BURY = "insert into dead_letters (tenant_id, line, job_key, body, reason, created_at) values ($1, $2, $3, $4, $5, $6)
returning id";
    LIST = "select id, line, job_key, body, reason, created_at from dead_letters
where tenant_id = $1 and id > $2 and line = coalesce($4, line) and (cast($5 as text) is null or job_key = $5)
  and lower(reason) like lower(coalesce($6, '%')) escape '!'
order by id limit $3";
    ONE = "select id, line, job_key, body, reason, created_at from dead_letters where tenant_id = $1 and id = $2";
    TAKE = "delete from dead_letters where tenant_id = $1 and id = $2 returning id";
    DROP = "delete from dead_letters
where tenant_id = $1 and id in (select cast(value as bigint) from json_each($2)) returning id";
    COUNT = "select count(*) from dead_letters where tenant_id = $1";
}

row! {
    /// Work that cannot go on.
    #[derive(Clone, PartialEq, Eq)]
    pub struct DeadLetter {
        /// The ledger's id.
        pub id: i64,
        /// The line that it came by.
        pub line: String,
        /// The id that it had at the door: its own, or its message's at the broker.
        pub job_key: Option<String>,
        /// What it was, as it came.
        pub body: String,
        /// Why it cannot go on.
        pub reason: String,
        /// Since when it lies here, in Unix milliseconds.
        pub created_at: i64,
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id)
            .field("line", &self.line)
            .field("job_key", &self.job_key)
            .field("reason", &self.reason)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// Work that is about to be buried.
#[derive(Debug, Clone, Copy)]
pub struct NewDeadLetter<'a> {
    /// The line that it came by.
    pub line: &'a str,
    /// The id that it had at the door.
    pub job_key: Option<&'a str>,
    /// What it was, as it came.
    pub body: &'a str,
    /// Why it cannot go on.
    pub reason: &'a str,
}

/// Which dead letters are meant; what is none leaves all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Those that came by this line.
    pub line: Option<String>,
    /// Those that had this id at the door: a job's, and so a broadcast's or a reminder's.
    pub job_key: Option<String>,
    /// Those whose reason holds this text, in capitals or not.
    pub reason: Option<String>,
}

impl Store {
    /// Keeps work that cannot go on; its id.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn bury(&self, tenant: TenantId, letter: NewDeadLetter<'_>) -> StoreResult<i64> {
        let mut tx = self.db.begin().await?;
        let id = bury_in(&mut tx, tenant, letter, self.now_ms()).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A tenant's dead letters in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn dead_letters(
        &self,
        tenant: TenantId,
        filter: &DeadLetterFilter,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetter>> {
        let reason = filter.reason.as_deref().map(holds);
        let values =
            args![tenant.0, after, i64::from(limit), filter.line.as_deref(), filter.job_key.as_deref(), reason];
        self.db.all(LIST, values).await
    }

    /// One dead letter.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be read.
    pub async fn dead_letter(&self, tenant: TenantId, id: i64) -> StoreResult<DeadLetter> {
        let letter: Option<DeadLetter> = self.db.optional(ONE, args![tenant.0, id]).await?;
        letter.ok_or_else(|| no_letter(id))
    }

    /// Enqueues what a dead letter was and forgets the letter, in one transaction: either both hold or neither.
    ///
    /// # Errors
    /// When the letter is gone, the job is refused as [`Store::enqueue`] refuses it, or the ledger cannot be written; the
    /// letter then stays.
    pub async fn retry_dead_letter(&self, tenant: TenantId, id: i64, job: &Job) -> StoreResult<Enqueued> {
        let mut tx = self.db.begin().await?;
        // Taken first: of two who retry it, the other finds it gone.
        tx.optional::<(i64,), _>(TAKE, args![tenant.0, id]).await?.ok_or_else(|| no_letter(id))?;
        let enqueued = self.enqueue_in(&mut tx, tenant, job).await?;
        self.note_change(&mut tx, tenant, "dead.retry", id).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Jobs);
        Ok(enqueued)
    }

    /// Forgets dead letters; the ids of those that were there.
    ///
    /// # Errors
    /// When the ledger cannot be written; then all stay.
    pub async fn drop_dead_letters(&self, tenant: TenantId, ids: &[i64]) -> StoreResult<Vec<i64>> {
        let mut tx = self.db.begin().await?;
        let dropped: Vec<(i64,)> = tx.all(DROP, args![tenant.0, json_list(ids)]).await?;
        let mut dropped: Vec<i64> = dropped.into_iter().map(|(id,)| id).collect();
        self.note_changes(&mut tx, tenant, "dead.drop", &dropped).await?;
        tx.commit().await?;
        dropped.sort_unstable();
        Ok(dropped)
    }

    /// How many dead letters a tenant has.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn count_dead_letters(&self, tenant: TenantId) -> StoreResult<i64> {
        let count: Option<(i64,)> = self.db.optional(COUNT, args![tenant.0]).await?;
        Ok(count.map_or(0, |(count,)| count))
    }
}

/// Keeps work that cannot go on, in the transaction that gives it up.
pub(crate) async fn bury_in(tx: &mut Tx, tenant: TenantId, letter: NewDeadLetter<'_>, now: i64) -> StoreResult<i64> {
    let NewDeadLetter { line, job_key, body, reason } = letter;
    let (id,): (i64,) = tx.one(BURY, args![tenant.0, line, job_key, body, reason, now]).await?;
    Ok(id)
}

/// A pattern for texts that hold `text`, whose own signs mean themselves.
fn holds(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn no_letter(id: i64) -> StoreError {
    StoreError::NotFound {
        what: "dead letter",
        name: id.to_string(),
        hint: ": `kabar dead list` shows what there is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_patterns_mean_themselves() {
        assert_eq!(holds("100 %_!"), "%100 !%!_!!%");
    }
}
