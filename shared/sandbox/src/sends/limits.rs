//! The platform's own limits on a number: its throughput, and how often it may write to one recipient.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::sends::window::WorstWindow;

/// The most phone number ids that are kept track of; further ones are refused as unknown.
pub(crate) const NUMBERS_MAX: usize = 10_000;

const SECOND: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// One message to a recipient per this long, in the long run.
const PAIR_INTERVAL: Duration = Duration::from_secs(6);

/// Messages to one recipient that may come at once; they borrow from the time after them.
const PAIR_BURST: u32 = 45;

/// Pairs above which those that are free again are forgotten.
const PAIRS_KEPT_MIN: usize = 1_024;

/// What is known of one phone number id.
#[derive(Debug, Default)]
pub(crate) struct Number {
    pub(crate) arrivals: WorstWindow,
    pub(crate) throughput: Throughput,
    pub(crate) pairs: Pairs,
}

/// What a limit on any stretch of time has let through in the last one.
#[derive(Debug, Default)]
struct Passed(VecDeque<Instant>);

impl Passed {
    /// Whether one more may pass, so that no half-open stretch of `length` ever has more than `most`. Those that were refused
    /// do not count, or a client that keeps trying would never get through.
    fn admits(&mut self, at: Instant, most: u32, length: Duration) -> bool {
        let at = self.0.back().map_or(at, |newest| at.max(*newest));
        while self.0.front().is_some_and(|oldest| *oldest + length <= at) {
            self.0.pop_front();
        }
        let admitted = self.0.len() < most as usize;
        if admitted {
            self.0.push_back(at);
        }
        admitted
    }
}

/// The sends that a number's throughput let through in the last second.
#[derive(Debug, Default)]
pub(crate) struct Throughput(Passed);

impl Throughput {
    /// Whether one more send may pass.
    pub(crate) fn admits(&mut self, at: Instant, rate_per_second: u32) -> bool {
        self.0.admits(at, rate_per_second, SECOND)
    }
}

/// The calls of the last hour that count against a limit on calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(Passed);

impl Calls {
    /// Whether one more call may pass.
    pub(crate) fn admits(&mut self, at: Instant, per_hour: u32) -> bool {
        self.0.admits(at, per_hour, HOUR)
    }

    /// How much of the limit is used up, in percent, and in how many minutes the oldest call counts no more if that is all.
    pub(crate) fn usage(&self, at: Instant, per_hour: u32) -> CallUsage {
        let used = self.0.0.len() as u64;
        let percent = used * 100 / u64::from(per_hour.max(1));
        let free_at = self.0.0.front().filter(|_| used >= u64::from(per_hour)).map(|oldest| *oldest + HOUR);
        let minutes = free_at.map_or(0, |free| free.saturating_duration_since(at).as_secs().div_ceil(60));
        CallUsage { percent, minutes }
    }
}

/// How much of a limit on calls is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallUsage {
    pub(crate) percent: u64,
    /// Until calls are taken again; 0 while they are.
    pub(crate) minutes: u64,
}

/// For each recipient the instant at which its messages are paid off, if it is still to come.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    paid_off: HashMap<String, Instant>,
    sweep_at: usize,
}

impl Pairs {
    /// Whether one more message to a recipient may pass.
    pub(crate) fn admits(&mut self, at: Instant, digits: &str) -> bool {
        let debt_max = PAIR_INTERVAL * (PAIR_BURST - 1);
        let paid_off = self.paid_off.get(digits).map_or(at, |paid_off| at.max(*paid_off));
        if paid_off.duration_since(at) > debt_max {
            return false;
        }
        self.sweep(at);
        self.paid_off.insert(digits.to_owned(), paid_off + PAIR_INTERVAL);
        true
    }

    /// Forgets the recipients that are free again, seldom enough to cost nothing per message. What stays is bounded by
    /// the messages of the last 270 s.
    fn sweep(&mut self, at: Instant) {
        if self.paid_off.len() >= self.sweep_at.max(PAIRS_KEPT_MIN) {
            self.paid_off.retain(|_, paid_off| *paid_off > at);
            self.sweep_at = self.paid_off.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_rate() {
        let start = Instant::now();
        let mut throughput = Throughput::default();
        let mut passed = WorstWindow::default();
        let mut count = 0;
        for ms in 0..5_000 {
            let at = start + Duration::from_millis(ms);
            if throughput.admits(at, 20) {
                passed.note(at);
                count += 1;
            }
        }
        assert_eq!(passed.worst(), 20);
        assert_eq!(count, 100);
    }

    #[test]
    fn a_pair_may_burst_and_then_waits_six_seconds_each() {
        let start = Instant::now();
        let mut pairs = Pairs::default();
        let burst = (0..60).filter(|_| pairs.admits(start, "15550100")).count();
        assert_eq!(burst, 45);
        assert!(pairs.admits(start, "15550199"));
        assert!(!pairs.admits(start + Duration::from_millis(5_999), "15550100"));
        assert!(pairs.admits(start + Duration::from_secs(6), "15550100"));
        assert!(!pairs.admits(start + Duration::from_secs(6), "15550100"));
    }

    #[test]
    fn calls_count_for_an_hour() {
        let start = Instant::now();
        let mut calls = Calls::default();
        assert!((0..4).all(|minute| calls.admits(start + Duration::from_secs(60 * minute), 4)));
        let later = start + Duration::from_secs(600);
        assert!(!calls.admits(later, 4));
        assert_eq!(calls.usage(later, 4), CallUsage { percent: 100, minutes: 50 });
        assert!(calls.admits(start + HOUR, 4));
        assert_eq!(calls.usage(start + HOUR, 8), CallUsage { percent: 50, minutes: 0 });
    }

    #[test]
    fn free_pairs_are_forgotten() {
        let start = Instant::now();
        let mut pairs = Pairs::default();
        for n in 0..5_000_u64 {
            assert!(pairs.admits(start + Duration::from_secs(n * 7), &n.to_string()));
        }
        assert!(pairs.paid_off.len() <= PAIRS_KEPT_MIN + 1);
    }
}
