//! The wall clock, as a parameter: a test may run a day of sending in a moment.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// Unix time in microseconds.
    fn now_us(&self) -> i64;

    /// Unix time in milliseconds.
    fn now_ms(&self) -> i64 {
        self.now_us() / 1_000
    }

    /// Whether it is a machine's, which may be wrong: a ledger that has a clock of its own then puts it right.
    fn may_be_wrong(&self) -> bool {
        true
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    #[must_use]
    pub const fn at_ms(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms * 1_000))
    }

    /// Moves it by `us` microseconds; negative values move it back.
    pub fn advance_us(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    /// Moves it by `ms` milliseconds.
    pub fn advance_ms(&self, ms: i64) {
        self.advance_us(ms * 1_000);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// It is right by definition.
    fn may_be_wrong(&self) -> bool {
        false
    }
}

/// A look at both clocks that took longer than this, in microseconds, tells too little.
const LOOK_MOST_US: i64 = 1_000_000;

/// The time by which a ledger is kept: that of this process's clock, put right by the database's, so that processes whose
/// clocks differ agree about leases and due times.
#[derive(Debug)]
pub(crate) struct LedgerClock {
    own: Arc<dyn Clock>,
    /// How far the database's clock is ahead of `own`.
    ahead_us: AtomicI64,
}

impl LedgerClock {
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead_us: AtomicI64::new(0) }
    }

    /// Whether it wants to be put right.
    pub(crate) fn may_be_wrong(&self) -> bool {
        self.own.may_be_wrong()
    }

    /// This process's clock as it is.
    pub(crate) fn own_us(&self) -> i64 {
        self.own.now_us()
    }

    /// Takes note of what the database's clock said between two looks at this process's. What took too long, or during
    /// which this clock stepped, is left out.
    pub(crate) fn learn(&self, asked_us: i64, ledger_us: i64, answered_us: i64) {
        if (0..=LOOK_MOST_US).contains(&(answered_us - asked_us)) {
            self.ahead_us.store(ledger_us - asked_us.midpoint(answered_us), Ordering::Release);
        }
    }
}

impl Clock for LedgerClock {
    fn now_us(&self) -> i64 {
        self.own.now_us() + self.ahead_us.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_put_right_by_looks_that_tell_enough() {
        let clock = LedgerClock::new(Arc::new(ManualClock::at_ms(1_000)));
        clock.learn(1_000_000, 121_010_000, 1_020_000);
        assert_eq!(clock.now_ms(), 121_000);
        clock.learn(1_000_000, 500_000_000, 2_000_001);
        clock.learn(1_000_000, 500_000_000, 999_999);
        assert_eq!(clock.now_ms(), 121_000, "what took too long, and a step during the look, tell nothing");
    }
}
