//! Publishing: an item counts as published once the broker has confirmed that a majority of the queue's replicas has it.

use std::{sync::Arc, time::Duration};

use futures_util::{TryStreamExt as _, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{
    link::Link,
    trouble::{self, Trouble, call},
};
use crate::{Line, QueueResult};

/// The longest that one call may take, with connecting, waiting for a broker that blocks, and every confirmation.
const PUBLISH_WITHIN: Duration = Duration::from_secs(15);

/// How many items may wait for their confirmation. The broker writes many with one flush.
const MOST_UNCONFIRMED: usize = 500;

/// How often a broker that blocks publishing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// AMQP's mark of an item that survives the broker.
const PERSISTENT: u8 = 2;

/// Puts items into lines.
#[derive(Debug)]
pub(super) struct Publisher {
    exchange: String,
    link: Arc<Link>,
    /// One call at a time: the client tells of an item that came back along with any confirmation of its channel.
    channel: Mutex<Option<Channel>>,
}

impl Publisher {
    pub(super) fn new(exchange: &str, link: Arc<Link>) -> Self {
        Self { exchange: exchange.to_owned(), link, channel: Mutex::default() }
    }

    /// Publishes all of `bodies`. After an error, some may be there already.
    pub(super) async fn publish(&self, line: Line, bodies: &[String]) -> QueueResult<()> {
        if bodies.is_empty() {
            return Ok(());
        }
        let published = match timeout(PUBLISH_WITHIN, self.publish_on_channel(line, bodies)).await {
            // An exchange that is missing closes the channel instead.
            Ok(Err(trouble)) if trouble.is_not_found() => Err(self.unroutable(line)),
            Ok(published) => published,
            Err(_) if self.link.is_blocked().await => Err(Trouble::Blocked),
            Err(_) => Err(Trouble::NoAnswer(PUBLISH_WITHIN)),
        };
        published.map_err(trouble::of("publishing"))
    }

    async fn publish_on_channel(&self, line: Line, bodies: &[String]) -> Result<(), Trouble> {
        let mut slot = self.channel.lock().await;
        // What the broker does not read must not pile up here.
        while self.link.is_blocked().await {
            sleep(LOOK_EVERY).await;
        }
        // Put back only when all went well: whatever else happens, its confirmations are nobody's any more.
        let channel = match slot.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.open().await?,
        };
        let mut unconfirmed = FuturesUnordered::new();
        for body in bodies {
            if unconfirmed.len() == MOST_UNCONFIRMED {
                unconfirmed.try_next().await?;
            }
            unconfirmed.push(self.publish_one(&channel, line, body));
        }
        while unconfirmed.try_next().await?.is_some() {}
        drop(unconfirmed);
        *slot = Some(channel);
        Ok(())
    }

    async fn open(&self) -> Result<Channel, Trouble> {
        let channel = self.link.channel().await?;
        // Without this there are no confirmations, and no error says so.
        call(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    async fn publish_one(&self, channel: &Channel, line: Line, body: &str) -> Result<(), Trouble> {
        let (exchange, key) = (self.exchange.as_str().into(), line.as_str().into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let publishing = channel.basic_publish(exchange, key, options, body.as_bytes(), properties);
        match publishing.await?.await? {
            Confirmation::Ack(None) => Ok(()),
            // The broker confirms what it sends back, too.
            Confirmation::Ack(Some(_)) => Err(self.unroutable(line)),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Trouble::Refused),
        }
    }

    fn unroutable(&self, line: Line) -> Trouble {
        Trouble::Unroutable { exchange: self.exchange.clone(), key: line.as_str() }
    }
}
