//! A courier's hold on messages: claimed for a batch, started just before the slot, given back when not sent.
//!
//! Who cancels, pauses or blocks moves messages out of `queued` and `claimed`. Starting an attempt demands that the
//! message is still `claimed` under the courier's own lease, so those always win until the start is committed.

use std::collections::{HashMap, HashSet, VecDeque};

use kabar_domain::phone::PhoneNumber;

use crate::{
    LeaseId, Store, attempts,
    audience::to_json,
    budgets,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
    jobs::json_list,
    lanes::{Fronts, is_of_broadcast, read_fronts},
    outcomes::lock_messages,
    senders::{channel_of, rate_of},
};

mod put_off;
mod turn;

pub(crate) use put_off::{STATEMENTS as PUT_OFF_STATEMENTS, put_off};
use turn::Claim;
pub use turn::Shares;

statements! {
    SENDER = "select senders.provider, senders.rate_per_second, pace.last_urgent, pace.last_normal, pace.last_bulk,
  budgets.id as budget_id,
  (select count(*) from (select 1 from pairs where pairs.sender_id = senders.id limit 1) some_pair) as pairs
from senders join pace on pace.sender_id = senders.id
left join budgets on budgets.tenant_id = senders.tenant_id and budgets.portfolio = senders.portfolio
  and budgets.people_per_day is not null
where senders.id = $1 and senders.state = 'active' and pace.parked_until <= $2
  and exists (select 1 from leases where leases.id = $3 and leases.expires_at > $2)";
    /// Found by their ids alone: what a lease holds has an index, and at a high rate it holds a hundred times as many.
    START = "update messages set state = 'sending', attempts = attempts + 1, slot_us = asked.slot, updated_at = $3
from (select cast(value->>0 as bigint) as message_id, cast(value->>1 as bigint) as slot from json_each($1)) asked
where id = asked.message_id and state || '' = 'claimed' and +lease_id = $2
  and (expires_at is null or expires_at > $3)
  and exists (select 1 from leases where leases.id = $2 and leases.expires_at > $3)
  and not exists (select 1 from messages other
    where other.sender_id = messages.sender_id and other.recipient_id = messages.recipient_id and other.state = 'sending')
  and not exists (select 1 from blocks where blocks.recipient_id = messages.recipient_id and blocks.channel = $4)
  and not exists (select 1 from wishes where wishes.recipient_id = messages.recipient_id and wishes.channel = $4
    and wishes.wanted = 0 and wishes.covers in ('all', (select category from jobs where jobs.id = messages.job_id)))
  and exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'running')
  and exists (select 1 from senders where senders.id = messages.sender_id and senders.state = 'active')
returning id, attempts";
    GIVE_BACK = "update messages set lease_id = null, updated_at = $3,
  state = case
    when exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled') then 'cancelled'
    when expires_at <= $3 then 'expired'
    when exists (select 1 from blocks where blocks.recipient_id = messages.recipient_id and blocks.channel = $4) then 'skipped'
    when exists (select 1 from wishes where wishes.recipient_id = messages.recipient_id and wishes.channel = $4
      and wishes.wanted = 0 and wishes.covers in ('all', (select category from jobs where jobs.id = messages.job_id)))
      then 'skipped'
    else 'queued' end,
  reason = case
    when exists (select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled') then 'cancelled'
    when expires_at <= $3 then 'expired'
    when exists (select 1 from blocks where blocks.recipient_id = messages.recipient_id and blocks.channel = $4)
      then 'recipient_blocked'
    when exists (select 1 from wishes where wishes.recipient_id = messages.recipient_id and wishes.channel = $4
      and wishes.wanted = 0 and wishes.covers in ('all', (select category from jobs where jobs.id = messages.job_id)))
      then 'opted_out'
    else reason end,
  due_at = case when exists (select 1 from messages other where other.sender_id = messages.sender_id
      and other.recipient_id = messages.recipient_id and other.state = 'sending' and other.id <> messages.id)
    then $3 + 1000 else due_at end
where id in (select cast(value as bigint) from json_each($1)) and state || '' = 'claimed' and +lease_id = $2";
    /// An attempt is known by its slot, which no other has. Those of senders without a pace have none: they are started by
    /// their claim, and undone by the one who claimed.
    UNSTART = "update attempts set outcome = 'not_sent', ended_at = $3
from (select cast(value->>0 as bigint) as id, cast(value->>1 as bigint) as slot from json_each($1)) asked
where attempts.message_id = asked.id and attempts.lease_id = $2 and attempts.outcome is null
  and attempts.slot_us is not distinct from asked.slot
returning message_id, number";
    /// Doubt has put its own end in place of the message's time; it need not wait for it.
    CLAIM_AGAIN = "update messages set state = 'claimed', lease_id = $2, updated_at = $3,
  due_at = case when state = 'in_doubt' then $3 else due_at end
from (select cast(value->>0 as bigint) as id, cast(value->>1 as bigint) as number from json_each($1)) unstarted
where messages.id = unstarted.id and messages.attempts = unstarted.number and messages.state in ('sending', 'in_doubt')";
    EXPIRING = "select id from messages where state = 'queued' and expires_at is not null and expires_at <= $1 limit 1";
    EXPIRE = "update messages set state = 'expired', updated_at = $1,
  reason = case when reason = 'quiet_hours' and due_at >= expires_at then 'expired_in_quiet_hours' else 'expired' end
where id in (select id from messages where state = 'queued' and expires_at is not null and expires_at <= $1
  order by expires_at limit $2) and state = 'queued'";
}

