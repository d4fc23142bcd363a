//! What waits, in figures for a machine that looks every few seconds. Nothing here grows with the ledger: counts end at a
//! bound, and ages are read from the fronts of indexes.

use kabar_domain::{job::Priority, pace::Rate};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::StoreResult,
    lanes::lane,
    senders::rate_of,
};

/// As far as messages are counted.
const MOST_COUNTED: i64 = 100_000;

/// The most lanes of a sender and priority that are looked at for the oldest message.
const MOST_LANES: i64 = 256;

statements! {
    SENDERS = "select s.id, s.tenant_id, s.name, s.rate_per_second, p.effective_rate_milli
from senders s join pace p on p.sender_id = s.id order by s.id";
    /// What people hold back is counted, and makes nothing old.
    LANES = "with recursive lanes(lane) as (
  select min(lane) from messages where state = 'queued' and sender_id = $1 and lane >= $2 and lane < $3
  union all
  select (select min(m.lane) from messages m
    where m.state = 'queued' and m.sender_id = $1 and m.lane > lanes.lane and m.lane < $3)
  from lanes where lanes.lane is not null
)
select
  (select count(*) from (select 1 from messages
    where state = 'queued' and sender_id = $1 and lane >= $2 and lane < $3 limit $4) counted) as waiting,
  (select min(fronts.due_at) from (
    select (select min(m.due_at) from messages m
      where m.state = 'queued' and m.sender_id = $1 and m.lane = lanes.lane) as due_at
    from lanes where lane is not null and not exists (select 1 from jobs
      where jobs.id = lanes.lane & 72057594037927935 and (jobs.control <> 'running' or jobs.held_until > $5))
    limit $6) fronts) as due_at";
    DOUBTS = "select
  (select count(*) from (select 1 from messages where state = 'in_doubt' limit $1) counted),
  (select count(*) from (select 1 from messages where state = 'unresolved' limit $1) counted),
  (select received_at from events where state = 'new' order by id limit 1)";
}

/// What waits in the whole ledger, of all tenants.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Every sender.
    pub senders: Vec<SenderBacklog>,
    /// Messages of which nobody knows whether they left.
    pub in_doubt: u64,
    /// Messages that wait for a person.
    pub unresolved: u64,
    /// For how long the oldest event has waited to be applied, in milliseconds; none where none waits.
    pub oldest_event_ms: Option<u64>,
}

/// What waits for one sender.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderBacklog {
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it; unique per tenant.
    pub name: String,
    /// The most messages per second, as configured.
    pub rate: Rate,
    /// The messages per second that it may send now: fewer after a throttle; none where unlimited.
    pub effective_rate: Option<f64>,
    /// What waits, by priority.
    pub lanes: Vec<(Priority, LaneBacklog)>,
}

/// What waits for one sender with one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneBacklog {
    /// Messages that wait, due or not; counted up to 100,000.
    pub waiting: u64,
    /// For how long the first that is due and may go on has been due, in milliseconds; none where none is.
    pub oldest_ms: Option<u64>,
}

row! {
    struct SenderRow {
        id: i64,
        tenant_id: i64,
        name: String,
        rate_per_second: Option<i64>,
        effective_rate_milli: Option<i64>,
    }
}

impl Store {
    /// What waits, for whom, and for how long.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn backlog(&self) -> StoreResult<Backlog> {
        let now = self.now_ms();
        let rows: Vec<SenderRow> = self.db.all(SENDERS, args![]).await?;
        let mut senders = Vec::with_capacity(rows.len());
        for row in rows {
            let mut lanes = Vec::with_capacity(Priority::ALL.len());
            for priority in Priority::ALL {
                lanes.push((priority, self.lane_backlog(row.id, priority, now).await?));
            }
            let effective = row.rate_per_second.map(|rate| row.effective_rate_milli.unwrap_or(rate * 1_000));
            senders.push(SenderBacklog {
                tenant: TenantId(row.tenant_id),
                name: row.name,
                rate: rate_of(row.rate_per_second),
                effective_rate: effective.map(|milli| milli as f64 / 1_000.0),
                lanes,
            });
        }
        let found: Option<(i64, i64, Option<i64>)> = self.db.optional(DOUBTS, args![MOST_COUNTED]).await?;
        let (in_doubt, unresolved, received_at) = found.unwrap_or_default();
        Ok(Backlog {
            senders,
            in_doubt: in_doubt.unsigned_abs(),
            unresolved: unresolved.unsigned_abs(),
            oldest_event_ms: received_at.map(|at| age(at, now)),
        })
    }

    async fn lane_backlog(&self, sender_id: i64, priority: Priority, now: i64) -> StoreResult<LaneBacklog> {
        let (from, to) = (lane(priority, None), lane(priority, None) + crate::lanes::LANE_JOB_MASK + 1);
        let values = args![sender_id, from, to, MOST_COUNTED, now, MOST_LANES];
        let found: Option<(i64, Option<i64>)> = self.db.optional(LANES, values).await?;
        let (waiting, due_at) = found.unwrap_or_default();
        Ok(LaneBacklog {
            waiting: waiting.unsigned_abs(),
            oldest_ms: due_at.filter(|due_at| *due_at <= now).map(|due_at| age(due_at, now)),
        })
    }
}

/// How long ago it was, in milliseconds; clocks may differ a little.
fn age(at: i64, now: i64) -> u64 {
    now.saturating_sub(at).max(0).unsigned_abs()
}
