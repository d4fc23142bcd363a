//! Which of a sender's messages are due: one lane per priority and broadcast.
//!
//! A lane's number is the priority's rank in the top byte and the broadcast's job below it (0 for single sends and
//! reminders, which share one lane per priority). The index on waiting messages begins with sender and lane, so the lanes
//! of a sender and when each falls due are read by a few look-ups, however many messages wait.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use kabar_domain::job::Priority;

use crate::{
    Store,
    db::{Tx, args, row, statements},
    error::StoreResult,
};

const PRIORITY_SHIFT: u32 = 56;

/// The part of a lane's number that names the broadcast's job.
pub const LANE_JOB_MASK: i64 = (1 << PRIORITY_SHIFT) - 1;

/// The most lanes of one sender that are looked at in a turn.
const MOST_LANES: i64 = 256;

/// How long a process goes by the fronts that it saw, in milliseconds: so much later may it notice what came before them.
const FRONTS_MOST_MS: i64 = 500;

/// The lane of messages of `priority`; of the broadcast with job `broadcast`, or of single sends and reminders.
pub(crate) const fn lane(priority: Priority, broadcast: Option<i64>) -> i64 {
    let job = match broadcast {
        Some(job) => job & LANE_JOB_MASK,
        None => 0,
    };
    (priority.rank() << PRIORITY_SHIFT) | job
}

/// The first lane of the priority of `lane`: those below it are more urgent.
pub(crate) const fn first_of_priority(lane: i64) -> i64 {
    rank_of(lane) << PRIORITY_SHIFT
}

/// Whether a broadcast's messages wait in `lane`.
pub(crate) const fn is_of_broadcast(lane: i64) -> bool {
    lane & LANE_JOB_MASK != 0
}

/// The rank of the priority of `lane`.
pub(crate) const fn rank_of(lane: i64) -> i64 {
    lane >> PRIORITY_SHIFT
}

statements! {
    LANES = "with recursive lanes(lane) as (
  select min(lane) from messages where state = 'queued' and sender_id = $1
  union all
  select (select min(m.lane) from messages m where m.state = 'queued' and m.sender_id = $1 and m.lane > lanes.lane)
  from lanes where lanes.lane is not null
)
select lane, (select min(m.due_at) from messages m where m.state = 'queued' and m.sender_id = $1 and m.lane = lanes.lane)
from lanes
where lane is not null
  and not exists (select 1 from jobs where jobs.id = lanes.lane & 72057594037927935
    and (jobs.control <> 'running' or jobs.held_until > $3))
limit $2";
    SENDERS = "select senders.id, senders.rate_per_second, pace.effective_rate_milli, pace.ticketed_until
from senders join pace on pace.sender_id = senders.id
where senders.state = 'active' and pace.parked_until <= $1
  and (pace.ticketed_until < $2 or pace.ticketed_until >= $3)
  and exists (select 1 from messages where messages.state = 'queued' and messages.sender_id = senders.id)";
    COVERED_UNTIL = "select min(ticketed_until) from pace where ticketed_until >= $1 and ticketed_until < $2";
    NEXT_UNPARKED = "select min(pace.parked_until) from senders join pace on pace.sender_id = senders.id
where senders.state = 'active' and pace.parked_until > $1
  and exists (select 1 from messages where messages.state = 'queued' and messages.sender_id = senders.id)";
    WAITING = "select count(*) from (select 1 from messages where state = 'queued' and sender_id = $1 limit $2) waiting";
    TICKET = "update pace set ticketed_until = $2 where sender_id = $1 and ticketed_until = $3";
}

/// A sender that may send and has messages waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueSender {
    /// The sender.
    pub sender_id: i64,
    /// The rate to send at, in thousandths of a message per second; none: unlimited.
    pub rate_milli: Option<u64>,
    /// The most messages in a batch.
    pub batch_limit: u32,
    /// When its next message falls due, in Unix milliseconds; may lie in the past.
    pub next_due: i64,
    /// Up to when tickets are out for it, in Unix milliseconds.
    pub ticketed_until: i64,
}

row! {
    struct SenderRow {
        id: i64,
        rate_per_second: Option<i64>,
        effective_rate_milli: Option<i64>,
        ticketed_until: i64,
    }
}

