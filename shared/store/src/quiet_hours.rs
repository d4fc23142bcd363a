//! Messages that still wait when their recipient's quiet hours begin wait on until those end.
//!
//! The planner leaves out what is due within quiet hours from the start. What it planned for the day may be delayed by a
//! backlog, a throttle or a pause: each message that quiet hours are for carries the time at which the next begin, and is
//! moved on a minute before. Couriers look for nothing of it.

use chrono::DateTime;
use kabar_domain::category::Category;
use serde::Serialize;

use crate::{
    Store,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::StoreResult,
    outcomes::lock_messages,
    plan::{QUIET_HOURS, zone_of},
};

/// So long before quiet hours nothing new is begun, so that what is under way is over when they begin: a claim that is not
/// started for a minute is taken back.
const AHEAD_MS: i64 = 60_000;

statements! {
    NEAR = "select id from messages where state = 'queued' and quiet_at is not null and quiet_at <= $1 limit 1";
    FIRST = "select m.id, m.due_at, m.quiet_at, j.category, r.phone, r.timezone
from messages m join jobs j on j.id = m.job_id join recipients r on r.id = m.recipient_id
where m.state = 'queued' and m.quiet_at is not null and m.quiet_at <= $1
order by m.quiet_at, m.due_at, m.id limit $2";
    MOVE = "update messages set due_at = change.due, quiet_at = change.quiet, reason = coalesce(change.reason, messages.reason),
  updated_at = $2
from (select cast(value->>'id' as bigint) as id, cast(value->>'due' as bigint) as due,
    cast(value->>'quiet' as bigint) as quiet, value->>'reason' as reason from json_each($1)) change
where messages.id = change.id and messages.state = 'queued'";
}

row! {
    struct QuietRow {
        id: i64,
        due_at: i64,
        quiet_at: i64,
        category: Option<String>,
        phone: String,
        timezone: Option<String>,
    }
}

#[derive(Serialize)]
struct Change {
    id: i64,
    due: i64,
    quiet: Option<i64>,
    reason: Option<&'static str>,
}

impl Store {
    /// Moves on what waits though its recipient's quiet hours begin within a minute, at most `limit`, the first to be sent
    /// first. How many messages were looked at.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn keep_quiet_hours(&self, limit: u32) -> StoreResult<u64> {
        let now = self.now_ms();
        if self.db.optional::<(i64,), _>(NEAR, args![now + AHEAD_MS]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let count = self.keep_quiet_hours_in(&mut tx, limit).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// [`Store::keep_quiet_hours`] in a transaction that has made messages due.
    pub(crate) async fn keep_quiet_hours_in(&self, tx: &mut Tx, limit: u32) -> StoreResult<u64> {
        let now = self.now_ms();
        let rows: Vec<QuietRow> = tx.all(FIRST, args![now + AHEAD_MS, i64::from(limit)]).await?;
        lock_messages(tx, rows.iter().map(|row| row.id)).await?;
        let changes: Vec<Change> = rows.into_iter().map(|row| self.change_of(row, now)).collect();
        tx.execute(MOVE, args![to_json(&changes)?, now]).await?;
        Ok(changes.len() as u64)
    }

    fn change_of(&self, row: QuietRow, now: i64) -> Change {
        let category: Option<Category> = row.category.and_then(|category| category.parse().ok());
        // One that was exempt never carries a time.
        let hours = category.and_then(|category| self.rules.quiet_hours(category, false));
        // When it would leave at the earliest: not before those quiet hours have begun.
        let at = row.due_at.max(row.quiet_at).max(now);
        match hours.zip(DateTime::from_timestamp_millis(at)) {
            Some((hours, at)) => {
                let daytime = hours.daytime(at, zone_of(&self.rules, row.timezone.as_deref(), &row.phone));
                let held = daytime.due > at;
                Change {
                    id: row.id,
                    due: if held { daytime.due.timestamp_millis() } else { row.due_at },
                    quiet: Some(daytime.quiet_from.timestamp_millis()),
                    reason: held.then_some(QUIET_HOURS),
                }
            }
            None => Change { id: row.id, due: row.due_at, quiet: None, reason: None },
        }
    }
}
