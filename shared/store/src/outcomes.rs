//! What an attempt came to, written down: the one place where outcomes become actions.
//!
//! An outcome is evidence about an attempt. Whoever reports it, however late, it settles that attempt; the message
//! follows as long as the attempt is its latest and nothing better is known. What holds beyond the message (a parked
//! sender, a block, a halt) is applied in the same transaction.

use std::{collections::HashMap, time::Duration};

use kabar_domain::{
    message::MessageState,
    outcome::{ACCEPTED, Decision, Outcome, Scope},
    wish::{Covers, Wish},
};
use serde::Serialize;

use crate::{
    Parking, Store, Topic, attempts,
    audience::to_json,
    blocks::NewBlock,
    db::{Tx, args, row, statements},
    dialect::{ACCEPT_ATTEMPTS, ACCEPT_MESSAGES, LOCK_MESSAGES},
    error::{StoreError, StoreResult},
    jobs::json_list,
};

mod decide;

pub(crate) use decide::TEMPLATE_PAUSE_MS;
use decide::{Change, Facts, decide};

statements! {
    /// A message that would wait again though its job was cancelled meanwhile ends as cancelled.
    MOVE = "update messages set due_at = coalesce(change.due, messages.due_at),
  state = case when change.state = 'queued' and exists (
    select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled') then 'cancelled'
    else change.state end,
  reason = case when change.state = 'queued' and exists (
    select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled') then 'cancelled'
    else change.reason end,
  tries = change.tries, pair_throttles = change.pair_throttles, lease_id = null, updated_at = $2
from (select cast(value->>'id' as bigint) as id, value->>'state' as state, value->>'reason' as reason,
    cast(value->>'due' as bigint) as due, cast(value->>'tries' as bigint) as tries,
    cast(value->>'pair_throttles' as bigint) as pair_throttles
  from json_each($1)) change
where messages.id = change.id";
    SETTLE_ATTEMPTS = "update attempts set outcome = settled.outcome, code = settled.code, meaning = settled.meaning,
  provider_message_id = coalesce(attempts.provider_message_id, settled.provider_message_id),
  ended_at = coalesce(attempts.ended_at, $2)
from (select cast(value->>'message' as bigint) as message_id, cast(value->>'number' as bigint) as number,
    value->>'outcome' as outcome, cast(value->>'code' as bigint) as code, value->>'meaning' as meaning,
    value->>'provider_message_id' as provider_message_id
  from json_each($1)) settled
where attempts.message_id = settled.message_id and attempts.number = settled.number
  and (attempts.outcome is null
    or attempts.outcome in ('in_doubt', 'absent', 'accepted') and settled.outcome <> 'in_doubt')";
    DELAY_PAIR = "update messages set due_at = $3, updated_at = $4
where recipient_id = $1 and sender_id = $2 and state in ('queued', 'claimed') and state = 'queued' and due_at < $3";
    HOLD_BROADCAST = "update jobs set held_until = $2 where id = $1 and kind = 'broadcast' and held_until < $2";
}

/// What bounds retries, parking and doubt.
#[derive(Debug, Clone, Copy)]
pub struct SettlePolicy {
    /// The most tries that a message may spend.
    pub max_tries: u32,
    /// The first delay after a spent try; it doubles with each.
    pub retry_first: Duration,
    /// The longest delay after a spent try.
    pub retry_most: Duration,
    /// The first parking of a throttled sender, where the provider asks for none; it doubles with each.
    pub park_first: Duration,
    /// The longest parking that growth comes to.
    pub park_most: Duration,
    /// How long doubt waits for evidence.
    pub doubt_grace: Duration,
}

impl Default for SettlePolicy {
    fn default() -> Self {
        Self {
            max_tries: 8,
            retry_first: Duration::from_secs(2),
            retry_most: Duration::from_secs(900),
            park_first: Duration::from_secs(1),
            park_most: Duration::from_secs(300),
            doubt_grace: Duration::from_secs(600),
        }
    }
}

/// One attempt's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The message.
    pub message_id: i64,
    /// The attempt's number.
    pub number: i64,
    /// What it came to.
    pub outcome: Outcome,
}

/// Who tells of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The provider's answer to the request.
    Answer,
    /// A receipt, perhaps hours later.
    Receipt,
}

