//! What happens in the course of the demo, and what there is to tell of it.

use std::time::{Duration, Instant};

use kabar_domain::message::{MessageState, Phase, StateCounts};
use kabar_store::{DEFAULT_TENANT, Store};

use super::{
    super::output::number as count,
    jobs::{self, PAID, REMINDERS, URGENT},
    lines::seconds,
    people,
    plan::Plan,
    stage::Stage,
    watch::Snapshot,
};

/// Urgent messages are enqueued once so much of the broadcast is done.
const URGENT_AT: f64 = 0.4;

/// The jobs of the demo, by the ledger's ids, and what has happened so far.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) broadcast: i64,
    pub(super) reminders: Vec<i64>,
    pub(super) urgent: Vec<i64>,
    /// Reminders fall due this long after the start.
    reminders_after: Duration,
    reminders_told: bool,
    urgent_enqueued: Option<Instant>,
    urgent_told: bool,
    paid: bool,
    parked_until: Option<i64>,
    was_slowed: bool,
}

impl Script {
    /// Enqueues the broadcast and the reminders.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(super) async fn begin(stage: &Stage, plan: &Plan) -> anyhow::Result<Self> {
        let store = stage.store();
        let broadcast = store.enqueue(DEFAULT_TENANT, &jobs::broadcast()?).await?.job_id();
        let at = chrono::Utc::now() + plan.reminders_after();
        let mut reminders = Vec::new();
        for index in 0..REMINDERS.jobs {
            reminders.push(store.enqueue(DEFAULT_TENANT, &jobs::reminder(index, at)?).await?.job_id());
        }
        Ok(Self {
            broadcast,
            reminders,
            urgent: Vec::new(),
            reminders_after: plan.reminders_after(),
            reminders_told: false,
            urgent_enqueued: None,
            urgent_told: false,
            paid: false,
            parked_until: None,
            was_slowed: false,
        })
    }

    /// Whether everything that was to happen has happened.
    pub(super) const fn is_over(&self) -> bool {
        self.urgent_told && self.paid
    }

    /// Does what is next, and gives what there is to tell.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub(super) async fn step(&mut self, stage: &Stage, seen: &Snapshot) -> anyhow::Result<Vec<String>> {
        let mut events = Vec::new();
        events.extend(self.throttles(seen));
        events.extend(self.reminders(stage.store(), seen).await?);
        events.extend(self.urgent(stage, seen).await?);
        Ok(events)
    }

    fn throttles(&mut self, seen: &Snapshot) -> Option<String> {
        let parked = seen.sender.parked_until.filter(|until| self.parked_until.is_none_or(|known| *until > known));
        if let (Some(until), Some(parked_for)) = (parked, seen.parked_for) {
            self.parked_until = Some(until);
            self.was_slowed = true;
            let length = parked_for.as_secs_f64().ceil();
            return Some(format!("provider says slow down: parked for {length} s, then half as fast"));
        }
        let full = seen.sender.rate.limit().map(f64::from);
        if self.was_slowed && seen.parked_for.is_none() && seen.sender.effective_rate == full {
            self.was_slowed = false;
            return full.map(|rate| format!("the rate has grown back to {rate} a second"));
        }
        None
    }

    async fn reminders(&mut self, store: &Store, seen: &Snapshot) -> anyhow::Result<Option<String>> {
        if !self.reminders_told && seen.elapsed >= self.reminders_after {
            self.reminders_told = true;
            let jobs = REMINDERS.jobs;
            return Ok(Some(format!("{jobs} payment reminders fall due; they go before the broadcast")));
        }
        if self.paid || !self.reminders_told {
            return Ok(None);
        }
        let first = store.job_counts(self.reminders[PAID as usize]).await?;
        if first.of(Phase::Done) == 0 {
            return Ok(None);
        }
        self.paid = true;
        let id = jobs::reminder_id(PAID);
        let cancelled = store.cancel_reminder(DEFAULT_TENANT, &id, "paid").await?;
        Ok(Some(format!("{id} is paid: its {cancelled} later reminders are cancelled")))
    }

    async fn urgent(&mut self, stage: &Stage, seen: &Snapshot) -> anyhow::Result<Option<String>> {
        let Some(enqueued) = self.urgent_enqueued else {
            let done = seen.broadcast.counts.of(Phase::Done) as f64;
            if done == 0.0 || done < seen.broadcast.audience as f64 * URGENT_AT {
                return Ok(None);
            }
            self.urgent_enqueued = Some(Instant::now());
            for index in 0..URGENT {
                let enqueued = stage.store().enqueue(DEFAULT_TENANT, &jobs::urgent(index)?).await?;
                self.urgent.push(enqueued.job_id());
            }
            let waiting = count(seen.all.of(Phase::Waiting));
            return Ok(Some(format!("{URGENT} urgent messages are enqueued while {waiting} others wait")));
        };
        if self.urgent_told {
            return Ok(None);
        }
        let mut counts = StateCounts::default();
        for job in &self.urgent {
            let of_job = stage.store().job_counts(*job).await?;
            MessageState::ALL.into_iter().for_each(|state| counts.add(state, of_job.get(state)));
        }
        if counts.of(Phase::Done) < URGENT {
            return Ok(None);
        }
        self.urgent_told = true;
        let arrivals = stage.sandbox.arrivals();
        let numbers: Vec<String> = (0..URGENT).map(people::guide_phone).collect();
        let is_urgent = |to: &str| numbers.iter().any(|number| number.trim_start_matches('+') == to);
        let last = arrivals.iter().rev().find(|arrival| arrival.accepted && is_urgent(&arrival.to));
        let waiting = count(seen.broadcast.counts.of(Phase::Waiting));
        let after = last.map_or(Duration::ZERO, |arrival| arrival.at.saturating_duration_since(enqueued));
        Ok(Some(format!("all {URGENT} have left {} later; {waiting} of the broadcast still wait", seconds(after))))
    }
}
