//! What providers report of messages later. Receipts only move forward; repeats and disorder change nothing.

use std::collections::HashMap;

use kabar_domain::{
    message::{MessageState, ReceiptStatus},
    outcome::{Decision, Outcome},
    report::Receipt,
};
use serde::Serialize;

use crate::{
    Heard, SettlePolicy, Settled, Settlement, Store, attempts,
    audience::to_json,
    db::{Tx, args, row, statements},
    doubts::LATER_BY_MS,
    error::{StoreError, StoreResult},
    lanes::is_of_broadcast,
    outcomes::{Source, being_sent, lock_messages},
};

statements! {
    BY_PROVIDER_ID = "select provider_message_id, message_id, number from attempts
where provider_message_id in (select value->>'id' from json_each($1))";
    ATTEMPTS = "select attempts.message_id, attempts.number, attempts.outcome,
  coalesce(attempts.slot_us / 1000, attempts.started_at) as began_at,
  coalesce(attempts.sent_at, attempts.delivered_at, attempts.read_at) as heard_at from attempts
join (select cast(value->>'message' as bigint) as message_id, cast(value->>'number' as bigint) as number
  from json_each($1)) wanted on wanted.message_id = attempts.message_id and wanted.number = attempts.number";
    MARK = "update attempts set sent_at = coalesce(attempts.sent_at, marks.sent_at),
  delivered_at = coalesce(attempts.delivered_at, marks.delivered_at),
  read_at = coalesce(attempts.read_at, marks.read_at), failed_at = coalesce(attempts.failed_at, marks.failed_at),
  provider_message_id = coalesce(attempts.provider_message_id, marks.provider_message_id)
from (select cast(value->>'message' as bigint) as message_id, cast(value->>'number' as bigint) as number,
    cast(value->>'sent' as bigint) as sent_at, cast(value->>'delivered' as bigint) as delivered_at,
    cast(value->>'read' as bigint) as read_at, cast(value->>'failed' as bigint) as failed_at,
    value->>'provider_message_id' as provider_message_id
  from json_each($1)) marks
where attempts.message_id = marks.message_id and attempts.number = marks.number";
    ADVANCE = "update messages set state = change.state, reason = null, lease_id = null, updated_at = $2
from (select cast(value->>'id' as bigint) as id, value->>'state' as state from json_each($1)) change
where messages.id = change.id";
    ADDRESSES = "select id, address from senders where id in (select cast(value as bigint) from json_each($1))";
    /// What lies ahead of now was noted by a clock that was wrong, and makes room for what is heard now.
    SENDER_HEARD = "update senders set last_receipt_at = $3, receipts_through =
  case when receipts_through < $2 or receipts_through > $4 then $2 else receipts_through end
where id = $1";
    KEEP_UNMATCHED = "insert into unmatched_receipts (provider_message_id, status, code, sender_address, happened_at,
  received_at)
select value->>'id', value->>'status', cast(value->>'code' as bigint), value->>'address', cast(value->>'at' as bigint), $2
from json_each($1) where true
on conflict (provider_message_id, status, sender_address) do nothing";
    KEPT = "select id from unmatched_receipts where received_at > $1 limit 1";
    NOW_MATCHED = "select unmatched_receipts.id, unmatched_receipts.provider_message_id, unmatched_receipts.status,
  unmatched_receipts.code, unmatched_receipts.sender_address, unmatched_receipts.happened_at,
  unmatched_receipts.received_at, attempts.message_id, attempts.number
from unmatched_receipts join attempts on attempts.provider_message_id = unmatched_receipts.provider_message_id
where unmatched_receipts.received_at > $1 order by unmatched_receipts.id limit $2";
    LATER_KEPT = "select max(id), count(*) from (
  select id from unmatched_receipts where id > $1 order by id limit $2) later";
    MATCHED_AMONG = "select unmatched_receipts.id, unmatched_receipts.provider_message_id, unmatched_receipts.status,
  unmatched_receipts.code, unmatched_receipts.sender_address, unmatched_receipts.happened_at,
  unmatched_receipts.received_at, attempts.message_id, attempts.number
from unmatched_receipts join attempts on attempts.provider_message_id = unmatched_receipts.provider_message_id
where unmatched_receipts.id > $1 and unmatched_receipts.id <= $2 and unmatched_receipts.received_at <= $3 order by unmatched_receipts.id";
    FORGET_UNMATCHED = "delete from unmatched_receipts where id in (select cast(value as bigint) from json_each($1))";
}

