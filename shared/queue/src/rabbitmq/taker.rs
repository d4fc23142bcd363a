//! Taking: a consumer stands while somebody waits, with room for exactly what they asked for.
//!
//! Once something came, the consumer is ended before the items are handed over, so that the broker gives what comes next
//! to others who wait. A consumer that waited in vain stays for a moment, since whoever waits usually goes on waiting.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use lapin::{
    Channel, Consumer,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    BATCH_ITEMS, lines,
    link::Link,
    taken::Taken,
    trouble::{Trouble, call},
};
use crate::{Delivery, QueueResult};

/// How long a consumer that waited in vain stays for the next take. What comes meanwhile waits as long, at most.
const STAYS: Duration = Duration::from_millis(250);

/// Takes items from the queue of one line.
#[derive(Debug)]
pub(super) struct Taker {
    queue: String,
    link: Arc<Link>,
    /// The consumer that stays for the next take.
    staying: Arc<Mutex<Option<Standing>>>,
}

/// A consumer that waits for items. Dropped, it is ended and gives back what it got.
#[derive(Debug)]
struct Standing {
    // Before its channel, so that it is ended first.
    consumer: Consumer,
    channel: Channel,
    /// What it has room for.
    most: u16,
    /// Since when it stays.
    since: Instant,
}

impl Taker {
    pub(super) fn new(queue: String, link: Arc<Link>) -> Self {
        Self { queue, link, staying: Arc::default() }
    }

    /// See [`Queue::take`](crate::Queue::take).
    pub(super) async fn take(&self, most: usize, wait: Duration) -> QueueResult<Vec<Delivery>> {
        let Ok(most @ 1..) = u16::try_from(most.min(BATCH_ITEMS)) else { return Ok(Vec::new()) };
        let taken = self.take_at_most(most, wait).await;
        taken.map_err(|trouble| lines::missing_or(trouble, self.queue.clone(), "taking from a line"))
    }

    async fn take_at_most(&self, most: u16, wait: Duration) -> Result<Vec<Delivery>, Trouble> {
        let mut standing = match self.staying.lock().await.take().filter(|standing| standing.fits(most)) {
            Some(standing) => standing,
            None => self.stand(most).await?,
        };
        let first = match timeout_at(Instant::now() + wait, standing.next()).await {
            Ok(first) => Some(first?),
            // What is on its way comes before the consumer's end, so this look finds what is there.
            Err(_) if wait.is_zero() => None,
            Err(_) => {
                self.stay(standing).await;
                return Ok(Vec::new());
            }
        };
        standing.finish(first).await
    }

    async fn stand(&self, most: u16) -> Result<Standing, Trouble> {
        let channel = self.link.channel().await?;
        call(channel.basic_qos(most, BasicQosOptions::default())).await?;
        // The broker names the consumer.
        let (queue, name) = (self.queue.as_str().into(), "".into());
        let consuming = channel.basic_consume(queue, name, BasicConsumeOptions::default(), FieldTable::default());
        let consumer = call(consuming).await?;
        Ok(Standing { consumer, channel, most, since: Instant::now() })
    }

    /// Lets a consumer stay for the next take, but not for long: what it gets is kept from others.
    async fn stay(&self, mut standing: Standing) {
        let since = Instant::now();
        standing.since = since;
        *self.staying.lock().await = Some(standing);
        let staying = Arc::downgrade(&self.staying);
        tokio::spawn(async move {
            tokio::time::sleep(STAYS).await;
            let Some(staying) = staying.upgrade() else { return };
            let unused = staying.lock().await.take_if(|standing| standing.since == since);
            drop(unused);
        });
    }
}

impl Standing {
    fn fits(&self, most: u16) -> bool {
        self.most == most && self.channel.status().connected()
    }

    async fn next(&mut self) -> Result<lapin::message::Delivery, Trouble> {
        match self.consumer.next().await {
            Some(delivery) => Ok(delivery?),
            None => Err(Trouble::Ended),
        }
    }

    /// Ends the consumer and gathers what it got: the broker confirms the end after all that it gave.
    ///
    /// In a cluster, an item may still come after that. The client drops it, and the broker gives it out again as soon as
    /// the channel ends, with the last of these deliveries.
    async fn finish(mut self, first: Option<lapin::message::Delivery>) -> Result<Vec<Delivery>, Trouble> {
        call(self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default())).await?;
        let mut came: Vec<_> = first.into_iter().collect();
        while let Some(delivery) = self.consumer.next().await {
            came.push(delivery?);
        }
        Ok(Taken::deliveries(self.channel, came))
    }
}
