//! What `kabar status` shows: how many messages are where, how each sender does, what lies in the lines, who is at
//! work.
//!
//! Counts are read from the messages themselves, so they add up at every moment. That is one walk through all messages,
//! a fraction of a second per million, and the only statement of the ledger that grows with them: meant for a person
//! who looks, not for a loop.

use std::collections::HashMap;

use kabar_domain::{
    message::{MessageState, Phase, StateCounts},
    pace::Rate,
};

use crate::{
    Lease, Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
    senders::rate_of,
};

/// How far back sent messages count as sent just now, in milliseconds.
const RECENTLY_MS: i64 = 60_000;

statements! {
    SENDERS = "select s.id, s.name, s.provider, s.state, s.state_reason, s.rate_per_second, p.effective_rate_milli,
  p.parked_until, p.park_reason
from senders s join pace p on p.sender_id = s.id where s.tenant_id = $1 order by s.name";
    /// A message is written at the start of each attempt, so only those written recently need a look at their attempts.
    COUNTS = "select m.sender_id, m.state, count(*) as messages, cast(sum(case when m.updated_at > $1 then (
    select count(*) from attempts a where a.message_id = m.id and a.started_at > $1
      and (m.state <> 'sending' or a.number <> m.attempts)) + case when m.state = 'sending' then 1 else 0 end
  else 0 end) as bigint) as started
from messages m group by m.sender_id, m.state";
    LINES = "select line, count(*) from line_items where available_at <= $1 group by line order by line";
}

/// How everything stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// How many messages are in each state.
    pub messages: StateCounts,
    /// The senders, by name.
    pub senders: Vec<SenderStatus>,
    /// The lines of the database queue that have items, with how many can be taken now; none of other queues.
    pub lines: Vec<(String, i64)>,
    /// How many dead letters there are.
    pub dead: i64,
    /// The processes at work.
    pub workers: Vec<Lease>,
}

/// How a sender stands.
#[derive(Debug, Clone)]
pub struct SenderStatus {
    /// Its name.
    pub name: String,
    /// Who carries its messages.
    pub provider: String,
    /// `active`, `paused`, `halted` or `parked`.
    pub state: String,
    /// Why it is not active.
    pub reason: Option<String>,
    /// The most messages per second, as configured.
    pub rate: Rate,
    /// The messages per second that it may send now: fewer than configured after a throttle; none where unlimited.
    pub effective_rate: Option<f64>,
    /// Until when it is parked, in Unix milliseconds; none where it is not.
    pub parked_until: Option<i64>,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages in the hands of couriers, or in doubt.
    pub in_flight: u64,
    /// Attempts that started in the last minute.
    pub sent_last_minute: u64,
}

row! {
    struct SenderRow {
        id: i64,
        name: String,
        provider: String,
        state: String,
        state_reason: Option<String>,
        rate_per_second: Option<i64>,
        effective_rate_milli: Option<i64>,
        parked_until: i64,
        park_reason: Option<String>,
    }
}

row! {
    struct CountRow {
        sender_id: i64,
        state: String,
        messages: i64,
        started: i64,
    }
}

/// What a sender's messages come to.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    counts: StateCounts,
    started: u64,
}

impl Store {
    /// How everything of a tenant stands. Walks through all messages.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn status(&self, tenant: TenantId) -> StoreResult<Status> {
        let now = self.now_ms();
        let rows: Vec<SenderRow> = self.db.all(SENDERS, args![tenant.0]).await?;
        let counts: Vec<CountRow> = self.db.all(COUNTS, args![now - RECENTLY_MS]).await?;
        let mut loads: HashMap<i64, Load> = HashMap::new();
        for count in counts {
            let load = loads.entry(count.sender_id).or_default();
            load.counts.add(state_of(&count.state)?, count.messages.unsigned_abs());
            load.started += count.started.unsigned_abs();
        }
        let mut messages = StateCounts::default();
        let mut senders = Vec::with_capacity(rows.len());
        for row in rows {
            let load = loads.remove(&row.id).unwrap_or_default();
            for state in MessageState::ALL {
                messages.add(state, load.counts.get(state));
            }
            senders.push(row.into_status(load, now));
        }
        Ok(Status {
            messages,
            senders,
            lines: self.lines_ready().await?,
            dead: self.count_dead_letters(tenant).await?,
            workers: self.leases().await?,
        })
    }

    /// The lines of the database queue that have items, with how many can be taken now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn lines_ready(&self) -> StoreResult<Vec<(String, i64)>> {
        self.db.all(LINES, args![self.now_ms()]).await
    }
}

impl SenderRow {
    fn into_status(self, load: Load, now: i64) -> SenderStatus {
        let parked_until = Some(self.parked_until).filter(|until| *until > now);
        let (state, reason) = if self.state == "active" && parked_until.is_some() {
            ("parked".to_owned(), self.park_reason)
        } else {
            (self.state, self.state_reason)
        };
        let rate = rate_of(self.rate_per_second);
        let effective_rate = rate
            .limit()
            .map(|limit| self.effective_rate_milli.map_or(f64::from(limit), |milli| milli as f64 / 1_000.0));
        SenderStatus {
            name: self.name,
            provider: self.provider,
            state,
            reason,
            rate,
            effective_rate,
            parked_until,
            waiting: load.counts.of(Phase::Waiting),
            in_flight: load.counts.of(Phase::InFlight),
            sent_last_minute: load.started,
        }
    }
}

/// A message's state as the ledger holds it.
pub(crate) fn state_of(text: &str) -> StoreResult<MessageState> {
    text.parse().map_err(|error| StoreError::unreadable("a message's state", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, parked_until: i64) -> SenderRow {
        SenderRow {
            id: 1,
            name: "default".to_owned(),
            provider: "whatsapp_cloud".to_owned(),
            state: state.to_owned(),
            state_reason: None,
            rate_per_second: Some(80),
            effective_rate_milli: Some(40_500),
            parked_until,
            park_reason: Some("throttled".to_owned()),
        }
    }

    #[test]
    fn a_parked_sender_tells_why_and_until_when() {
        let now = 1_000_000_000_000;
        let mut counts = StateCounts::default();
        counts.add(MessageState::Queued, 3);
        counts.add(MessageState::Sending, 2);
        let sender = row("active", now + 1_500).into_status(Load { counts, started: 7 }, now);
        assert_eq!((sender.state.as_str(), sender.reason.as_deref()), ("parked", Some("throttled")));
        assert_eq!((sender.parked_until, sender.effective_rate), (Some(now + 1_500), Some(40.5)));
        assert_eq!((sender.waiting, sender.in_flight, sender.sent_last_minute), (3, 2, 7));
    }

    #[test]
    fn a_paused_sender_is_paused_even_while_it_is_parked() {
        assert_eq!(row("paused", 20).into_status(Load::default(), 10).state, "paused");
        assert_eq!(row("active", 10).into_status(Load::default(), 10).state, "active");
    }
}