/// What a kept failure means of whose code the error policy says nothing.
const FAILED_WITHOUT_REASON: &str = "the provider reports that it will not arrive";

/// A kept receipt was left aside where it lies so many milliseconds though its message is known.
const LEFT_AFTER_MS: i64 = 600_000;

/// What applying receipts came to.
#[derive(Debug, Default)]
pub(crate) struct ReceiptsApplied {
    pub(crate) matched: u64,
    pub(crate) unmatched: u64,
    pub(crate) settled: Settled,
    /// Messages that were in doubt and are not any more.
    pub(crate) doubts_settled: u64,
    /// Messages that were sent again, and of which an earlier attempt now turns out to have left.
    pub(crate) sent_twice: Vec<i64>,
    /// Each whose message is known.
    pub(crate) heard: Vec<Heard>,
}

#[derive(Serialize, Default)]
struct Marks {
    message: i64,
    number: i64,
    sent: Option<i64>,
    delivered: Option<i64>,
    read: Option<i64>,
    failed: Option<i64>,
    provider_message_id: Option<String>,
}

#[derive(Serialize)]
struct Advance {
    id: i64,
    state: MessageState,
}

#[derive(Serialize)]
struct AttemptKey {
    message: i64,
    number: i64,
}

#[derive(Serialize)]
struct ProviderId<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Unmatched<'a> {
    id: &'a str,
    status: ReceiptStatus,
    code: Option<i64>,
    address: &'a str,
    at: i64,
}

row! {
    struct AttemptRow {
        message_id: i64,
        number: i64,
        began_at: i64,
        outcome: Option<String>,
        heard_at: Option<i64>,
    }
}

row! {
    struct KeptReceipt {
        id: i64,
        provider_message_id: String,
        status: String,
        code: Option<i64>,
        sender_address: String,
        happened_at: i64,
        received_at: i64,
        message_id: i64,
        number: i64,
    }
}

/// A receipt and when it came, in Unix milliseconds.
pub(crate) struct Received {
    pub(crate) receipt: Receipt,
    pub(crate) received_at: i64,
}

/// A receipt and the attempt that it is about.
type Matched<'a> = (i64, i64, &'a Received);

impl Store {
    /// Applies receipts in any order, with any repeats. Those of messages that nobody knows are kept.
    pub(crate) async fn apply_receipts_in(
        &self,
        tx: &mut Tx,
        receipts: &[Received],
        policy: &SettlePolicy,
    ) -> StoreResult<ReceiptsApplied> {
        let (matched, unmatched) = self.match_receipts(tx, receipts).await?;
        self.keep_unmatched(tx, &unmatched).await?;
        let mut applied =
            ReceiptsApplied { unmatched: unmatched.len() as u64, matched: matched.len() as u64, ..Default::default() };
        if matched.is_empty() {
            return Ok(applied);
        }
        let now = self.now_ms();
        let mut messages = lock_messages(tx, matched.iter().map(|(message, ..)| *message)).await?;
        attempts::write_open(tx, &being_sent(messages.values())).await?;
        let addresses = addresses_of(tx, messages.values().map(|message| message.sender_id)).await?;
        // A signature speaks for its own numbers: a receipt in the name of one cannot settle another's message.
        let matched: Vec<Matched<'_>> = matched
            .into_iter()
            .filter(|(message, _, received)| {
                let address = messages.get(message).and_then(|message| addresses.get(&message.sender_id));
                address == Some(&received.receipt.sender_address)
            })
            .collect();
        let attempts = attempts_of(tx, &matched).await?;
        tx.execute(MARK, args![to_json(&marks_of(&matched))?]).await?;

        let mut advanced: HashMap<i64, MessageState> = HashMap::new();
        let mut failures = Vec::new();
        let mut heard: HashMap<i64, i64> = HashMap::new();
        for &(message_id, number, Received { receipt, received_at }) in &matched {
            let (Some(message), Some(attempt)) = (messages.get_mut(&message_id), attempts.get(&(message_id, number)))
            else {
                continue;
            };
            applied.heard.push(Heard {
                message_id,
                number,
                job_id: message.job_id,
                of_broadcast: is_of_broadcast(message.lane),
                status: receipt.status,
                happened_at: receipt.at.timestamp_millis(),
                received_at: *received_at,
            });
            let through = heard.entry(message.sender_id).or_default();
            *through = (*through).max(attempt.began_at);
            if message.attempts != number {
                if believed_lost(attempt) && receipt.status != ReceiptStatus::Failed {
                    applied.sent_twice.push(message_id);
                }
                continue;
            }
            let state: MessageState =
                message.state.parse().map_err(|error| StoreError::unreadable("a message's state", error))?;
            // Believed absent, and about to be sent again or ended since: that it left after all is better knowledge.
            let believed_absent = attempt.outcome.as_deref() == Some("absent") && state.has_not_left();
            let from = if believed_absent { MessageState::InDoubt } else { state };
            let Some(next) = from.after_receipt(receipt.status) else { continue };
            if matches!(from, MessageState::InDoubt | MessageState::Unresolved) {
                applied.doubts_settled += 1;
            }
            match (&receipt.outcome, receipt.status) {
                (Some(outcome), ReceiptStatus::Failed) => {
                    failures.push(Settlement { message_id, number, outcome: outcome.clone() });
                }
                _ => {
                    advanced.insert(message_id, next);
                    next.as_str().clone_into(&mut message.state);
                }
            }
        }
        applied.sent_twice.sort_unstable();
        applied.sent_twice.dedup();
        let advances: Vec<Advance> = advanced.into_iter().map(|(id, state)| Advance { id, state }).collect();
        if !advances.is_empty() {
            tx.execute(ADVANCE, args![to_json(&advances)?, now]).await?;
        }
        applied.settled = self.settle_in(tx, &failures, policy, Source::Receipt).await?;
        let mut heard: Vec<(i64, i64)> = heard.into_iter().collect();
        heard.sort_unstable();
        for (sender_id, through) in heard {
            tx.execute(SENDER_HEARD, args![sender_id, through, now, now + LATER_BY_MS]).await?;
        }
        Ok(applied)
    }

