//! What the broker holds: a direct exchange, and a quorum queue for each line, bound by the line's name.

use std::sync::Arc;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable, LongString},
};
use tokio::sync::Mutex;

use super::{
    link::Link,
    trouble::{self, Trouble, call},
};
use crate::{Line, QueueError, QueueResult};

/// How often the broker may deliver an item before it throws it away: never, in effect. From version 4 on, quorum queues
/// drop what was delivered 20 times, and an item that comes back often, since the ledger is away, say, is no poison:
/// what cannot be understood becomes a dead letter in the ledger instead. The documented "no limit" of version 4, -1, means
/// 0 to older brokers, so a large number says it to all.
const DELIVERY_LIMIT: i32 = i32::MAX;

/// What the broker holds.
#[derive(Debug)]
pub(super) struct Lines {
    exchange: String,
    link: Arc<Link>,
    /// For questions; a question about what is not there closes its channel.
    channel: Mutex<Option<Channel>>,
}

/// The queue of a line, `kabar.jobs`.
pub(super) fn queue_name(exchange: &str, line: Line) -> String {
    format!("{exchange}.{}", line.as_str())
}

impl Lines {
    pub(super) fn new(exchange: &str, link: Arc<Link>) -> Self {
        Self { exchange: exchange.to_owned(), link, channel: Mutex::default() }
    }

    /// Declares what is missing. What is there stays as it is, whoever made it: declaring it again with other arguments
    /// would be an error.
    pub(super) async fn prepare(&self) -> QueueResult<()> {
        let result = async {
            if is_missing(self.ask(async |channel| self.declare_exchange(channel, true).await).await)? {
                self.ask(async |channel| self.declare_exchange(channel, false).await).await?;
            }
            for line in Line::ALL {
                let name = queue_name(&self.exchange, line);
                if is_missing(self.ask(async |channel| look(channel, &name).await).await)? {
                    self.ask(async |channel| make(channel, &name).await).await?;
                }
                self.ask(async |channel| self.bind(channel, &name, line).await).await?;
            }
            Ok(())
        };
        result.await.map_err(trouble::of("preparing its lines"))
    }

    /// How many items of a line can be taken now.
    pub(super) async fn ready(&self, line: Line) -> QueueResult<u64> {
        let name = queue_name(&self.exchange, line);
        let ready = self.ask(async |channel| look(channel, &name).await).await;
        ready.map(u64::from).map_err(|trouble| missing_or(trouble, name, "counting the items of a line"))
    }

    pub(super) async fn purge(&self, line: Line) -> QueueResult<()> {
        let name = queue_name(&self.exchange, line);
        let purged = self.ask(async |channel| {
            call(channel.queue_purge(name.as_str().into(), QueuePurgeOptions::default())).await
        });
        purged.await.map(|_| ()).map_err(|trouble| missing_or(trouble, name, "purging a line"))
    }

    /// Asks on the channel for questions, which is opened anew after an error.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&Channel) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut slot = self.channel.lock().await;
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.link.channel().await?,
        };
        let answer = question(&channel).await?;
        *slot = Some(channel);
        Ok(answer)
    }

    async fn declare_exchange(&self, channel: &Channel, passive: bool) -> Result<(), Trouble> {
        let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
        let name = self.exchange.as_str().into();
        call(channel.exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default())).await
    }

    async fn bind(&self, channel: &Channel, name: &str, line: Line) -> Result<(), Trouble> {
        let (exchange, key) = (self.exchange.as_str().into(), line.as_str().into());
        call(channel.queue_bind(name.into(), exchange, key, QueueBindOptions::default(), FieldTable::default())).await
    }
}

/// The number of items of a queue that can be taken now.
async fn look(channel: &Channel, name: &str) -> Result<u32, Trouble> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = call(channel.queue_declare(name.into(), options, FieldTable::default())).await?;
    Ok(queue.message_count())
}

async fn make(channel: &Channel, name: &str) -> Result<(), Trouble> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    call(channel.queue_declare(name.into(), options, arguments)).await?;
    Ok(())
}

/// [`QueueError::Missing`] where it is that.
pub(super) fn missing_or(trouble: Trouble, name: String, doing: &'static str) -> QueueError {
    if trouble.is_not_found() { QueueError::Missing { name } } else { trouble::of(doing)(trouble) }
}

/// Whether what was asked for is missing; other trouble stays trouble.
fn is_missing<T>(answer: Result<T, Trouble>) -> Result<bool, Trouble> {
    match answer {
        Ok(_) => Ok(false),
        Err(trouble) if trouble.is_not_found() => Ok(true),
        Err(trouble) => Err(trouble),
    }
}
