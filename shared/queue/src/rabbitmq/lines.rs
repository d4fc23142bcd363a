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
        self.declare().await.map_err(trouble::of("preparing its lines"))
    }

    async fn declare(&self) -> Result<(), Trouble> {
        let exchange = self.exchange.as_str();
        if is_missing(self.ask(|channel| declare_exchange(channel, exchange, Passive(true))).await)? {
            self.ask(|channel| declare_exchange(channel, exchange, Passive(false))).await?;
        }
        for line in Line::ALL {
            let queue = &queue_name(exchange, line);
            if is_missing(self.ask(|channel| look(channel, queue)).await)? {
                self.ask(|channel| make(channel, queue)).await?;
            }
            self.ask(|channel| bind(channel, exchange, queue, line)).await?;
        }
        Ok(())
    }

    /// How many items of a line can be taken now.
    pub(super) async fn ready(&self, line: Line) -> QueueResult<u64> {
        let queue = queue_name(&self.exchange, line);
        let ready = self.ask(|channel| look(channel, &queue)).await;
        ready.map(u64::from).map_err(|trouble| missing_or(trouble, queue, "counting the items of a line"))
    }

    pub(super) async fn purge(&self, line: Line) -> QueueResult<()> {
        let queue = queue_name(&self.exchange, line);
        let purged = self.ask(|channel| purge(channel, &queue)).await;
        purged.map_err(|trouble| missing_or(trouble, queue, "purging a line"))
    }

    /// Asks on the channel for questions, which is opened anew after an error.
    async fn ask<T, Answer>(&self, question: impl FnOnce(Channel) -> Answer) -> Result<T, Trouble>
    where
        Answer: Future<Output = Result<T, Trouble>>,
    {
        let mut slot = self.channel.lock().await;
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.link.channel().await?,
        };
        let answer = question(channel.clone()).await?;
        *slot = Some(channel);
        Ok(answer)
    }
}

/// Whether to ask only if it is there.
struct Passive(bool);

async fn declare_exchange(channel: Channel, exchange: &str, Passive(passive): Passive) -> Result<(), Trouble> {
    let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
    call(channel.exchange_declare(exchange.into(), ExchangeKind::Direct, options, FieldTable::default())).await
}

async fn bind(channel: Channel, exchange: &str, queue: &str, line: Line) -> Result<(), Trouble> {
    let (options, key) = (QueueBindOptions::default(), line.as_str().into());
    call(channel.queue_bind(queue.into(), exchange.into(), key, options, FieldTable::default())).await
}

async fn purge(channel: Channel, queue: &str) -> Result<(), Trouble> {
    call(channel.queue_purge(queue.into(), QueuePurgeOptions::default())).await.map(|_| ())
}

/// The number of items of a queue that can be taken now.
async fn look(channel: Channel, queue: &str) -> Result<u32, Trouble> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let there = call(channel.queue_declare(queue.into(), options, FieldTable::default())).await?;
    Ok(there.message_count())
}

async fn make(channel: Channel, queue: &str) -> Result<(), Trouble> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    call(channel.queue_declare(queue.into(), options, arguments)).await?;
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
