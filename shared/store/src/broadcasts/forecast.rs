//! When the last of some waiting messages leaves: at the sender's rate, after what is more urgent, in turns with what is as
//! urgent, not while the sender is parked, and as the budget of its portfolio allows.

use std::{collections::HashMap, time::Duration};

use kabar_domain::{job::Priority, pace::spacing_us};

use super::{BACKLOG, PACES};
use crate::{
    Store,
    budgets::DAY_MS,
    db::{args, row},
    error::StoreResult,
    jobs::json_list,
    lanes::{LANE_JOB_MASK, first_of_priority, lane},
};

/// The pace's usual margin against jitter; what is left to send takes so much longer.
pub(crate) const MARGIN: Duration = Duration::from_millis(15);

row! {
    #[derive(Debug, Clone)]
    struct PaceRow {
        id: i64,
        state: String,
        rate_per_second: Option<i64>,
        effective_rate_milli: Option<i64>,
        parked_until: i64,
        people_per_day: Option<i64>,
        people: i64,
    }
}

/// When new messages of a sender would have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// How many that wait already leave before the last of them.
    pub ahead: u64,
    /// When the last of them leaves, in Unix milliseconds; none where the sender does not send, or is unlimited.
    pub ends_at: Option<i64>,
}

/// Messages that wait, as far as their departure goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// How many they are.
    pub(super) messages: u64,
    /// Before this time none of them leaves, in Unix milliseconds.
    pub(super) not_before: i64,
    /// When the last of them falls due, in Unix milliseconds: later than now where some wait for the portfolio's budget.
    pub(super) last_due: i64,
    /// How many others leave before the last of them.
    pub(super) ahead: u64,
}

/// What a sender has to send, and how fast it does.
#[derive(Debug, Clone)]
pub(super) struct SenderForecast {
    pace: PaceRow,
    /// How many messages are due in each lane that may go on.
    lanes: Vec<(i64, u64)>,
}

impl Store {
    /// When the last of `messages` new ones of a broadcast with this sender (the ledger's id) and priority would leave, if
    /// none of them may before `not_before` (Unix milliseconds).
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn forecast(
        &self,
        sender_id: i64,
        priority: Priority,
        messages: u64,
        not_before: i64,
    ) -> StoreResult<Forecast> {
        let Some(sender) = self.forecasts(&[sender_id]).await?.remove(&sender_id) else {
            return Ok(Forecast { ahead: 0, ends_at: None });
        };
        // The job to be is the newest of all.
        let ahead = sender.ahead_of(lane(priority, Some(LANE_JOB_MASK)), messages);
        let ends_at = sender.last_departure(Waiting { messages, not_before, last_due: 0, ahead }, self.now_ms());
        Ok(Forecast { ahead, ends_at })
    }

    pub(super) async fn forecasts(&self, sender_ids: &[i64]) -> StoreResult<HashMap<i64, SenderForecast>> {
        let ids = json_list(sender_ids);
        let paces: Vec<PaceRow> = self.db.all(PACES, args![ids.as_str(), self.now_ms() - DAY_MS]).await?;
        let backlog: Vec<(i64, i64, i64)> = self.db.all(BACKLOG, args![ids, self.now_ms()]).await?;
        let mut forecasts: HashMap<i64, SenderForecast> =
            paces.into_iter().map(|pace| (pace.id, SenderForecast { pace, lanes: Vec::new() })).collect();
        for (sender_id, lane, messages) in backlog {
            if let Some(sender) = forecasts.get_mut(&sender_id) {
                sender.lanes.push((lane, messages.unsigned_abs()));
            }
        }
        Ok(forecasts)
    }
}

impl SenderForecast {
    /// How many messages leave before the last one of this broadcast's that are due.
    pub(super) fn ahead_of_job(&self, job_id: i64) -> u64 {
        let own = self.lanes.iter().find(|(lane, _)| lane & LANE_JOB_MASK == job_id);
        own.map_or(0, |&(lane, messages)| self.ahead_of(lane, messages))
    }

    /// Everything that is more urgent goes before; lanes of the same priority take turns until the shorter one is empty.
    fn ahead_of(&self, own: i64, messages: u64) -> u64 {
        let before = |&(lane, count): &(i64, u64)| {
            if lane < first_of_priority(own) {
                count
            } else if lane != own && first_of_priority(lane) == first_of_priority(own) {
                count.min(messages)
            } else {
                0
            }
        };
        self.lanes.iter().map(before).sum()
    }

