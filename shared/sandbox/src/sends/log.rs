//! The recent arrivals, kept for whoever asks.

use std::collections::VecDeque;

use crate::arrival::Arrival;

/// The most arrivals that are kept; the oldest give way. About 80 MB without bodies.
pub const ARRIVALS_KEPT_MAX: usize = 262_144;

/// Arrivals in the order in which they were decided.
#[derive(Debug, Default)]
pub(crate) struct ArrivalLog {
    kept: VecDeque<Arrival>,
}

impl ArrivalLog {
    pub(crate) fn push(&mut self, arrival: Arrival) {
        if self.kept.len() == ARRIVALS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(arrival);
    }

    /// The newest arrivals, oldest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<Arrival> {
        self.kept.iter().skip(self.kept.len().saturating_sub(limit)).cloned().collect()
    }
}
