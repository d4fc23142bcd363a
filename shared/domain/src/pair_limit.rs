//! How often one sender may write to one person.
//!
//! The rule is the platform's (Cloud API, pair rate limit): one message per interval in the long run, with bursts that
//! borrow from the time after them. What a pair owes is one number: when all its messages so far are paid off.

use std::time::Duration;

/// One message per interval to a person, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairLimit {
    interval_ms: i64,
    burst: u32,
}

impl PairLimit {
    /// One message per `interval`, which is a millisecond at least, and bursts of `burst`, which is 1 at least.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 1_000_000);
        Self { interval_ms: interval_ms.clamp(1, i64::MAX / 1_000_000), burst: burst.max(1) }
    }

    /// When the next message may be claimed, `now` at the earliest, where those so far are paid off at `paid_off_at`. Unix
    /// milliseconds, as everywhere here.
    ///
    /// One of the burst is kept back: a message leaves after it was claimed, by up to an interval more than another, and
    /// the platform counts when it arrives.
    #[must_use]
    pub fn next_at(self, paid_off_at: i64, now: i64) -> i64 {
        now.max(paid_off_at - self.borrowed_ms(self.burst.saturating_sub(2)))
    }

    /// When all is paid off once another message is claimed at `at`.
    #[must_use]
    pub fn paid_off_after(self, paid_off_at: i64, at: i64) -> i64 {
        paid_off_at.max(at).saturating_add(self.interval_ms)
    }

    /// When all is paid off that led the platform to refuse one more message at `at`, as far as can be told.
    #[must_use]
    pub fn paid_off_after_refusal(self, at: i64) -> i64 {
        at.saturating_add(self.borrowed_ms(self.burst))
    }

    /// For how long a pair owes something after a whole burst, in milliseconds.
    #[must_use]
    pub fn memory_ms(self) -> i64 {
        self.borrowed_ms(self.burst)
    }

    fn borrowed_ms(self, messages: u32) -> i64 {
        self.interval_ms.saturating_mul(i64::from(messages))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIX_SECONDS: Duration = Duration::from_secs(6);

    #[test]
    fn a_burst_goes_at_once_and_then_one_per_interval() {
        let limit = PairLimit::new(SIX_SECONDS, 45);
        let (mut paid_off, mut at_once) = (0, 0);
        while limit.next_at(paid_off, 1_000) == 1_000 {
            paid_off = limit.paid_off_after(paid_off, 1_000);
            at_once += 1;
        }
        assert_eq!(at_once, 44, "one is kept back");
        assert_eq!(limit.next_at(paid_off, 1_000), 7_000);
        assert_eq!(limit.next_at(paid_off, 7_000), 7_000);
        assert_eq!(limit.next_at(limit.paid_off_after(paid_off, 7_000), 7_000), 13_000);
    }

    #[test]
    fn without_a_burst_each_waits_for_the_one_before() {
        let limit = PairLimit::new(SIX_SECONDS, 1);
        assert_eq!(limit.next_at(limit.paid_off_after(0, 500), 501), 6_500);
    }

    #[test]
    fn a_refusal_is_waited_for() {
        let limit = PairLimit::new(SIX_SECONDS, 45);
        assert_eq!(limit.next_at(limit.paid_off_after_refusal(0), 0), 12_000);
    }

    proptest! {
        /// The platform's rule by its words: after a burst, one message per interval.
        #[test]
        fn the_platform_has_nothing_to_refuse_though_messages_leave_late(
            waits in prop::collection::vec((0_i64..9_000, 0_i64..=6_000), 1..300),
            burst in 2_u32..50,
        ) {
            let limit = PairLimit::new(SIX_SECONDS, burst);
            let (mut now, mut paid_off, mut left) = (0, 0, Vec::new());
            for (later, delay) in waits {
                now = limit.next_at(paid_off, now + later);
                paid_off = limit.paid_off_after(paid_off, now);
                left.push(now + delay);
            }
            left.sort_unstable();
            let mut owed_until = 0;
            for at in left {
                prop_assert!(owed_until - at <= 6_000 * i64::from(burst - 1), "{owed_until} at {at}");
                owed_until = at.max(owed_until) + 6_000;
            }
        }
    }
}
