//! The most arrivals in any one second, kept up to date with each arrival so that a run of any length can be judged.
//!
//! A window is half open, `[t, t + 1 s)`, and may begin at any instant, not at whole seconds. The fullest windows begin
//! at an arrival, so only those are looked at.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(1);

/// How long arrivals are remembered for ones that are noted late. Connections are served in parallel and an arrival is
/// noted after its body was read, which is bounded by [`BODY_READ_TIME_MAX`](crate::api::messages::BODY_READ_TIME_MAX):
/// 5 s for that, 1 s for the window and 1 s to spare.
const REMEMBERED: Duration = Duration::from_secs(7);

/// Arrivals of one phone number id and the fullest window so far.
#[derive(Debug, Default)]
pub(crate) struct WorstWindow {
    times: VecDeque<Instant>,
    worst: usize,
}

impl WorstWindow {
    /// Notes an arrival, which may be a little older than those noted before it.
    pub(crate) fn note(&mut self, at: Instant) {
        let later = self.times.iter().rev().take_while(|time| **time > at).count();
        self.times.insert(self.times.len() - later, at);
        self.recount(at);
        self.forget();
    }

    /// The most arrivals in any window.
    pub(crate) fn worst(&self) -> usize {
        self.worst
    }

    /// Looks at the windows that an arrival fell into, oldest first. Of those that reach past the newest arrival the
    /// first is the fullest, so the search ends there: at once, unless the arrival was noted late.
    fn recount(&mut self, at: Instant) {
        let first = self.times.partition_point(|time| *time + WINDOW <= at);
        for (index, start) in self.times.iter().enumerate().skip(first) {
            let end = self.times.partition_point(|time| *time < *start + WINDOW);
            self.worst = self.worst.max(end - index);
            if end == self.times.len() {
                break;
            }
        }
    }

    fn forget(&mut self) {
        let Some(newest) = self.times.back().copied() else { return };
        while self.times.front().is_some_and(|oldest| *oldest + REMEMBERED < newest) {
            self.times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn by_definition(times: &[Instant]) -> usize {
        let within = |start: &Instant| times.iter().filter(|time| **time >= *start && **time < *start + WINDOW).count();
        times.iter().map(within).max().unwrap_or(0)
    }

    fn noted(times: &[Instant]) -> usize {
        let mut window = WorstWindow::default();
        times.iter().for_each(|time| window.note(*time));
        window.worst()
    }

    #[test]
    fn windows_are_half_open() {
        let start = Instant::now();
        assert_eq!(noted(&[]), 0);
        assert_eq!(noted(&[start, start + WINDOW]), 1);
        assert_eq!(noted(&[start, start + WINDOW - Duration::from_nanos(1)]), 2);
        assert_eq!(noted(&[start, start, start]), 3);
    }

    #[test]
    fn windows_need_not_begin_at_whole_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(noted(&[at(0), at(900), at(950), at(1_000), at(1_850), at(1_899), at(1_900)]), 5);
    }

    #[test]
    fn any_order_within_the_memory_gives_the_definitions_count() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let start = Instant::now();
            let count = rng.usize(1..120);
            let span_ms = rng.u64(1..30_000);
            let late_ms = rng.u64(0..5_000);
            // Each arrival is noted up to `late_ms` after it happened, which is what mixes their order.
            let mut arrivals: Vec<(u64, u64)> = (0..count)
                .map(|_| (rng.u64(0..span_ms), rng.u64(0..=late_ms)))
                .map(|(at, late)| (at + late, at))
                .collect();
            arrivals.sort_unstable();
            let times: Vec<Instant> = arrivals.iter().map(|(_, at)| start + Duration::from_millis(*at)).collect();
            assert_eq!(noted(&times), by_definition(&times), "seed {seed}");
        }
    }

    #[test]
    fn memory_is_bounded_by_time() {
        let start = Instant::now();
        let mut window = WorstWindow::default();
        for second in 0..1_000 {
            window.note(start + Duration::from_secs(second));
        }
        assert_eq!(window.worst(), 1);
        assert!(window.times.len() <= 8);
    }
}