/// What settling did beyond the messages themselves; for logs and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Senders that were parked, with the scope and the reason.
    pub parked: Vec<(i64, Scope, String)>,
    /// Senders that were halted, with what to do.
    pub halted: Vec<(i64, String)>,
    /// What a person should hear of.
    pub alerts: Vec<String>,
    /// Messages that came into doubt.
    pub doubts: u64,
    /// Messages that wait again.
    pub requeued: u64,
}

row! {
    pub(crate) struct MessageRow {
        pub(crate) id: i64,
        pub(crate) job_id: i64,
        pub(crate) sender_id: i64,
        pub(crate) recipient_id: i64,
        pub(crate) lane: i64,
        pub(crate) state: String,
        pub(crate) attempts: i64,
        pub(crate) tries: i64,
        pub(crate) pair_throttles: i64,
    }
}

#[derive(Serialize)]
struct SettledAttempt<'a> {
    message: i64,
    number: i64,
    outcome: Decision,
    code: Option<i64>,
    meaning: &'a str,
    provider_message_id: Option<&'a str>,
}

impl Store {
    /// Writes down what attempts came to, with all that follows from it, in one transaction.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing of it holds, and it may be called again.
    pub async fn settle(&self, settlements: &[Settlement], policy: &SettlePolicy) -> StoreResult<Settled> {
        let mut tx = self.db.begin().await?;
        let settled = self.settle_in(&mut tx, settlements, policy, Source::Answer).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(settled)
    }

    pub(crate) async fn settle_in(
        &self,
        tx: &mut Tx,
        settlements: &[Settlement],
        policy: &SettlePolicy,
        source: Source,
    ) -> StoreResult<Settled> {
        if settlements.is_empty() {
            return Ok(Settled::default());
        }
        let now = self.now_ms();
        let (accepted, settlements): (Vec<&Settlement>, Vec<&Settlement>) =
            settlements.iter().partition(|one| source == Source::Answer && one.outcome.decision == Decision::Accepted);
        accept(tx, &accepted, now).await?;
        if settlements.is_empty() {
            return Ok(Settled::default());
        }
        let messages = lock_messages(tx, settlements.iter().map(|one| one.message_id)).await?;
        attempts::write_open(tx, &being_sent(messages.values())).await?;
        let mut changes: Vec<Change> = Vec::with_capacity(settlements.len());
        let mut beyond: Vec<(&MessageRow, &Outcome, Change)> = Vec::new();
        for settlement in &settlements {
            let Some(message) = messages.get(&settlement.message_id) else { continue };
            let state: MessageState =
                message.state.parse().map_err(|error| StoreError::unreadable("a message's state", error))?;
            let facts = Facts {
                id: message.id,
                state,
                is_latest: message.attempts == settlement.number,
                tries: message.tries,
                pair_throttles: message.pair_throttles,
            };
            let Some(change) = decide(&facts, &settlement.outcome, source, policy, now, fastrand::f64()) else {
                continue;
            };
            if settlement.outcome.decision != Decision::Accepted {
                beyond.push((message, &settlement.outcome, change.clone()));
            }
            changes.push(change);
        }
        // Paces are locked in one order, so that no two transactions wait for each other.
        beyond.sort_by_key(|(message, ..)| (message.sender_id, message.id));
        if !changes.is_empty() {
            tx.execute(MOVE, args![to_json(&changes)?, now]).await?;
        }
        write_attempts(tx, &settlements, now).await?;
        let requeued = changes.iter().filter(|change| change.state == MessageState::Queued).count() as u64;
        Ok(Settled { requeued, ..self.apply_beyond(tx, &beyond, policy, now).await? })
    }

