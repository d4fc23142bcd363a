//! How workers of one process learn at once that there is work; polling is the fallback for everything else.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

/// What there may be work in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Jobs wait to be planned.
    Jobs,
    /// Messages are due, or a sender may send again.
    Messages,
    /// Tickets lie in the line of the database queue.
    Tickets,
    /// Jobs of other services lie in the line of the database queue.
    IncomingJobs,
    /// Events wait to be applied.
    Events,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] = [Self::Jobs, Self::Messages, Self::Tickets, Self::IncomingJobs, Self::Events];
}

/// One bell per topic; each has one worker who waits for it. A ring that nobody waits for is kept.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<[Notify; Topic::ALL.len()]>);

impl Wake {
    /// Says that there may be work in `topic`.
    pub fn ring(&self, topic: Topic) {
        self.0[topic as usize].notify_one();
    }

    /// Waits for a ring of `topic`, at most `most`.
    pub async fn wait(&self, topic: Topic, most: Duration) {
        let _ = tokio::time::timeout(most, self.0[topic as usize].notified()).await;
    }
}
