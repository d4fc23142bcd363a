//! Broadcasts and how they stand.
//!
//! A broadcast's state is never stored: it follows from what a person said (`jobs.control`), how far planning has come,
//! and where its messages are. So it cannot disagree with the ledger.

use std::collections::HashMap;

use kabar_domain::message::{MessageState, StateCounts};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
    jobs::{JobRow, json_list},
    status::state_of,
};

mod control;
mod export;
mod forecast;
mod foreseen;

pub use export::ExportRow;
pub use forecast::Forecast;
pub(crate) use forecast::MARGIN;
use forecast::{SenderForecast, Waiting};
pub(crate) use foreseen::STATEMENTS as FORESEEN_STATEMENTS;

statements! {
    ROWS = "select id, tenant_id, job_key, kind, name, state, control, sender_id, audience, held_until,
  created_at, planned_at
from jobs where tenant_id = $1 and kind = 'broadcast' and id < $2 order by id desc limit $3";
    COUNTS = "select job_id, state, count(*) as messages, min(due_at) as first_due,
  max(due_at) as last_due
from messages where job_id in (select cast(value as bigint) from json_each($1)) group by job_id, state";
    PACES = "select s.id, s.state, s.rate_per_second, p.effective_rate_milli, p.parked_until, b.people_per_day,
  (select count(*) from reached where reached.budget_id = b.id and reached.reached_at > $2) as people
from senders s join pace p on p.sender_id = s.id
left join budgets b on b.tenant_id = s.tenant_id and b.portfolio = s.portfolio and b.people_per_day is not null
where s.id in (select cast(value as bigint) from json_each($1))";
    /// What is due of each lane that may go on, counted before jobs are looked at: of lanes there are few.
    BACKLOG = "select sender_id, lane, messages from (
  select sender_id, lane, count(*) as messages from messages
  where state = 'queued' and due_at <= $2 and sender_id in (select cast(value as bigint) from json_each($1))
  group by sender_id, lane) waiting
where not exists (select 1 from jobs where jobs.id = waiting.lane & 72057594037927935
  and (jobs.control <> 'running' or jobs.held_until > $2))";
    WAITING = "select id from messages where state = 'queued' and sender_id = $1 and lane = $2 limit 1";
    CONTROL = "update jobs set control = $3 where id = $1 and control = $2";
    /// Few are claimed; hence no index for the job, of which there may be a million.
    HELD = "select id from messages where state = 'claimed' and +job_id = $1";
    GIVE_BACK = "update messages set state = 'queued', lease_id = null, updated_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'claimed'";
    CANCEL_CLAIMED = "update messages set state = 'cancelled', reason = $3, lease_id = null, updated_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'claimed'";
    CANCEL_QUEUED = "update messages set state = 'cancelled', reason = $5, updated_at = $4
where id in (
    select id from messages where state = 'queued' and sender_id = $1 and lane = $2 order by due_at, id limit $3)
  and state = 'queued'";
    CANCEL_JOB = "update jobs set control = 'cancelled' where id = $1";
    CANCEL_FEW = "update messages set state = 'cancelled', reason = $3, lease_id = null, updated_at = $2
where job_id = $1 and state in ('queued', 'claimed')";
    FAILED = "select id, recipient_id, part from messages
where job_id = $1 and (recipient_id, part) > ($2, $3) and state = 'failed' and (expires_at is null or expires_at > $4)
order by recipient_id, part limit $5";
    RETRY = "update messages set state = 'queued', reason = null, tries = 0, pair_throttles = 0, due_at = $2,
  updated_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'failed'";
    EXPORT = "select m.id as message_id, r.phone, r.name, m.state, m.reason, a.code, a.meaning, m.attempts, m.updated_at
from messages m join recipients r on r.id = m.recipient_id
left join attempts a on a.message_id = m.id and a.number = m.attempts
where m.job_id = $1 and (m.recipient_id, m.part) > (
    coalesce((select recipient_id from messages where id = $2), -1),
    coalesce((select part from messages where id = $2), -1))
order by m.recipient_id, m.part limit $3";
    REASONS = "select m.state, m.reason, a.code, count(*)
from messages m left join attempts a on a.message_id = m.id and a.number = m.attempts
where m.job_id = $1 group by m.state, m.reason, a.code order by count(*) desc, m.state";
}

/// Where a broadcast is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BroadcastState {
    /// Its messages are being written; those that are may leave already.
    Planning,
    /// Its messages leave as the pace allows.
    Running,
    /// A person paused it; `kabar broadcast resume` goes on.
    Paused,
    /// Nothing of it waits, flies or needs attention.
    Completed,
    /// A person cancelled it; what had left stays sent.
    Cancelled,
}

impl BroadcastState {
    /// The name in the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One content for many recipients, with its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// The id of its job.
    pub id: String,
    /// The ledger's own id of its job; the cursor of lists.
    pub job_id: i64,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: BroadcastState,
    /// How many recipients were planned so far.
    pub audience: i64,
    /// How many of its messages are in each state.
    pub counts: StateCounts,
    /// When its last message leaves at the sender's present rate, after what goes before it and with what shares the
    /// sender with it, in Unix milliseconds; none where nothing waits, the sender does not send, or it is unlimited.
    pub eta: Option<i64>,
    /// When it was enqueued, in Unix milliseconds.
    pub created_at: i64,
}

row! {
    struct CountRow {
        job_id: i64,
        state: String,
        messages: i64,
        first_due: i64,
        last_due: i64,
    }
}