    /// What holds beyond the messages: parked and halted senders, blocks, delayed pairs, held broadcasts.
    async fn apply_beyond(
        &self,
        tx: &mut Tx,
        beyond: &[(&MessageRow, &Outcome, Change)],
        policy: &SettlePolicy,
        now: i64,
    ) -> StoreResult<Settled> {
        let mut settled = Settled::default();
        let mut blocks = Vec::new();
        for (message, outcome, change) in beyond {
            if outcome.alert {
                settled.alerts.push(outcome.advised());
            }
            match (outcome.decision, outcome.scope) {
                (Decision::Throttled, Scope::Pair) => {
                    if let Some(due) = change.due {
                        tx.execute(DELAY_PAIR, args![message.recipient_id, message.sender_id, due, now]).await?;
                    }
                }
                (Decision::Throttled, scope) => {
                    let parking = Parking {
                        scope,
                        delay: outcome.delay,
                        first: policy.park_first,
                        most: policy.park_most,
                        reason: &outcome.meaning,
                        cut: true,
                    };
                    let ids = self.park_in(tx, message.sender_id, &parking).await?;
                    settled.parked.extend(ids.into_iter().map(|id| (id, scope, outcome.meaning.clone())));
                }
                (Decision::Halt, scope) => {
                    let ids = crate::pace::scope_ids(tx, message.sender_id, scope).await?;
                    let reason = outcome.advised();
                    if crate::senders::halt_senders(tx, &ids, &reason, now).await? > 0 {
                        settled.halted.extend(ids.into_iter().map(|id| (id, reason.clone())));
                    }
                }
                (Decision::Blocked, _) => blocks.push(NewBlock {
                    recipient_id: message.recipient_id,
                    channel: self.channel_of_sender(tx, message.sender_id).await?,
                    reason: outcome.meaning.clone(),
                    code: outcome.code,
                    source: format!("message {}", message.id),
                }),
                (Decision::OptedOut, _) => {
                    let channel = self.channel_of_sender(tx, message.sender_id).await?;
                    let wish = Wish::Stop(Covers::Marketing);
                    crate::wishes::say(tx, message.recipient_id, channel, wish, &outcome.meaning, now, now).await?;
                }
                (Decision::Failed, Scope::Recipient) => {
                    crate::recipients::mark_unreachable(tx, &[message.recipient_id], now).await?;
                }
                // Of a disabled template one message fails now and then, and not all of a broadcast at once.
                (Decision::TemplatePaused | Decision::TemplateDisabled, _) => {
                    let until = change.due.unwrap_or(now + TEMPLATE_PAUSE_MS);
                    tx.execute(HOLD_BROADCAST, args![message.job_id, until]).await?;
                }
                (Decision::InDoubt, _) => settled.doubts += 1,
                _ => {}
            }
        }
        if !blocks.is_empty() {
            crate::blocks::block_recipients(tx, &blocks, now).await?;
        }
        settled.parked.sort_unstable_by_key(|(id, ..)| *id);
        settled.parked.dedup_by_key(|(id, ..)| *id);
        Ok(settled)
    }
}

/// Those of `messages` that are being sent.
pub(crate) fn being_sent<'a>(messages: impl Iterator<Item = &'a MessageRow>) -> Vec<i64> {
    messages.filter(|message| message.state == MessageState::Sending.as_str()).map(|message| message.id).collect()
}

/// Locks messages in the order of their ids; those that exist, by id.
pub(crate) async fn lock_messages(
    tx: &mut Tx,
    ids: impl Iterator<Item = i64>,
) -> StoreResult<HashMap<i64, MessageRow>> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<MessageRow> = tx.all(LOCK_MESSAGES, args![json_list(&ids)]).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The usual outcome, by the shortest way: nothing holds beyond the messages, so they need not be read first. The states
/// are those that `decide` moves on an accepting answer.
async fn accept(tx: &mut Tx, accepted: &[&Settlement], now: i64) -> StoreResult<()> {
    if accepted.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(i64, i64, Option<&str>, Option<&str>)> = accepted
        .iter()
        .map(|one| {
            // The usual words are not stored with every attempt; unusual ones (a message held by the provider) are.
            let meaning = (one.outcome.meaning != ACCEPTED).then_some(one.outcome.meaning.as_str());
            (one.message_id, one.number, one.outcome.provider_message_id.as_deref(), meaning)
        })
        .collect();
    rows.sort_unstable();
    rows.dedup_by_key(|(message, number, ..)| (*message, *number));
    let rows = to_json(&rows)?;
    if matches!(tx, Tx::Sqlite(_)) {
        tx.execute(ACCEPT_ATTEMPTS, args![rows.as_str(), now]).await?;
    }
    tx.execute(ACCEPT_MESSAGES, args![rows, now]).await?;
    Ok(())
}

async fn write_attempts(tx: &mut Tx, settlements: &[&Settlement], now: i64) -> StoreResult<()> {
    let attempts: Vec<SettledAttempt<'_>> = settlements
        .iter()
        .map(|one| SettledAttempt {
            message: one.message_id,
            number: one.number,
            outcome: one.outcome.decision,
            code: one.outcome.code,
            meaning: &one.outcome.meaning,
            provider_message_id: one.outcome.provider_message_id.as_deref(),
        })
        .collect();
    tx.execute(SETTLE_ATTEMPTS, args![to_json(&attempts)?, now]).await?;
    Ok(())
}
