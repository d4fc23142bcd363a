//! Tickets are acknowledged in groups: the claims they led to are committed, so nothing hurries.

use std::time::Duration;

use kabar_queue::{Delivery, Queue};
use tokio::sync::mpsc;

use crate::fault::{self, Point};

/// The most tickets in one acknowledgement.
const MOST: usize = 256;

/// How long the first of a group waits for others. Every acknowledgement is a write to the queue, and a ticket stays hidden
/// for much longer.
const GATHER_FOR: Duration = Duration::from_millis(20);

/// Where tickets go whose claim is committed.
#[derive(Debug, Clone)]
pub(super) struct Done(mpsc::UnboundedSender<Delivery>);

impl Done {
    /// Acknowledges the ticket soon. One that is not comes back and claims what is due then, which does no harm.
    pub(super) fn acknowledge(&self, delivery: Delivery) {
        // The other end lives as long as this one.
        let _ = self.0.send(delivery);
    }
}

/// Starts the task that acknowledges; it ends when every [`Done`] is dropped. The number of tickets that wait is bounded by
/// the number of batches.
pub(super) fn acknowledge_in_groups(queue: Queue) -> Done {
    let (done, mut waiting) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut group = Vec::new();
        while waiting.recv_many(&mut group, MOST).await > 0 {
            tokio::time::sleep(GATHER_FOR).await;
            while group.len() < MOST
                && let Ok(delivery) = waiting.try_recv()
            {
                group.push(delivery);
            }
            fault::pass(Point::BeforeAck);
            if let Err(error) = queue.acknowledge(&group).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "tickets could not be acknowledged; they come back"
                );
            }
            group.clear();
        }
    });
    Done(done)
}