/// A message in a courier's batch.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The message.
    pub id: i64,
    /// Its job, by the ledger's id.
    pub job_id: i64,
    /// The recipient, by the ledger's id.
    pub recipient_id: i64,
    /// The recipient's number.
    pub phone: PhoneNumber,
    /// The recipient's own values, as JSON, where the content takes some.
    pub fields: Option<String>,
    /// Since when it was due, in Unix milliseconds.
    pub due_at: i64,
    /// Whether it is one of a broadcast's.
    pub of_broadcast: bool,
    /// Its attempt, where the claim started it at once: for a sender without a pace.
    pub started: Option<Started>,
}

row! {
    struct SenderRow {
        provider: String,
        rate_per_second: Option<i64>,
        last_urgent: i64,
        last_normal: i64,
        last_bulk: i64,
        budget_id: Option<i64>,
        /// Whether the ledger has pairs of it.
        pairs: i64,
    }
}

row! {
    pub(crate) struct ClaimedRow {
        pub(crate) id: i64,
        job_id: i64,
        pub(crate) recipient_id: i64,
        pub(crate) lane: i64,
        phone: String,
        fields: Option<String>,
        due_at: i64,
        attempts: i64,
        state: String,
    }
}

/// One message that is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartRequest {
    /// The message.
    pub message_id: i64,
    /// Its sender.
    pub sender_id: i64,
    /// Its recipient.
    pub recipient_id: i64,
    /// Its slot by the pace's clock, in microseconds; none where the sender is unlimited.
    pub slot_us: Option<i64>,
}

/// An attempt whose start is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The number of the attempt.
    pub number: i64,
    /// What the request carries along, so that receipts can name the attempt.
    pub opaque: String,
}

