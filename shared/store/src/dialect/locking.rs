//! Statements that pick rows which others want, too.
//!
//! On Postgres they lock what they pick and skip what others have picked. SQLite has one writer at a time, so there is
//! nothing to lock and no syntax for it.

use crate::db::Sql;

macro_rules! picking {
    ($before:literal, $lock:literal, $after:literal) => {
        Sql { sqlite: concat!($before, $after), postgres: concat!($before, $lock, $after) }
    };
}

/// Claims at most `$4` messages of sender `$1` in lane `$2` that are due at `$3`, under lease `$5`; none before (`$6`, `$7`)
/// in the order of due time and id, and none of a broadcast that was stopped or held meanwhile.
pub(crate) const CLAIM_LANE: Sql = picking!(
    "update messages set state = 'claimed', lease_id = $5, updated_at = $3
where id in (
  select id from messages
  where state = 'queued' and sender_id = $1 and lane = $2 and due_at <= $3 and (due_at, id) >= ($6, $7)
    and not exists (select 1 from jobs where jobs.id = $2 & 72057594037927935
      and (jobs.control <> 'running' or jobs.held_until > $3))
  order by due_at, id limit $4",
    " for update skip locked",
    ")
returning id, job_id, recipient_id, lane, (select phone from recipients where recipients.id = messages.recipient_id) as phone,
  (select fields from message_fields where message_id = messages.id) as fields, due_at, attempts, state"
);

macro_rules! claim_and_start {
    ($place:literal, $lock:literal) => {
        concat!(
            "update messages set lease_id = $5, slot_us = null, updated_at = $3, attempts = messages.attempts + picked.free,
  state = case when picked.free = 1 then 'sending' else 'claimed' end
from (
  select ranked.place, case when ranked.turn = 1 and (ranked.expires_at is null or ranked.expires_at > $3)
    and not exists (select 1 from messages other
      where other.sender_id = $1 and other.recipient_id = ranked.recipient_id and other.state = 'sending')
    and not exists (select 1 from blocks where blocks.recipient_id = ranked.recipient_id and blocks.channel = $8)
    and not exists (select 1 from wishes where wishes.recipient_id = ranked.recipient_id and wishes.channel = $8
      and wishes.wanted = 0 and wishes.covers in ('all', (select category from jobs where jobs.id = ranked.job_id)))
    and exists (select 1 from jobs where jobs.id = ranked.job_id and jobs.control = 'running') then 1 else 0 end as free
  from (
    select place, job_id, recipient_id, expires_at, row_number() over (partition by recipient_id order by due_at, id) as turn
    from (
      select ",
            $place,
            " as place, id, job_id, recipient_id, expires_at, due_at from messages
      where state = 'queued' and sender_id = $1 and lane = $2 and due_at <= $3 and (due_at, id) >= ($6, $7)
        and not exists (select 1 from jobs where jobs.id = $2 & 72057594037927935
          and (jobs.control <> 'running' or jobs.held_until > $3))
      order by due_at, id limit $4",
            $lock,
            ") due) ranked limit $4) picked
where messages.",
            $place,
            " = picked.place
returning id, job_id, recipient_id, lane, (select phone from recipients where recipients.id = messages.recipient_id) as phone,
  (select fields from message_fields where message_id = messages.id) as fields, due_at, attempts, state"
        )
    };
}

/// Claims as [`CLAIM_LANE`] does, and starts what may be: of each recipient the first, unless another message to them is
/// being sent, they were blocked on channel `$8` or opted out, or the job was stopped meanwhile. For senders without a pace, which have
/// no slot to wait for: one step instead of two. Postgres goes straight to the rows that it has locked. The outer limit cuts
/// nothing off; it has the looks taken once for each message, and not once for each column that depends on them.
pub(crate) const CLAIM_AND_START_LANE: Sql =
    Sql { sqlite: claim_and_start!("id", ""), postgres: claim_and_start!("ctid", " for update skip locked") };

/// Notes the lanes that sender `$1` served last, urgent, normal and bulk; left undone where another transaction holds the
/// sender's pace: a turn more or less is not worth waiting for, and who waits for nothing is in no deadlock.
pub(crate) const NOTE_TURN: Sql = picking!(
    "update pace set last_urgent = $2, last_normal = $3, last_bulk = $4
where sender_id in (select sender_id from pace where sender_id = $1",
    " for update skip locked",
    ")"
);

/// The job whose next chunk is to be planned: the one that has had the fewest messages so far, so that a single send waits for
/// no million, and broadcasts take turns.
pub(crate) const CLAIM_JOB: Sql = picking!(
    "select id, tenant_id, kind, body, sender_id, control, audience, cursor, created_at from jobs
where state = 'accepted' order by audience, id limit 1",
    " for update skip locked",
    ""
);

/// The events that are to be applied next, at most `$1`.
pub(crate) const CLAIM_EVENTS: Sql = picking!(
    "select id, provider, body, allowed, received_at from events where state = 'new' order by id limit $1",
    " for update skip locked",
    ""
);

/// The messages with ids in `$1`, in the order of ids, so that no two transactions wait for each other.
pub(crate) const LOCK_MESSAGES: Sql = picking!(
    "select id, job_id, sender_id, recipient_id, lane, state, attempts, tries, pair_throttles from messages
where id in (select cast(value as bigint) from json_each($1)) order by id",
    " for update",
    ""
);

/// A budget: how many people it allows, how many it reached, and up to whom their places are promised.
pub(crate) const LOCK_BUDGET: Sql =
    picking!("select people_per_day, people, promised_at from budgets where id = $1", " for update", "");

/// Tenant `$1`, whose planners take turns while each looks for what it counts.
pub(crate) const LOCK_TENANT: Sql = picking!("select id from tenants where id = $1", " for no key update", "");

/// The pace of the senders with ids in `$1`, in the order of ids.
pub(crate) const LOCK_PACE: Sql = picking!(
    "select sender_id, effective_rate_milli, parked_until, park_streak from pace
where sender_id in (select cast(value as bigint) from json_each($1)) order by sender_id",
    " for update",
    ""
);

/// Takes at most `$3` items of line `$1` that are available at `$2`; they come back at `$4` unless they are removed.
pub(crate) const TAKE_LINE_ITEMS: Sql = picking!(
    "update line_items set available_at = $4
where id in (
  select id from line_items where line = $1 and available_at <= $2 order by available_at, id limit $3",
    " for update skip locked",
    ")
returning id, body"
);
