//! Work that cannot go on, kept with its body and the reason: nothing is dropped and no line is blocked.

use std::fmt;

use crate::{
    Store, TenantId,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
};

statements! {
    BURY = "insert into dead_letters (tenant_id, line, body, reason, created_at) values ($1, $2, $3, $4, $5)
returning id";
    LIST = "select id, line, body, reason, created_at from dead_letters
where tenant_id = $1 and id > $2 order by id limit $3";
    ONE = "select id, line, body, reason, created_at from dead_letters where id = $1";
    DROP = "delete from dead_letters where id = $1";
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
            .field("reason", &self.reason)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Keeps work that cannot go on; its id.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn bury(&self, tenant: TenantId, line: &str, body: &str, reason: &str) -> StoreResult<i64> {
        let mut tx = self.db.begin().await?;
        let id = bury_in(&mut tx, tenant, line, body, reason, self.now_ms()).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A tenant's dead letters in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn dead_letters(&self, tenant: TenantId, after: i64, limit: u32) -> StoreResult<Vec<DeadLetter>> {
        self.db.all(LIST, args![tenant.0, after, i64::from(limit)]).await
    }

    /// One dead letter.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be read.
    pub async fn dead_letter(&self, id: i64) -> StoreResult<DeadLetter> {
        let letter: Option<DeadLetter> = self.db.optional(ONE, args![id]).await?;
        letter.ok_or_else(|| StoreError::NotFound {
            what: "dead letter",
            name: id.to_string(),
            hint: ": `kabar dead list` shows what there is".to_owned(),
        })
    }

    /// Forgets a dead letter; whether it was there.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn drop_dead_letter(&self, id: i64) -> StoreResult<bool> {
        let mut tx = self.db.begin().await?;
        let dropped = tx.execute(DROP, args![id]).await?;
        tx.commit().await?;
        Ok(dropped > 0)
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
pub(crate) async fn bury_in(
    tx: &mut Tx,
    tenant: TenantId,
    line: &str,
    body: &str,
    reason: &str,
    now: i64,
) -> StoreResult<i64> {
    // Postgres takes no NUL in a text, and what came may be anything.
    let values = args![tenant.0, line, body.replace('\0', "\u{fffd}"), reason.replace('\0', "\u{fffd}"), now];
    let (id,): (i64,) = tx.one(BURY, values).await?;
    Ok(id)
}