impl Store {
    /// The senders that may send now and have messages waiting, with when the next falls due; and when to look at others:
    /// when the first parked one may send again, or tickets of the first that has enough of them reach half as far as
    /// `enough_for` begins: one look then writes many. Those whose tickets reach that far from now, in milliseconds, are not looked at.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn due_senders(&self, enough_for: Range<i64>) -> StoreResult<(Vec<DueSender>, Option<i64>)> {
        let now = self.now_ms();
        let covered = now + enough_for.start..now + enough_for.end;
        let rows: Vec<SenderRow> = self.db.all(SENDERS, args![now, covered.start, covered.end]).await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in rows {
            let unpaced = row.rate_per_second.is_none();
            let next_due = if unpaced && self.seen_due.lately(row.id, now) {
                now
            } else {
                let lanes: Vec<(i64, i64)> = self.db.all(LANES, args![row.id, MOST_LANES, now]).await?;
                let Some(next_due) = lanes.iter().map(|(_, due)| *due).min() else { continue };
                self.seen_due.note(row.id, now, next_due);
                next_due
            };
            let rate = row.rate_per_second.map(|rate| rate.unsigned_abs());
            due.push(DueSender {
                sender_id: row.id,
                rate_milli: rate
                    .map(|rate| row.effective_rate_milli.map_or(rate * 1_000, |milli| milli.unsigned_abs())),
                batch_limit: crate::senders::rate_of(row.rate_per_second).batch_limit(),
                next_due,
                ticketed_until: row.ticketed_until,
            });
        }
        let unparked: Option<(Option<i64>,)> = self.db.optional(NEXT_UNPARKED, args![now]).await?;
        let until: Option<(Option<i64>,)> = self.db.optional(COVERED_UNTIL, args![covered.start, covered.end]).await?;
        let half_used = until.and_then(|(until,)| until).map(|until| until - enough_for.start / 2);
        Ok((due, unparked.and_then(|(at,)| at).into_iter().chain(half_used).min()))
    }

    /// How many messages of a sender wait, counted up to `most`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn waiting_messages(&self, sender_id: i64, most: u64) -> StoreResult<u64> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let row: Option<(i64,)> = self.db.optional(WAITING, args![sender_id, most]).await?;
        Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
    }

    /// Notes that tickets are out for a sender up to `until`, unless another dispatcher noted so since `known`. Whether it
    /// was noted: only then may the tickets be published.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn note_tickets(&self, sender_id: i64, known: i64, until: i64) -> StoreResult<bool> {
        let mut tx = self.db.begin().await?;
        let noted = tx.execute(TICKET, args![sender_id, until, known]).await? == 1;
        tx.commit().await?;
        Ok(noted)
    }
}

/// Senders that were seen with a due message, and when last. Without a pace a sender is looked at many times a second, and
/// each look at its lanes walks over all that was claimed lately; a surplus ticket meanwhile does no harm.
#[derive(Debug, Default)]
pub(crate) struct SeenDue(Mutex<HashMap<i64, i64>>);

impl SeenDue {
    /// Whether it was a moment before `now`.
    fn lately(&self, sender_id: i64, now: i64) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&sender_id).is_some_and(|at| (at + 1..at + FRONTS_MOST_MS).contains(&now))
    }

    /// Notes what a look at `now` saw.
    fn note(&self, sender_id: i64, now: i64, next_due: i64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if next_due <= now {
            seen.insert(sender_id, now);
        } else {
            seen.remove(&sender_id);
        }
    }
}

/// Where the waiting messages of a lane begin: none is due before this time, or has this time and a lower id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) lane: i64,
    pub(crate) due_at: i64,
    pub(crate) id: i64,
}

/// The fronts of senders with a backlog, as one process saw them.
///
/// What has been claimed stays in an index until the database clears it away, and every look from a lane's beginning walks
/// over it. Who claims a backlog therefore goes on where the last claim ended. What comes before a front meanwhile
/// (messages given back, a more urgent one) is found by the next look, as soon as a claim comes back short or the fronts
/// are old.
#[derive(Debug, Default)]
pub(crate) struct Fronts(HashMap<i64, (i64, Vec<Front>)>);

impl Fronts {
    /// The sender's fronts, unless they are too old at `now`, with the time at which they were read.
    pub(crate) fn take(&mut self, sender_id: i64, now: i64) -> Option<(i64, Vec<Front>)> {
        self.0.remove(&sender_id).filter(|(read_at, _)| (*read_at..*read_at + FRONTS_MOST_MS).contains(&now))
    }

    /// Keeps the fronts that were read at `read_at` and moved on since.
    pub(crate) fn put(&mut self, sender_id: i64, read_at: i64, fronts: Vec<Front>) {
        self.0.insert(sender_id, (read_at, fronts));
    }
}

/// The fronts of a sender's lanes, also of those whose first message is not due yet.
pub(crate) async fn read_fronts(tx: &mut Tx, sender_id: i64, now: i64) -> StoreResult<Vec<Front>> {
    let lanes: Vec<(i64, i64)> = tx.all(LANES, args![sender_id, MOST_LANES, now]).await?;
    Ok(lanes.into_iter().map(|(lane, due_at)| Front { lane, due_at, id: 0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_are_gone_by_for_a_while() {
        let mut fronts = Fronts::default();
        fronts.put(1, 1_000, Vec::new());
        assert_eq!(fronts.take(1, 1_000 + FRONTS_MOST_MS), None);
        fronts.put(1, 1_000, Vec::new());
        assert_eq!(fronts.take(2, 1_001), None);
        assert_eq!(fronts.take(1, 1_001), Some((1_000, Vec::new())));
        // The clock was set back.
        fronts.put(1, 1_000, Vec::new());
        assert_eq!(fronts.take(1, 999), None);
    }
}
