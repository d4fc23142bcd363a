//! A queue that the processes of a test share.

use kabar_queue::{DatabaseQueue, Queue};
use kabar_store::Store;

use crate::{Home, PrivateBroker, TestSqs};

/// What a queue may be kept in. To add one: a variant, and the arms that the compiler asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// The ledger.
    Database,
    /// A broker of the test's own.
    RabbitMq,
    /// Queues of the test's own on the test server for Amazon SQS.
    Sqs,
}

/// A queue at work; gone when it is dropped, as far as it is the test's own.
#[derive(Debug)]
pub enum SharedQueue {
    /// In the ledger.
    Database,
    /// On this broker.
    RabbitMq(Box<PrivateBroker>),
    /// In these queues.
    Sqs(TestSqs),
}

impl SharedQueue {
    /// Makes one.
    ///
    /// # Panics
    /// When its service is missing: `tests/run` installs and starts them.
    pub async fn make(kind: QueueKind) -> Self {
        match kind {
            QueueKind::Database => Self::Database,
            QueueKind::RabbitMq => Self::RabbitMq(Box::new(PrivateBroker::start().await)),
            QueueKind::Sqs => Self::Sqs(TestSqs::fresh()),
        }
    }

    /// A home whose processes use it.
    #[must_use]
    pub fn home(&self) -> Home {
        match self {
            Self::Database => Home::new().with("KABAR_QUEUE_URL", "database:"),
            Self::RabbitMq(broker) => Home::new().with("KABAR_QUEUE_URL", broker.url()),
            Self::Sqs(sqs) => sqs.home(),
        }
    }

    /// The same as another process sees it, which has this ledger.
    ///
    /// # Panics
    /// When there is no way to it.
    pub async fn open(&self, ledger: &Store) -> Queue {
        match self {
            Self::Database => Queue::Database(DatabaseQueue::new(ledger.clone())),
            Self::RabbitMq(broker) => broker.connect(),
            Self::Sqs(sqs) => sqs.open().await,
        }
    }
}
