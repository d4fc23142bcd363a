//! Messages without a way forward.

use std::collections::BTreeMap;

use super::{Gap, Repaired, STEP, gap_of, millis};
use crate::{
    SettlePolicy, Store, attempts,
    db::{Tx, args, statements},
    error::StoreResult,
    jobs::json_list,
    outcomes::lock_messages,
};

/// A doubt that ends later than twice the grace time and this many milliseconds was not given its end by a right clock.
const DOUBT_SLACK_MS: i64 = 3_600_000;

/// What is mended may show what else is amiss with the message; no chain of gaps is longer.
const MOST_ROUNDS: usize = 3;

statements! {
    LATER = "select max(id), count(*) from (select id from messages where id > $1 order by id limit $2) later";
    FIND = "select id, gap from (
  select m.id, case
    when m.state = 'queued' then
      case when exists (select 1 from jobs where jobs.id = m.job_id and jobs.control = 'cancelled') then 'unfinished_cancel' end
    when m.state = 'claimed' then case when m.lease_id is null then 'unheld_claim' end
    when m.state = 'sending' then case when m.lease_id is null then 'unheld_send' end
    when not exists (select 1 from attempts a where a.message_id = m.id and a.number = m.attempts) then 'missing_attempt'
    when exists (select 1 from attempts a where a.message_id = m.id and a.number = m.attempts
      and (a.outcome = 'accepted' or coalesce(a.sent_at, a.delivered_at, a.read_at) is not null)) then 'unused_evidence'
    when m.state = 'in_doubt' and m.due_at > $3 then 'endless_doubt'
  end as gap
  from messages m
  where m.id > $1 and m.id <= $2 and m.state in ('queued', 'claimed', 'sending', 'in_doubt', 'unresolved')) looked
where gap is not null order by id";
    CANCEL = "update messages set state = 'cancelled', updated_at = $2,
  reason = (select case when kind = 'broadcast' then 'broadcast_cancelled' else 'cancelled' end
    from jobs where jobs.id = messages.job_id)
where id in (select cast(value as bigint) from json_each($1)) and state = 'queued'
  and exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled')";
    GIVE_BACK = "update messages set state = 'queued', updated_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'claimed' and lease_id is null";
    DOUBT = "update messages set state = 'in_doubt', updated_at = $2, due_at = $3,
  reason = 'no process holds it, and nobody knows whether it left'
where id in (select cast(value as bigint) from json_each($1)) and state = 'sending' and lease_id is null";
    FIRST_ATTEMPT = "update messages set attempts = 1
where id in (select cast(value as bigint) from json_each($1)) and attempts < 1 and state in ('in_doubt', 'unresolved')";
    /// It began when the message was written last, or earlier: receipts for what was sent after that prove its absence.
    WRITE_ATTEMPT = "insert into attempts (message_id, number, lease_id, slot_us, started_at, outcome, meaning)
select id, attempts, coalesce(lease_id, 0), slot_us, updated_at, 'in_doubt', 'how it went was not written down'
from messages where id in (select cast(value as bigint) from json_each($1)) and state in ('in_doubt', 'unresolved')
on conflict (message_id, number) do nothing";
    USE_EVIDENCE = "update messages set reason = null, lease_id = null, updated_at = $2,
  state = (select case when a.read_at is not null then 'read' when a.delivered_at is not null then 'delivered'
      when a.sent_at is not null then 'sent' else 'accepted' end
    from attempts a where a.message_id = messages.id and a.number = messages.attempts)
where id in (select cast(value as bigint) from json_each($1)) and state in ('in_doubt', 'unresolved')
  and exists (select 1 from attempts a where a.message_id = messages.id and a.number = messages.attempts
    and (a.outcome = 'accepted' or coalesce(a.sent_at, a.delivered_at, a.read_at) is not null))";
    END_DOUBT = "update messages set due_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'in_doubt' and due_at > $3";
}

impl Store {
    /// Where a step that begins after `after` ends; none where it reaches the last message.
    pub(super) async fn end_of_messages(&self, after: i64) -> StoreResult<Option<i64>> {
        let later: Option<(Option<i64>, i64)> = self.db.optional(LATER, args![after, STEP]).await?;
        Ok(later.filter(|(_, count)| *count == STEP).and_then(|(last, _)| last))
    }

    /// Gives each message after `after` up to `last` a way forward.
    pub(super) async fn repair_messages(
        &self,
        after: i64,
        last: i64,
        policy: &SettlePolicy,
        repaired: &mut Repaired,
    ) -> StoreResult<()> {
        for _ in 0..MOST_ROUNDS {
            let now = self.now_ms();
            let grace = millis(policy.doubt_grace);
            let endless = now.saturating_add(grace.saturating_mul(2)).saturating_add(DOUBT_SLACK_MS);
            let found: Vec<(i64, String)> = self.db.all(FIND, args![after, last, endless]).await?;
            if found.is_empty() {
                return Ok(());
            }
            let mut by_gap: BTreeMap<Gap, Vec<i64>> = BTreeMap::new();
            for (id, gap) in &found {
                by_gap.entry(gap_of(gap)?).or_default().push(*id);
            }
            let mut tx = self.db.begin().await?;
            lock_messages(&mut tx, found.iter().map(|(id, _)| *id)).await?;
            for (gap, ids) in by_gap {
                let shown = &ids[..ids.len().min(20)];
                tracing::warn!(gap = gap.as_str(), messages = ids.len(), first = ?shown, "messages had no way forward");
                let times = Times { now, end_of_doubt: now.saturating_add(grace), endless };
                if gap == Gap::UnheldSend {
                    attempts::write_open(&mut tx, &ids).await?;
                }
                repaired.note(gap, mend(&mut tx, gap, &json_list(&ids), times).await?);
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    now: i64,
    end_of_doubt: i64,
    endless: i64,
}

/// Mends one kind of gap; how many messages had it still.
async fn mend(tx: &mut Tx, gap: Gap, ids: &str, times: Times) -> StoreResult<u64> {
    match gap {
        Gap::UnfinishedCancel => tx.execute(CANCEL, args![ids, times.now]).await,
        Gap::UnheldClaim => tx.execute(GIVE_BACK, args![ids, times.now]).await,
        Gap::UnheldSend => tx.execute(DOUBT, args![ids, times.now, times.end_of_doubt]).await,
        Gap::MissingAttempt => {
            tx.execute(FIRST_ATTEMPT, args![ids]).await?;
            tx.execute(WRITE_ATTEMPT, args![ids]).await
        }
        Gap::UnusedEvidence => tx.execute(USE_EVIDENCE, args![ids, times.now]).await,
        Gap::EndlessDoubt => tx.execute(END_DOUBT, args![ids, times.end_of_doubt, times.endless]).await,
        // Of other things than messages.
        Gap::MissingMessage
        | Gap::WrongAudience
        | Gap::LeftReceipt
        | Gap::EndlessLease
        | Gap::AheadOfTime
        | Gap::MissingPace => Ok(0),
    }
}
