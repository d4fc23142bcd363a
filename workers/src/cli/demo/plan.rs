//! How large the run is and how long it may take.

use std::time::Duration;

use kabar_domain::pace::Rate;

use super::jobs::{REMINDERS, URGENT};

/// What an unlimited sender comes to at least, in messages per second, on a slow machine.
const UNLIMITED_PER_SECOND: f64 = 100.0;

/// Throttles, parking and the last receipts take about so long.
const BESIDES: Duration = Duration::from_secs(9);

/// How large the run is and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many people the group has.
    pub(super) recipients: u32,
    /// The sender's rate, and the sandbox's limit.
    pub(super) rate: Rate,
    /// About how long it takes.
    pub(super) expected: Duration,
    /// It is given up after this long.
    pub(super) limit: Duration,
}

impl Plan {
    pub(super) fn new(recipients: u32, rate: Rate) -> Self {
        let messages = f64::from(recipients) + (REMINDERS.messages + URGENT) as f64;
        let per_second = rate.limit().map_or(UNLIMITED_PER_SECOND * 10.0, f64::from);
        let expected = Duration::from_secs_f64(messages / per_second) + BESIDES;
        let slowest = rate.limit().map_or(UNLIMITED_PER_SECOND, |rate| f64::from(rate) / 3.0);
        let limit = Duration::from_secs_f64(messages / slowest.min(UNLIMITED_PER_SECOND)) + Duration::from_secs(90);
        Self { recipients, rate, expected, limit }
    }

    /// How many messages there are in all.
    pub(super) fn messages(&self) -> u64 {
        u64::from(self.recipients) + REMINDERS.messages + URGENT
    }

    /// How long after the start the reminders fall due: early enough that much of the broadcast still waits.
    pub(super) fn reminders_after(&self) -> Duration {
        self.expected.mul_f64(0.25).clamp(Duration::from_secs(3), Duration::from_secs(8))
    }

    /// Every so many requests the sandbox throttles: twice in the run. None where there is no limit.
    pub(super) fn throttle_every(&self) -> Option<u32> {
        let third = u32::try_from(self.messages() / 3).unwrap_or(u32::MAX);
        self.rate.limit().map(|_| third + 2)
    }

    /// How many requests each burst of throttling refuses: about as many as are under way at an eighth of a second each.
    pub(super) fn throttle_burst(&self) -> u32 {
        self.rate.limit().map_or(0, |rate| (rate / 8).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_run_takes_about_half_a_minute() {
        let plan = Plan::new(400, Rate::default());
        assert!((25..=35).contains(&plan.expected.as_secs()), "{plan:?}");
        assert!(plan.limit > plan.expected * 2);
        assert_eq!(plan.throttle_burst(), 2);
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        for recipients in [1, 20, 100_000] {
            for rate in [Rate::per_second(1).unwrap(), Rate::per_second(1_000).unwrap(), Rate::Unlimited] {
                let plan = Plan::new(recipients, rate);
                assert!(plan.limit > plan.expected, "{plan:?}");
                assert_eq!(plan.throttle_every().is_none(), rate == Rate::Unlimited);
            }
        }
    }
}