    async fn match_receipts<'a>(
        &self,
        tx: &mut Tx,
        receipts: &'a [Received],
    ) -> StoreResult<(Vec<Matched<'a>>, Vec<&'a Receipt>)> {
        let mut matched = Vec::with_capacity(receipts.len());
        let mut rest = Vec::new();
        for received in receipts {
            match received.receipt.opaque.as_deref().and_then(|opaque| self.attempt_of(opaque)) {
                Some((message, number)) => matched.push((message, number, received)),
                None => rest.push(received),
            }
        }
        if rest.is_empty() {
            return Ok((matched, Vec::new()));
        }
        let ids: Vec<ProviderId<'_>> =
            rest.iter().map(|one| ProviderId { id: &one.receipt.provider_message_id }).collect();
        let known: Vec<(String, i64, i64)> = tx.all(BY_PROVIDER_ID, args![to_json(&ids)?]).await?;
        let known: HashMap<String, (i64, i64)> = known.into_iter().map(|(id, m, n)| (id, (m, n))).collect();
        let mut unmatched = Vec::new();
        for received in rest {
            match known.get(&received.receipt.provider_message_id) {
                Some(&(message, number)) => matched.push((message, number, received)),
                None => unmatched.push(&received.receipt),
            }
        }
        Ok((matched, unmatched))
    }

    async fn keep_unmatched(&self, tx: &mut Tx, unmatched: &[&Receipt]) -> StoreResult<()> {
        if unmatched.is_empty() {
            return Ok(());
        }
        let rows: Vec<Unmatched<'_>> = unmatched
            .iter()
            .map(|receipt| Unmatched {
                id: &receipt.provider_message_id,
                status: receipt.status,
                code: receipt.outcome.as_ref().and_then(|outcome| outcome.code),
                address: &receipt.sender_address,
                at: receipt.at.timestamp_millis(),
            })
            .collect();
        tx.execute(KEEP_UNMATCHED, args![to_json(&rows)?, self.now_ms()]).await?;
        Ok(())
    }

    /// Applies receipts that were kept because their message was not known then and is now: the answer to its request came
    /// later than they did. Looks at those received since `since` (Unix milliseconds), at most `limit`; `outcome_of` says what
    /// the error policy makes of a failure's code.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn apply_kept_receipts(
        &self,
        since: i64,
        limit: u32,
        policy: &SettlePolicy,
        outcome_of: impl Fn(i64) -> Option<Outcome> + Send,
    ) -> StoreResult<u64> {
        if self.db.optional::<(i64,), _>(KEPT, args![since]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let rows: Vec<KeptReceipt> = tx.all(NOW_MATCHED, args![since, i64::from(limit)]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let applied = self.apply_kept_in(&mut tx, rows, policy, outcome_of).await?;
        tx.commit().await?;
        Ok(applied)
    }

    /// The last of the `limit` kept receipts after `after`, by id; none where there are fewer.
    pub(crate) async fn end_of_kept_receipts(&self, after: i64, limit: i64) -> StoreResult<Option<i64>> {
        let later: Option<(Option<i64>, i64)> = self.db.optional(LATER_KEPT, args![after, limit]).await?;
        Ok(later.filter(|(_, count)| *count == limit).and_then(|(last, _)| last))
    }

    /// [`Store::apply_kept_receipts`] for those after `after` up to `last` by id, and received ten minutes ago or
    /// earlier.
    pub(crate) async fn apply_older_receipts(
        &self,
        after: i64,
        last: i64,
        policy: &SettlePolicy,
        outcome_of: impl Fn(i64) -> Option<Outcome> + Send,
    ) -> StoreResult<u64> {
        let until = self.now_ms() - LEFT_AFTER_MS;
        if self.db.all::<KeptReceipt, _>(MATCHED_AMONG, args![after, last, until]).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let rows: Vec<KeptReceipt> = tx.all(MATCHED_AMONG, args![after, last, until]).await?;
        let applied = self.apply_kept_in(&mut tx, rows, policy, outcome_of).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn apply_kept_in(
        &self,
        tx: &mut Tx,
        rows: Vec<KeptReceipt>,
        policy: &SettlePolicy,
        outcome_of: impl Fn(i64) -> Option<Outcome> + Send,
    ) -> StoreResult<u64> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut receipts = Vec::with_capacity(rows.len());
        for row in rows {
            ids.push(row.id);
            let Ok(status) = serde_json::from_value(serde_json::Value::String(row.status)) else { continue };
            let receipt = Receipt {
                sender_address: row.sender_address,
                provider_message_id: row.provider_message_id,
                opaque: self.opaque(row.message_id, row.number),
                status,
                at: chrono::DateTime::from_timestamp_millis(row.happened_at).unwrap_or_default(),
                outcome: (status == ReceiptStatus::Failed).then(|| {
                    let unknown = || Outcome { code: row.code, ..Outcome::of(Decision::Failed, FAILED_WITHOUT_REASON) };
                    row.code.and_then(&outcome_of).unwrap_or_else(unknown)
                }),
            };
            receipts.push(Received { receipt, received_at: row.received_at });
        }
        self.apply_receipts_in(tx, &receipts, policy).await?;
        tx.execute(FORGET_UNMATCHED, args![crate::jobs::json_list(&ids)]).await?;
        Ok(ids.len() as u64)
    }
}

/// Whether the attempt was taken as absent, and no receipt said otherwise so far.
fn believed_lost(attempt: &AttemptRow) -> bool {
    attempt.outcome.as_deref() == Some("absent") && attempt.heard_at.is_none()
}

async fn addresses_of(tx: &mut Tx, sender_ids: impl Iterator<Item = i64>) -> StoreResult<HashMap<i64, String>> {
    let mut ids: Vec<i64> = sender_ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<(i64, String)> = tx.all(ADDRESSES, args![crate::jobs::json_list(&ids)]).await?;
    Ok(rows.into_iter().collect())
}

async fn attempts_of(tx: &mut Tx, matched: &[Matched<'_>]) -> StoreResult<HashMap<(i64, i64), AttemptRow>> {
    let keys: Vec<AttemptKey> = matched.iter().map(|&(message, number, _)| AttemptKey { message, number }).collect();
    let rows: Vec<AttemptRow> = tx.all(ATTEMPTS, args![to_json(&keys)?]).await?;
    Ok(rows.into_iter().map(|row| ((row.message_id, row.number), row)).collect())
}

/// When each status happened, one row per attempt.
fn marks_of(matched: &[Matched<'_>]) -> Vec<Marks> {
    let mut marks: HashMap<(i64, i64), Marks> = HashMap::new();
    for &(message, number, Received { receipt, .. }) in matched {
        let row = marks.entry((message, number)).or_insert_with(|| Marks { message, number, ..Marks::default() });
        let at = match receipt.status {
            ReceiptStatus::Sent => &mut row.sent,
            ReceiptStatus::Delivered => &mut row.delivered,
            ReceiptStatus::Read => &mut row.read,
            ReceiptStatus::Failed => &mut row.failed,
        };
        at.get_or_insert(receipt.at.timestamp_millis());
        row.provider_message_id.get_or_insert_with(|| receipt.provider_message_id.clone());
    }
    marks.into_values().collect()
}
