//! The queue: takes jobs in from other services and hands out tickets to whichever courier is free.
//!
//! It holds no delay and no truth. All waiting happens in the ledger; purge the queue, and the dispatcher writes new
//! tickets. The port is small: publish, take, acknowledge, release, and each backend declares its limits.
//!
//! To add a backend: its file here, a variant of [`Queue`] with the arms that the compiler asks for, its settings, a line
//! in the conformance suite, and a service in `deploy/compose.yaml`.

mod database;
mod rabbitmq;
mod sqs;
mod ticket;

use std::time::Duration;

pub use database::DatabaseQueue;
pub use rabbitmq::RabbitQueue;
pub use sqs::{MAX_SQS_BODY_BYTES, SqsOptions, SqsQueue, SqsServer};
pub use ticket::Ticket;

/// The header on RabbitMQ, and the message attribute on SQS, by which producers say where they are in a trace.
const TRACEPARENT: &str = "traceparent";

/// A named queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// Jobs from other services.
    Jobs,
    /// Tickets for couriers.
    Batches,
}

impl Line {
    /// Every line.
    pub const ALL: [Self; 2] = [Self::Jobs, Self::Batches];

    /// The bell by which the database queue wakes who takes from it.
    const fn topic(self) -> kabar_store::Topic {
        match self {
            Self::Jobs => kabar_store::Topic::IncomingJobs,
            Self::Batches => kabar_store::Topic::Tickets,
        }
    }

    /// The name, on every backend.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Batches => "batches",
        }
    }
}

/// One item taken from a line, to be acknowledged or released; otherwise it comes back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What it says, as it came: what other services publish may be anything.
    pub body: Vec<u8>,
    /// The id that its producer or the broker gave it, if any: it stands in for a job's own `id`.
    pub message_id: Option<String>,
    /// The `traceparent` (W3C Trace Context) of whoever published it, as it came.
    pub traceparent: Option<String>,
    /// How the backend finds it again.
    handle: Handle,
}

/// How a backend finds a delivery again; a variant for each.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Handle {
    /// The item's id in the ledger.
    Database(i64),
    /// The channel that it came on, and its number there.
    RabbitMq(rabbitmq::Tag),
    /// The line that it came from, and what SQS gave with it: the receipt changes with each time that it is received.
    Sqs {
        /// Its line.
        line: Line,
        /// Its receipt.
        receipt: String,
    },
}

/// What a backend can take; callers adapt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most items in one call.
    pub batch_items: usize,
    /// The largest body, in bytes.
    pub body_bytes: usize,
}

