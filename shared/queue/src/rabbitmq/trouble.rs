//! What can go wrong with the broker, in words that say what to do and never hold a password.

use std::{sync::Arc, time::Duration};

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
};

use crate::QueueError;

/// The longest that one exchange with the broker may take. An idle one answers in milliseconds; one that elects a leader
/// for a queue takes seconds.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(10);

/// What can go wrong with the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it is no address of a RabbitMQ broker such as amqps://user:password@host:5671/vhost: {0}")]
    Address(String),
    #[error("the certificates of cacertfile cannot be read")]
    Certificates(#[source] std::io::Error),
    #[error("no connection to {host}; see that RabbitMQ runs there and that KABAR_QUEUE_URL is right")]
    Unreachable { host: String, source: Arc<Trouble> },
    #[error("{0}")]
    Said(#[from] lapin::Error),
    #[error("there was no answer within {0:?}")]
    NoAnswer(Duration),
    #[error("the broker blocks publishing: it is short of memory or disk space")]
    Blocked,
    #[error("nothing takes what is published to exchange {exchange} with routing key {key}: `kabar migrate` binds it")]
    Unroutable { exchange: String, key: &'static str },
    #[error("the broker refused an item, as a queue does that is full or has no leader")]
    Refused,
    #[error("the broker ended the consumer, as it does when the queue is deleted or moves")]
    Ended,
    #[error("the queue is closed")]
    Closed,
}

impl Trouble {
    /// Whether what was named is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.soft_error() == Some(AMQPSoftError::NOTFOUND)
    }

    fn soft_error(&self) -> Option<AMQPSoftError> {
        let Self::Said(error) = self else { return None };
        let ErrorKind::ProtocolError(error) = error.kind() else { return None };
        match error.kind() {
            AMQPErrorKind::Soft(error) => Some(error.clone()),
            AMQPErrorKind::Hard(_) => None,
        }
    }
}

/// Says what was being done when trouble came.
pub(super) fn of(doing: &'static str) -> impl FnOnce(Trouble) -> QueueError {
    move |trouble| QueueError::Broker { doing, source: Box::new(trouble) }
}

/// One exchange with the broker, within [`CALL_WITHIN`].
pub(super) async fn call<T>(exchange: impl Future<Output = lapin::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(CALL_WITHIN, exchange).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::NoAnswer(CALL_WITHIN)),
    }
}
