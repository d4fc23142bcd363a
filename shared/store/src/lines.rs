//! The lines of the queue, where it lives in the ledger.

use std::time::Duration;

use serde::Serialize;

use crate::{
    Store,
    audience::to_json,
    db::{args, row, statements},
    dialect::TAKE_LINE_ITEMS,
    error::StoreResult,
    jobs::json_list,
};

statements! {
    ANY = "select id from line_items where line = $1 and available_at <= $2 limit 1";
    PUT = "insert into line_items (line, body, available_at)
select $1, value->>'body', $2 from json_each($3) order by key";
    REMOVE = "delete from line_items where id in (select cast(value as bigint) from json_each($1))";
    RELEASE = "update line_items set available_at = $2 where id in (select cast(value as bigint) from json_each($1))";
    READY = "select count(*) from line_items where line = $1 and available_at <= $2";
    PURGE = "delete from line_items where line = $1";
}

row! {
    /// One item taken from a line; it comes back unless it is removed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LineItem {
        /// The item.
        pub id: i64,
        /// What it says.
        pub body: String,
    }
}

#[derive(Serialize)]
struct NewItem<'a> {
    body: &'a str,
}

impl Store {
    /// Puts items into a line; durable when answered.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn put_items(&self, line: &str, bodies: &[String]) -> StoreResult<()> {
        let items: Vec<NewItem<'_>> = bodies.iter().map(|body| NewItem { body }).collect();
        let mut tx = self.db.begin().await?;
        tx.execute(PUT, args![line, self.now_ms(), to_json(&items)?]).await?;
        tx.commit().await
    }

    /// Takes at most `most` items from a line; each comes back after `hidden_for` unless it is removed before.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn take_items(&self, line: &str, most: usize, hidden_for: Duration) -> StoreResult<Vec<LineItem>> {
        let now = self.now_ms();
        let back_at = now + i64::try_from(hidden_for.as_millis()).unwrap_or(i64::MAX / 4);
        // An empty line is looked at without the write lock.
        if self.db.optional::<(i64,), _>(ANY, args![line, now]).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin().await?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut items: Vec<LineItem> = tx.all(TAKE_LINE_ITEMS, args![line, now, most, back_at]).await?;
        tx.commit().await?;
        items.sort_unstable_by_key(|item| item.id);
        Ok(items)
    }

    /// Removes items that were taken: what they asked for is done or written down elsewhere.
    ///
    /// # Errors
    /// When the ledger cannot be written; the items then come back.
    pub async fn remove_items(&self, ids: &[i64]) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(REMOVE, args![json_list(ids)]).await?;
        tx.commit().await
    }

    /// Puts items that were taken back into their line at once.
    ///
    /// # Errors
    /// When the ledger cannot be written; the items then come back by themselves.
    pub async fn release_items(&self, ids: &[i64]) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(RELEASE, args![json_list(ids), self.now_ms()]).await?;
        tx.commit().await
    }

    /// How many items of a line can be taken now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn items_ready(&self, line: &str) -> StoreResult<u64> {
        let row: Option<(i64,)> = self.db.optional(READY, args![line, self.now_ms()]).await?;
        Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// Removes every item of a line.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn purge_items(&self, line: &str) -> StoreResult<u64> {
        let mut tx = self.db.begin().await?;
        let purged = tx.execute(PURGE, args![line]).await?;
        tx.commit().await?;
        Ok(purged)
    }
}