/// What can go wrong with the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The ledger, in which the queue lives, failed.
    #[error("the queue in the ledger failed")]
    Ledger(#[from] kabar_store::StoreError),
    /// An item is larger than the backend takes.
    #[error("an item of {bytes} bytes is larger than the {most} that this queue takes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
    /// An item holds what the backend cannot carry.
    #[error("this queue cannot carry an item: {why}")]
    Unfit {
        /// What it is.
        why: String,
    },
    /// A line's queue is not there.
    #[error("there is no queue {name}: `kabar migrate` makes it, or whoever runs the broker does")]
    Missing {
        /// What it should be called.
        name: String,
    },
    /// The broker is away or refused something; most such errors pass.
    #[error("the broker failed while {doing}")]
    Broker {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A result of the queue.
pub type QueueResult<T> = Result<T, QueueError>;

/// The queue, on whichever backend.
#[derive(Debug, Clone)]
pub enum Queue {
    /// In the ledger.
    Database(DatabaseQueue),
    /// On a RabbitMQ broker.
    RabbitMq(RabbitQueue),
    /// On Amazon SQS.
    Sqs(SqsQueue),
}

impl Queue {
    /// What the backend can take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        match self {
            Self::Database(queue) => queue.limits(),
            Self::RabbitMq(queue) => queue.limits(),
            Self::Sqs(queue) => queue.limits(),
        }
    }

    /// Brings the lines into being where the backend keeps them apart from the ledger; those that are there stay as they
    /// are. For `kabar migrate`: workers take lines as given.
    ///
    /// # Errors
    /// When the backend cannot be reached, or refuses.
    pub async fn prepare(&self) -> QueueResult<()> {
        match self {
            // Its table comes with the ledger's.
            Self::Database(_) => Ok(()),
            Self::Sqs(queue) => queue.prepare().await,
            Self::RabbitMq(queue) => queue.prepare().await,
        }
    }

    /// Whether every line is there, for workers to begin.
    ///
    /// # Errors
    /// [`QueueError::Missing`] with the name of the first that is not; or when the backend cannot be reached.
    pub async fn check(&self) -> QueueResult<()> {
        for line in Line::ALL {
            self.ready(line).await?;
        }
        Ok(())
    }

    /// Whether the backend can carry this body.
    fn can_carry(&self, body: &str) -> QueueResult<()> {
        let most = self.limits().body_bytes;
        if body.len() > most {
            return Err(QueueError::TooLarge { bytes: body.len(), most });
        }
        match self {
            // The ledger would keep another character in its place.
            Self::Database(_) if body.contains('\0') => {
                Err(QueueError::Unfit { why: "the ledger keeps no character U+0000".to_owned() })
            }
            Self::Database(_) | Self::RabbitMq(_) => Ok(()),
            Self::Sqs(_) => sqs::can_carry(body),
        }
    }

    /// Puts items into a line; durable when answered. Split into as many calls as the backend needs.
    ///
    /// # Errors
    /// When an item is too large, or holds what the backend cannot carry: then none is published. When the backend cannot
    /// take them: then some may be there already.
    pub async fn publish(&self, line: Line, bodies: &[String]) -> QueueResult<()> {
        bodies.iter().try_for_each(|body| self.can_carry(body))?;
        for bodies in bodies.chunks(self.limits().batch_items) {
            match self {
                Self::Database(queue) => queue.publish(line, bodies).await?,
                Self::RabbitMq(queue) => queue.publish(line, bodies).await?,
                Self::Sqs(queue) => queue.publish(line, bodies).await?,
            }
        }
        Ok(())
    }

    /// Takes at most `most` items, waiting up to `wait` for the first. An empty answer means that none came.
    ///
    /// # Errors
    /// When the backend cannot be reached.
    pub async fn take(&self, line: Line, most: usize, wait: Duration) -> QueueResult<Vec<Delivery>> {
        match self {
            Self::Database(queue) => queue.take(line, most, wait).await,
            Self::RabbitMq(queue) => queue.take(line, most, wait).await,
            Self::Sqs(queue) => queue.take(line, most, wait).await,
        }
    }

    /// Says that what the items asked for is done or written down: they do not come back.
    ///
    /// # Errors
    /// When the backend cannot be reached; the items then come back.
    pub async fn acknowledge(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        match self {
            Self::Database(queue) => queue.acknowledge(deliveries).await,
            Self::RabbitMq(queue) => queue.acknowledge(deliveries).await,
            Self::Sqs(queue) => queue.acknowledge(deliveries).await,
        }
    }

    /// Gives items back for others to take at once.
    ///
    /// # Errors
    /// When the backend cannot be reached; the items then come back by themselves.
    pub async fn release(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        match self {
            Self::Database(queue) => queue.release(deliveries).await,
            Self::RabbitMq(queue) => queue.release(deliveries).await,
            Self::Sqs(queue) => queue.release(deliveries).await,
        }
    }

    /// About how many items of a line can be taken now.
    ///
    /// # Errors
    /// When the backend cannot be reached.
    pub async fn ready(&self, line: Line) -> QueueResult<u64> {
        match self {
            Self::Database(queue) => queue.ready(line).await,
            Self::RabbitMq(queue) => queue.ready(line).await,
            Self::Sqs(queue) => queue.ready(line).await,
        }
    }

    /// Lets go of what was taken and not settled, for others to take at once, and of the connections.
    pub async fn close(&self) {
        match self {
            // The ledger's connections are the store's to close, and its items come back by themselves.
            Self::Database(_) => {}
            Self::RabbitMq(queue) => queue.close().await,
            Self::Sqs(queue) => queue.close().await,
        }
    }

    /// Removes every item of a line.
    ///
    /// # Errors
    /// When the backend cannot be reached.
    pub async fn purge(&self, line: Line) -> QueueResult<()> {
        match self {
            Self::Database(queue) => queue.purge(line).await,
            Self::RabbitMq(queue) => queue.purge(line).await,
            Self::Sqs(queue) => queue.purge(line).await,
        }
    }
}
