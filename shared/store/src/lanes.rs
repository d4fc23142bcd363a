//! Which of a sender's messages are due: one lane per priority and broadcast.
//!
//! A lane's number is the priority's rank in the top byte and the broadcast's job below it (0 for single sends and
//! reminders, which share one lane per priority). The index on waiting messages begins with sender and lane, so the lanes
//! of a sender and when each falls due are read by a few look-ups, however many messages wait.

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
    priority_of(lane) << PRIORITY_SHIFT
}

const fn priority_of(lane: i64) -> i64 {
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
  and exists (select 1 from messages where messages.state = 'queued' and messages.sender_id = senders.id)";
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
    /// The senders that may send now and have messages waiting, with when the next falls due; and when the first parked
    /// one may send again.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn due_senders(&self) -> StoreResult<(Vec<DueSender>, Option<i64>)> {
        let now = self.now_ms();
        let rows: Vec<SenderRow> = self.db.all(SENDERS, args![now]).await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in rows {
            let lanes: Vec<(i64, i64)> = self.db.all(LANES, args![row.id, MOST_LANES, now]).await?;
            let Some(next_due) = lanes.iter().map(|(_, due)| *due).min() else { continue };
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
        Ok((due, unparked.and_then(|(at,)| at)))
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

/// The sender's lanes with something due at `now`, in the order in which they are to be served: urgent first; within a
/// priority beginning after `last`, the lane served last.
pub(crate) async fn due_lanes(tx: &mut Tx, sender_id: i64, last: i64, now: i64) -> StoreResult<Vec<i64>> {
    let lanes: Vec<(i64, i64)> = tx.all(LANES, args![sender_id, MOST_LANES, now]).await?;
    let mut due: Vec<i64> = lanes.into_iter().filter(|(_, due)| *due <= now).map(|(lane, _)| lane).collect();
    due.sort_unstable_by_key(|lane| (priority_of(*lane), *lane <= last, *lane));
    Ok(due)
}

/// How many messages each of `lanes` may give towards a batch of `limit`: all of the first priority's lanes share
/// equally, and what they leave goes to the next.
pub(crate) fn shares(lanes: &[i64], limit: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
    let of_priority = |priority| lanes.iter().filter(|lane| priority_of(**lane) == priority).count().max(1);
    lanes.iter().map(move |lane| {
        let count = i64::try_from(of_priority(priority_of(*lane))).unwrap_or(i64::MAX);
        (*lane, (limit / count).max(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_sort_by_priority_and_share_a_batch() {
        let (urgent, one, two) =
            (lane(Priority::Urgent, None), lane(Priority::Bulk, Some(1)), lane(Priority::Bulk, Some(2)));
        assert!(urgent < one && one < two);
        assert_eq!(shares(&[urgent, one, two], 20).collect::<Vec<_>>(), [(urgent, 20), (one, 10), (two, 10)]);
    }
}
