//! How many messages whoever acts may enqueue in a minute.
//!
//! An allowance is one number: up to when it is spent. A key has it in its own row, the subject of a token in a row of its
//! own, and it is moved on by compare-and-set in the transaction that enqueues, so it is exact over any number of gateways.

use crate::{
    Store, TenantId,
    db::{Tx, args, statements},
    error::{StoreError, StoreResult},
    keys::KeyId,
};

/// An allowance's window: so much of it may be used at once.
const WINDOW_US: i64 = 60_000_000;

/// How often a charge is tried while other requests charge the same allowance, too.
const MOST_CHARGES: usize = 100;

statements! {
    OF_KEY = "select messages_per_minute, spent_until_us from api_keys where id = $1 and messages_per_minute is not null";
    SPEND_OF_KEY = "update api_keys set spent_until_us = $3 where id = $1 and spent_until_us = $2";
    OF_SUBJECT = "select spent_until_us from allowances where tenant_id = $1 and subject = $2";
    OPEN = "insert into allowances (tenant_id, subject, spent_until_us) values ($1, $2, 0)
on conflict (tenant_id, subject) do nothing";
    SPEND_OF_SUBJECT = "update allowances set spent_until_us = $4
where tenant_id = $1 and subject = $2 and spent_until_us = $3";
    UNSPENT = "select spent_until_us from allowances where spent_until_us <= $1 limit 1";
    FORGET = "delete from allowances where (tenant_id, subject) in (
  select tenant_id, subject from allowances where spent_until_us <= $1 limit $2) and spent_until_us <= $1";
}

/// Whose allowance what an actor enqueues counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// A key's, which says itself how much that is, if anything.
    Key(KeyId),
    /// That of a token's subject, by the actor's name.
    Subject {
        /// The most messages in a minute.
        per_minute: u32,
    },
}

impl Store {
    /// Counts messages against the allowance of who acts, if there is one, in the transaction that enqueues them. The last
    /// statement of a transaction: others with the same allowance wait for its end.
    pub(crate) async fn charge(&self, tx: &mut Tx, tenant: TenantId, messages: u64) -> StoreResult<()> {
        let Some(actor) = self.actor.as_deref() else { return Ok(()) };
        let Some(allowance) = actor.allowance else { return Ok(()) };
        let (mut limit, now_us) = (0, self.now_ms() * 1_000);
        for _ in 0..MOST_CHARGES {
            let Some((per_minute, spent_us)) = spent(tx, tenant, allowance, &actor.name).await? else {
                return Ok(());
            };
            limit = per_minute;
            let after_us = charged(spent_us, now_us, messages, per_minute).map_err(|wait_us| {
                StoreError::OverLimit { per_minute, wait_ms: wait_us.unsigned_abs().div_ceil(1_000) }
            })?;
            let moved = match allowance {
                Allowance::Key(KeyId(key)) => tx.execute(SPEND_OF_KEY, args![key, spent_us, after_us]).await?,
                Allowance::Subject { .. } => {
                    let values = args![tenant.0, actor.name.as_str(), spent_us, after_us];
                    tx.execute(SPEND_OF_SUBJECT, values).await?
                }
            };
            if moved > 0 {
                return Ok(());
            }
        }
        Err(StoreError::OverLimit { per_minute: limit, wait_ms: 1_000 })
    }

    /// Forgets the allowances of subjects of which nothing is spent, at most `limit`; how many.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn forget_allowances(&self, limit: u32) -> StoreResult<u64> {
        let now_us = self.now_ms() * 1_000;
        // That there are none is found out without the write lock.
        if self.db.optional::<(i64,), _>(UNSPENT, args![now_us]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let forgotten = tx.execute(FORGET, args![now_us, i64::from(limit)]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// How much an allowance is in a minute, and up to when it is spent; none where there is no limit.
async fn spent(tx: &mut Tx, tenant: TenantId, allowance: Allowance, name: &str) -> StoreResult<Option<(i64, i64)>> {
    match allowance {
        Allowance::Key(KeyId(key)) => tx.optional(OF_KEY, args![key]).await,
        Allowance::Subject { per_minute } => {
            let known: Option<(i64,)> = tx.optional(OF_SUBJECT, args![tenant.0, name]).await?;
            if known.is_none() {
                tx.execute(OPEN, args![tenant.0, name]).await?;
            }
            Ok(Some((i64::from(per_minute), known.map_or(0, |(spent_us,)| spent_us))))
        }
    }
}

/// Up to when the limit is spent once these messages count, too; or for how long they must wait, in microseconds. A
/// minute's worth may come at once; more than that at once needs a limit of which nothing is spent, and the debt is
/// waited for by what comes next.
fn charged(spent_until_us: i64, now_us: i64, messages: u64, per_minute: i64) -> Result<i64, i64> {
    let messages = i64::try_from(messages).unwrap_or(i64::MAX);
    let cost_us = messages.saturating_mul(WINDOW_US / per_minute.max(1));
    let from_us = spent_until_us.max(now_us);
    let latest_us = now_us + WINDOW_US - cost_us.min(WINDOW_US);
    if from_us <= latest_us { Ok(from_us.saturating_add(cost_us)) } else { Err(from_us - latest_us) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_the_rest_waits() {
        let all = charged(0, 0, 60, 60).unwrap();
        assert_eq!(all, WINDOW_US);
        assert_eq!(charged(all, 0, 1, 60), Err(SECOND_US));
        assert_eq!(charged(all, SECOND_US, 1, 60), Ok(all + SECOND_US));
        assert_eq!(charged(all, 5 * SECOND_US, 10, 60), Err(5 * SECOND_US));
    }

    #[test]
    fn more_than_a_minutes_worth_goes_once_nothing_is_spent() {
        let debt = charged(0, 0, 600, 60).unwrap();
        assert_eq!(charged(debt, 0, 600, 60), Err(10 * WINDOW_US));
        assert_eq!(charged(debt, 0, 1, 60), Err(9 * WINDOW_US + SECOND_US));
        assert_eq!(charged(debt, 10 * WINDOW_US, 600, 60), Ok(20 * WINDOW_US));
    }

    proptest! {
        #[test]
        fn no_window_takes_more_than_two_minutes_worth(
            requests in prop::collection::vec((0_i64..5_000_000, 1_u64..30), 1..200),
            per_minute in 30_i64..10_000,
        ) {
            let (mut spent, mut now, mut taken) = (0, 0, Vec::new());
            for (later_us, messages) in requests {
                now += later_us;
                if let Ok(after) = charged(spent, now, messages, per_minute) {
                    spent = after;
                    taken.push((now, messages));
                }
            }
            for (from, _) in &taken {
                let within = taken.iter().filter(|(at, _)| (*from..*from + WINDOW_US).contains(at));
                let sum: u64 = within.map(|(_, messages)| messages).sum();
                // The price of a message is rounded down to whole microseconds.
                prop_assert!(sum <= 2 * per_minute.unsigned_abs() + 1, "{sum} of {per_minute}");
            }
        }
    }
}
