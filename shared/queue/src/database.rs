//! The queue in the ledger: nothing to install, and one thing less that can be away.

use std::time::Duration;

use kabar_store::Store;

use crate::{Delivery, Handle, Limits, Line, QueueResult};

/// How long an item stays hidden from others after it was taken. Tickets are acknowledged as soon as their claim is
/// committed, so only one of a dead courier comes back.
const HIDDEN_FOR: Duration = Duration::from_secs(30);

/// How often a line is looked at when no bell rings: other processes publish, too.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The queue in the ledger.
#[derive(Debug, Clone)]
pub struct DatabaseQueue {
    store: Store,
}

impl DatabaseQueue {
    /// The queue in this ledger.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits { batch_items: 1_000, body_bytes: 1_024 * 1_024 }
    }

    pub(crate) async fn publish(&self, line: Line, bodies: &[String]) -> QueueResult<()> {
        self.store.put_items(line.as_str(), bodies).await?;
        self.store.wake().ring(line.topic());
        Ok(())
    }

    pub(crate) async fn take(&self, line: Line, most: usize, wait: Duration) -> QueueResult<Vec<Delivery>> {
        let until = std::time::Instant::now() + wait;
        loop {
            let items = self.store.take_items(line.as_str(), most, HIDDEN_FOR).await?;
            let left = until.saturating_duration_since(std::time::Instant::now());
            if !items.is_empty() || left.is_zero() {
                return Ok(items
                    .into_iter()
                    .map(|item| Delivery {
                        body: item.body.into_bytes(),
                        message_id: None,
                        traceparent: None,
                        handle: Handle::Database(item.id),
                    })
                    .collect());
            }
            self.store.wake().wait(line.topic(), left.min(LOOK_EVERY)).await;
        }
    }

    pub(crate) async fn acknowledge(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        Ok(self.store.remove_items(&ids(deliveries)).await?)
    }

    pub(crate) async fn release(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        self.store.release_items(&ids(deliveries)).await?;
        Ok(())
    }

    pub(crate) async fn ready(&self, line: Line) -> QueueResult<u64> {
        Ok(self.store.items_ready(line.as_str()).await?)
    }

    pub(crate) async fn purge(&self, line: Line) -> QueueResult<()> {
        self.store.purge_items(line.as_str()).await?;
        Ok(())
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries
        .iter()
        .filter_map(|delivery| match delivery.handle {
            Handle::Database(id) => Some(id),
            // Taken from another queue.
            Handle::RabbitMq(_) | Handle::Sqs { .. } => None,
        })
        .collect()
}
