//! What a machine whose clock was far ahead left behind: it holds until that time comes, which may be years.
//!
//! Clocks that differ by seconds are none of this: leases and waits allow for them.

use super::{Gap, Repaired};
use crate::{
    Store,
    db::{args, statements},
    error::StoreResult,
};

/// Nothing that is looked at here is ever noted further ahead than minutes; an hour, in milliseconds.
const FAR_MS: i64 = 3_600_000;

/// The most leases that are remembered from one walk to the next.
const MOST_LEASES: i64 = 100;

statements! {
    FAR_LEASES = "select id, expires_at from leases where expires_at > $1 order by id limit $2";
    /// One that was renewed meanwhile has another end.
    END_LEASE = "update leases set expires_at = $3 where id = $1 and expires_at = $2";
    LOOK = "select (select count(*) from pace where ticketed_until > $1 or rate_changed_at > $1),
  (select count(*) from line_items where available_at > $1),
  (select count(*) from senders where not exists (select 1 from pace where pace.sender_id = senders.id))";
    PACE_NOW = "update pace set ticketed_until = case when ticketed_until > $2 then $1 else ticketed_until end,
  rate_changed_at = case when rate_changed_at > $2 then $1 else rate_changed_at end
where ticketed_until > $2 or rate_changed_at > $2";
    ITEMS_NOW = "update line_items set available_at = $1 where available_at > $2";
    ADD_PACE = "insert into pace (sender_id, next_slot_us, clock_us, rate_changed_at, parked_until, park_streak,
  ticketed_until)
select id, 0, 0, 0, 0, 0, 0 from senders where not exists (select 1 from pace where pace.sender_id = senders.id)
on conflict (sender_id) do nothing";
}

impl Store {
    /// The leases whose end lies far ahead.
    pub(super) async fn far_leases(&self, now: i64) -> StoreResult<Vec<(i64, i64)>> {
        self.db.all(FAR_LEASES, args![now.saturating_add(FAR_MS), MOST_LEASES]).await
    }

    /// Ends leases of `known` that are as they were at the last walk, and brings back what is noted far ahead. A lease is
    /// not ended at first sight: it might be this clock that is behind, and a living process renews its lease.
    pub(super) async fn repair_clocks(&self, known: &[(i64, i64)], repaired: &mut Repaired) -> StoreResult<()> {
        let now = self.now_ms();
        let far = now.saturating_add(FAR_MS);
        let looked: Option<(i64, i64, i64)> = self.db.optional(LOOK, args![far]).await?;
        let nothing_else = looked.is_none_or(|counts| counts == (0, 0, 0));
        if known.is_empty() && nothing_else {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for &(lease, end) in known {
            repaired.note(Gap::EndlessLease, tx.execute(END_LEASE, args![lease, end, now]).await?);
        }
        if !nothing_else {
            repaired.note(Gap::AheadOfTime, tx.execute(PACE_NOW, args![now, far]).await?);
            repaired.note(Gap::AheadOfTime, tx.execute(ITEMS_NOW, args![now, far]).await?);
            repaired.note(Gap::MissingPace, tx.execute(ADD_PACE, args![]).await?);
        }
        tx.commit().await
    }
}
