//! Looks at the ledger and at the sandbox while the fleet works.

use std::{collections::VecDeque, time::Duration};

use anyhow::Context as _;
use kabar_domain::message::StateCounts;
use kabar_store::{Broadcast, DEFAULT_TENANT, SenderStatus};
use tokio::time::Instant;

use super::{jobs, stage::Stage};

const SECOND: Duration = Duration::from_secs(1);

/// How everything stands at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Since the first job was enqueued.
    pub(super) elapsed: Duration,
    /// The broadcast.
    pub(super) broadcast: Broadcast,
    /// All messages, of all jobs.
    pub(super) all: StateCounts,
    /// The sender.
    pub(super) sender: SenderStatus,
    /// For how long the sender is still parked; none where it is not.
    pub(super) parked_for: Option<Duration>,
    /// How long the broadcast still takes.
    pub(super) left: Option<Duration>,
    /// Requests that the sandbox counted in the last second.
    pub(super) last_second: u64,
    /// The most requests that it counted in any second.
    pub(super) worst: usize,
}

/// Keeps what is needed to tell of the last second.
#[derive(Debug)]
pub(super) struct Watch {
    started: Instant,
    /// The sandbox's count at moments of the last second, the oldest first.
    counts: VecDeque<(Instant, u64)>,
}

impl Watch {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, counts: VecDeque::from([(started, 0)]) }
    }

    /// Notes how many requests have reached the sandbox by now.
    pub(super) fn count(&mut self, now: Instant, received: u64) {
        while self.counts.front().is_some_and(|(at, _)| now - *at > SECOND) {
            self.counts.pop_front();
        }
        self.counts.push_back((now, received));
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) async fn look(&self, stage: &Stage) -> anyhow::Result<Snapshot> {
        let store = stage.store();
        let broadcast = store.broadcast(DEFAULT_TENANT, jobs::BROADCAST).await?;
        let status = store.status(DEFAULT_TENANT).await?;
        let sender = status.senders.into_iter().find(|sender| sender.name == jobs::SENDER);
        let sender = sender.context("the demo's sender is not in the ledger")?;
        let from_now = |at: i64| u64::try_from(at - store.now_ms()).ok().map(Duration::from_millis);
        Ok(Snapshot {
            elapsed: self.started.elapsed(),
            parked_for: sender.parked_until.and_then(from_now),
            left: broadcast.eta.and_then(from_now),
            broadcast,
            all: status.messages,
            sender,
            last_second: self.last_second(),
            worst: stage.sandbox.worst_window(),
        })
    }

    fn last_second(&self) -> u64 {
        let newest = self.counts.back().map_or(0, |(_, count)| *count);
        let oldest = self.counts.front().map_or(0, |(_, count)| *count);
        newest.saturating_sub(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_is_never_longer_than_a_second() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for tick in 1..=60_u32 {
            watch.count(start + Duration::from_millis(50) * tick, tick.into());
        }
        assert_eq!(watch.last_second(), 20);
    }
}