/// Where a job's messages are.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    counts: StateCounts,
    /// When the first waiting message falls due, in Unix milliseconds.
    first_due: Option<i64>,
    /// When the last of those that wait falls due.
    last_due: Option<i64>,
}

impl Store {
    /// The broadcast with the id `key`.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn broadcast(&self, tenant: TenantId, key: &str) -> StoreResult<Broadcast> {
        let row = self.broadcast_row(tenant, key).await?;
        let progress = self.progress(&[row.id]).await?.remove(&row.id).unwrap_or_default();
        let forecasts = self.forecasts(&[row.sender_id]).await?;
        Ok(view(row, progress, &forecasts, self.now_ms()))
    }

    /// A tenant's broadcasts, the newest first, those before `before_id` (the ledger's id of a job; the largest number
    /// begins), at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn broadcasts(&self, tenant: TenantId, before_id: i64, limit: u32) -> StoreResult<Vec<Broadcast>> {
        let rows: Vec<JobRow> = self.db.all(ROWS, args![tenant.0, before_id, i64::from(limit)]).await?;
        let jobs: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let senders: Vec<i64> = rows.iter().map(|row| row.sender_id).collect();
        let mut progress = self.progress(&jobs).await?;
        let forecasts = self.forecasts(&senders).await?;
        let now = self.now_ms();
        Ok(rows
            .into_iter()
            .map(|row| {
                let progress = progress.remove(&row.id).unwrap_or_default();
                view(row, progress, &forecasts, now)
            })
            .collect())
    }

    /// How many messages of a job (the ledger's id) are in each state.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn job_counts(&self, job_id: i64) -> StoreResult<StateCounts> {
        Ok(self.progress(&[job_id]).await?.remove(&job_id).unwrap_or_default().counts)
    }

    async fn broadcast_row(&self, tenant: TenantId, key: &str) -> StoreResult<JobRow> {
        self.job_row(tenant, key, Some("broadcast")).await?.ok_or_else(|| StoreError::NotFound {
            what: "broadcast",
            name: key.to_owned(),
            hint: ": `kabar broadcast list` shows what there is".to_owned(),
        })
    }

    async fn progress(&self, job_ids: &[i64]) -> StoreResult<HashMap<i64, Progress>> {
        let rows: Vec<CountRow> = self.db.all(COUNTS, args![json_list(job_ids)]).await?;
        let mut of: HashMap<i64, Progress> = HashMap::new();
        for row in rows {
            let state = state_of(&row.state)?;
            let progress = of.entry(row.job_id).or_default();
            progress.counts.add(state, row.messages.unsigned_abs());
            if state == MessageState::Queued {
                progress.first_due = Some(row.first_due);
                progress.last_due = Some(row.last_due);
            }
        }
        Ok(of)
    }
}

fn view(row: JobRow, progress: Progress, forecasts: &HashMap<i64, SenderForecast>, now: i64) -> Broadcast {
    let state = derived(&row.control, &row.state, &progress.counts);
    let moves = matches!(state, BroadcastState::Planning | BroadcastState::Running);
    let eta = forecasts.get(&row.sender_id).filter(|_| moves).and_then(|sender| {
        let waiting = Waiting {
            messages: progress.counts.get(MessageState::Queued) + progress.counts.get(MessageState::Claimed),
            not_before: progress.first_due.unwrap_or(0).max(row.held_until),
            last_due: progress.last_due.unwrap_or(0),
            ahead: sender.ahead_of_job(row.id),
        };
        sender.last_departure(waiting, now)
    });
    Broadcast {
        id: row.job_key,
        job_id: row.id,
        name: row.name,
        state,
        audience: row.audience,
        counts: progress.counts,
        eta,
        created_at: row.created_at,
    }
}

/// The state that follows from what a person said, how far planning has come and where the messages are. One that was
/// paused when its last message was already on its way is completed: there is nothing to resume.
fn derived(control: &str, planning: &str, counts: &StateCounts) -> BroadcastState {
    match (control, planning) {
        ("cancelled", _) => BroadcastState::Cancelled,
        (_, "planned") if counts.all_done() => BroadcastState::Completed,
        ("paused", _) => BroadcastState::Paused,
        (_, "planned") => BroadcastState::Running,
        _ => BroadcastState::Planning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(MessageState, u64)]) -> StateCounts {
        let mut counts = StateCounts::default();
        of.iter().for_each(|(state, count)| counts.add(*state, *count));
        counts
    }

    #[test]
    fn the_state_follows_from_the_ledger() {
        use BroadcastState::{Cancelled, Completed, Paused, Planning, Running};
        let open = counts(&[(MessageState::Queued, 1), (MessageState::Read, 1)]);
        let done = counts(&[(MessageState::Failed, 1)]);
        assert_eq!(derived("running", "accepted", &open), Planning);
        assert_eq!(derived("running", "accepted", &done), Planning, "more is to come");
        assert_eq!(derived("running", "planned", &open), Running);
        assert_eq!(derived("running", "planned", &done), Completed);
        assert_eq!(derived("running", "planned", &StateCounts::default()), Completed, "an audience of none");
        assert_eq!(derived("paused", "accepted", &open), Paused);
        assert_eq!(derived("paused", "planned", &done), Completed);
        assert_eq!(derived("cancelled", "planned", &done), Cancelled);
        let doubtful = counts(&[(MessageState::Unresolved, 1)]);
        assert_eq!(derived("running", "planned", &doubtful), Running);
    }
}