impl Store {
    /// Claims the best due messages of a sender for one batch: urgent first, fair between broadcasts, at most 20 and at
    /// most a second's worth. None of a parked, paused or halted sender, and none under a lease that has ended. Where the
    /// sender has no pace, attempts are started at once as [`WriterHandle::start`](crate::WriterHandle::start) does; what
    /// could not be started is claimed without.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn claim(&self, sender_id: i64, lease: LeaseId) -> StoreResult<Vec<Claimed>> {
        let mut tx = self.db.begin().await?;
        let claimed = self.claim_in(&mut tx, sender_id, 1, lease, &mut Fronts::default()).await?;
        tx.commit().await?;
        Ok(claimed.into_iter().next().unwrap_or_default())
    }

    /// [`Store::claim`] for several batches of one sender, at most `batches`; the best messages go to the first. Goes on
    /// from `fronts` where they are known; should the transaction fail, they are to be forgotten.
    pub(crate) async fn claim_in(
        &self,
        tx: &mut Tx,
        sender_id: i64,
        batches: usize,
        lease: LeaseId,
        fronts: &mut Fronts,
    ) -> StoreResult<Vec<Vec<Claimed>>> {
        let now = self.now_ms();
        let sender: Option<SenderRow> = tx.optional(SENDER, args![sender_id, now, lease.0]).await?;
        let Some(sender) = sender else { return Ok(Vec::new()) };
        let rate = sender.rate_per_second;
        let batch_limit = rate_of(rate).batch_limit() as usize;
        let limit = batch_limit.saturating_mul(batches);
        let channel = rate.is_none().then(|| channel_of(&sender.provider)).transpose()?;
        let last = [sender.last_urgent, sender.last_normal, sender.last_bulk];
        let mut claim = Claim { sender_id, lease, channel, now, limit, shares: self.shares, last, rows: Vec::new() };
        let (mut read_at, known) = fronts.take(sender_id, now).unzip();
        let mut ahead = known.unwrap_or_default();
        claim.turn(tx, &mut ahead).await?;
        if claim.rows.len() < limit {
            read_at = Some(now);
            ahead = read_fronts(tx, sender_id, now).await?;
            claim.turn(tx, &mut ahead).await?;
        }
        // Where all was taken there is nothing to go on from.
        if let Some(read_at) = read_at.filter(|_| claim.rows.len() == limit) {
            fronts.put(sender_id, read_at, ahead);
        }
        let rows = self.pairs.keep(tx, sender_id, sender.pairs > 0, claim.rows, now).await?;
        let rows = match sender.budget_id {
            None => rows,
            Some(budget) => budgets::book(tx, budget, sender_id, self.shares.urgent_budget, rows, now).await?,
        };
        let mut claimed = rows.into_iter().map(|row| self.claimed(row)).collect::<StoreResult<VecDeque<_>>>()?;
        let mut of_batches = Vec::with_capacity(batches);
        while !claimed.is_empty() {
            let count = claimed.len().min(batch_limit);
            of_batches.push(claimed.drain(..count).collect());
        }
        Ok(of_batches)
    }

    fn claimed(&self, row: ClaimedRow) -> StoreResult<Claimed> {
        let started = (row.state == "sending").then(|| self.started(row.id, row.attempts)).transpose()?;
        Ok(Claimed {
            id: row.id,
            job_id: row.job_id,
            recipient_id: row.recipient_id,
            phone: PhoneNumber::from_e164(row.phone).map_err(|error| StoreError::unreadable("a number", error))?,
            fields: row.fields.map(|fields| self.sealer.open(fields)).transpose()?,
            due_at: row.due_at,
            of_broadcast: is_of_broadcast(row.lane),
            started,
        })
    }

    fn started(&self, message: i64, number: i64) -> StoreResult<Started> {
        let opaque = self.opaque(message, number).ok_or(StoreError::NotMigrated)?;
        Ok(Started { number, opaque })
    }

    /// Starts attempts: from the commit on they count as sent unless their outcome says otherwise. For each request, in
    /// order, the attempt or none: the message was cancelled, paused, blocked or expired meanwhile, another message to the
    /// same recipient is just being sent, or the lease has ended.
    pub(crate) async fn start_in(
        &self,
        tx: &mut Tx,
        lease: LeaseId,
        channel: &str,
        requests: &[StartRequest],
    ) -> StoreResult<HashMap<i64, Started>> {
        let mut pairs = HashSet::new();
        let alone = requests.iter().filter(|request| pairs.insert((request.sender_id, request.recipient_id)));
        let asked: Vec<(i64, Option<i64>)> = alone.map(|request| (request.message_id, request.slot_us)).collect();
        let started: Vec<(i64, i64)> = tx.all(START, args![to_json(&asked)?, lease.0, self.now_ms(), channel]).await?;
        started.into_iter().map(|(message, number)| Ok((message, self.started(message, number)?))).collect()
    }

    /// Gives claimed messages back with nothing spent: to wait again, or to end where they expired or their recipient was
    /// blocked meanwhile. What is `sending` is left alone: a claim that was taken back for its age may be another batch's of
    /// the same process by now, and its request under way.
    pub(crate) async fn give_back_in(
        &self,
        tx: &mut Tx,
        lease: LeaseId,
        channel: &str,
        message_ids: &[i64],
    ) -> StoreResult<u64> {
        tx.execute(GIVE_BACK, args![json_list(message_ids), lease.0, self.now_ms(), channel]).await
    }

    /// Takes back starts that may have been committed though whoever asked for them was not told so, and gives their messages
    /// back: nothing of them left. `asked` lists messages and the slots that they were to have.
    pub(crate) async fn undo_starts_in(
        &self,
        tx: &mut Tx,
        lease: LeaseId,
        channel: &str,
        asked: &[(i64, Option<i64>)],
    ) -> StoreResult<u64> {
        let now = self.now_ms();
        let ids: Vec<i64> = asked.iter().map(|(id, _)| *id).collect();
        lock_messages(tx, ids.iter().copied()).await?;
        attempts::write_open(tx, &ids).await?;
        let unstarted: Vec<(i64, i64)> = tx.all(UNSTART, args![to_json(asked)?, lease.0, now]).await?;
        if !unstarted.is_empty() {
            tx.execute(CLAIM_AGAIN, args![to_json(&unstarted)?, lease.0, now]).await?;
        }
        self.give_back_in(tx, lease, channel, &ids).await
    }

    /// Ends waiting messages whose time has run out, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn expire_messages(&self, limit: u32) -> StoreResult<u64> {
        if self.db.optional::<(i64,), _>(EXPIRING, args![self.now_ms()]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let expired = tx.execute(EXPIRE, args![self.now_ms(), i64::from(limit)]).await?;
        tx.commit().await?;
        Ok(expired)
    }
}
