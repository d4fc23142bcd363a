//! How long to wait before connecting again.

use std::time::Duration;

use tokio::time::Instant;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait: a broker that is back is found within this.
const MOST: Duration = Duration::from_secs(2);

/// Grows with every failure; a part of it is chance, so that a fleet does not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Since the last success.
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// When the next attempt may be made; none if at once.
    pub(super) const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Notes a failure. `chance` is from 0 to 1.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        let most = FIRST.saturating_mul(1 << self.failures.min(8)).min(MOST);
        self.not_before = Some(now + most.mul_f64(0.5 + chance / 2.0));
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.not_before(), None);
        for wait_ms in [200, 400, 800, 1_600, 2_000, 2_000] {
            backoff.failed(now, 1.0);
            assert_eq!(backoff.not_before(), Some(now + Duration::from_millis(wait_ms)));
        }
        backoff.succeeded();
        backoff.failed(now, 0.0);
        assert_eq!(backoff.not_before(), Some(now + FIRST / 2));
    }
}