    /// When the last of them leaves, in Unix milliseconds; none where nothing waits or the sender does not send.
    pub(super) fn last_departure(&self, waiting: Waiting, now: i64) -> Option<i64> {
        if waiting.messages == 0 || self.pace.state != "active" {
            return None;
        }
        let configured = self.pace.rate_per_second?.unsigned_abs() * 1_000;
        let rate_milli = self.pace.effective_rate_milli.map_or(configured, i64::unsigned_abs);
        let after = |from: i64, messages: u64| {
            from.saturating_add_unsigned(messages.saturating_mul(spacing_us(rate_milli, MARGIN)) / 1_000)
        };
        let starts = now.max(self.pace.parked_until);
        // What waits already goes on while these may not leave yet.
        let alone = after(starts.max(waiting.not_before), waiting.messages);
        let among_others = after(starts, waiting.messages.saturating_add(waiting.ahead));
        Some(alone.max(among_others).max(self.budget_allows(waiting, now)))
    }

    /// When the portfolio's budget allows the last of them at the latest, in Unix milliseconds; everybody counts as somebody
    /// new. Places come free as they were taken a day before, and messages that wait for one know when.
    fn budget_allows(&self, waiting: Waiting, now: i64) -> i64 {
        let Some(most) = self.pace.people_per_day.map(i64::unsigned_abs) else { return 0 };
        let left = most.saturating_sub(self.pace.people.unsigned_abs());
        let too_many = waiting.messages.saturating_add(waiting.ahead).saturating_sub(left);
        match too_many.div_ceil(most.max(1)) {
            0 => 0,
            1 if waiting.last_due > now => waiting.last_due,
            days => now.saturating_add_unsigned(days.saturating_mul(DAY_MS.unsigned_abs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(lanes: &[(i64, u64)]) -> SenderForecast {
        let pace = PaceRow {
            id: 1,
            state: "active".to_owned(),
            rate_per_second: Some(20),
            effective_rate_milli: None,
            parked_until: 0,
            people_per_day: None,
            people: 0,
        };
        SenderForecast { pace, lanes: lanes.to_vec() }
    }

    fn with(change: impl FnOnce(&mut PaceRow)) -> SenderForecast {
        let mut sender = sender(&[]);
        change(&mut sender.pace);
        sender
    }

    #[test]
    fn what_is_left_takes_the_rate_and_its_margin() {
        let left = Waiting { messages: 2_000, not_before: 0, last_due: 0, ahead: 0 };
        assert_eq!(sender(&[]).last_departure(left, 1_000), Some(1_000 + 101_500));
        assert_eq!(with(|pace| pace.effective_rate_milli = Some(10_000)).last_departure(left, 0), Some(203_000));
        assert_eq!(with(|pace| pace.parked_until = 9_000).last_departure(left, 0), Some(110_500));
        assert_eq!(sender(&[]).last_departure(Waiting { not_before: 50_000, ..left }, 0), Some(151_500));
        assert_eq!(with(|pace| pace.rate_per_second = None).last_departure(left, 0), None);
        assert_eq!(with(|pace| pace.state = "halted".to_owned()).last_departure(left, 0), None);
        assert_eq!(sender(&[]).last_departure(Waiting { messages: 0, ..left }, 0), None);
    }

    #[test]
    fn what_is_more_urgent_goes_before_and_what_is_as_urgent_takes_turns() {
        let bulk = |job| lane(Priority::Bulk, Some(job));
        let sender = sender(&[
            (lane(Priority::Urgent, None), 5),
            (lane(Priority::Normal, None), 7),
            (bulk(3), 100),
            (bulk(4), 40),
        ]);
        assert_eq!(sender.ahead_of_job(3), 5 + 7 + 40);
        assert_eq!(sender.ahead_of_job(4), 5 + 7 + 40, "the longer one waits in its turns");
        assert_eq!(sender.ahead_of_job(9), 0, "nothing of it is due");
        assert_eq!(sender.ahead_of(lane(Priority::Normal, Some(9)), 3), 5 + 3);
    }

    #[test]
    fn a_budget_of_people_takes_days() {
        let within = |people: i64| with(|pace| (pace.people_per_day, pace.people) = (Some(250), people));
        let waiting = Waiting { messages: 200, not_before: 0, last_due: 0, ahead: 0 };
        assert_eq!(within(50).last_departure(waiting, 0), Some(10_150), "all of them fit");
        assert_eq!(within(250).last_departure(waiting, 0), Some(DAY_MS));
        let promised = Waiting { last_due: 7_200_000, ..waiting };
        assert_eq!(within(250).last_departure(promised, 0), Some(7_200_000));
        let many = Waiting { messages: 1_000, ..waiting };
        assert_eq!(within(0).last_departure(many, 0), Some(3 * DAY_MS));
    }

    #[test]
    fn others_go_on_while_it_may_not_leave_yet() {
        let sender = sender(&[]);
        let waiting = Waiting { messages: 100, not_before: 20_000, last_due: 0, ahead: 100 };
        assert_eq!(sender.last_departure(waiting, 0), Some(25_075));
        assert_eq!(sender.last_departure(Waiting { ahead: 1_000, ..waiting }, 0), Some(55_825));
    }
}
