//! The queue on RabbitMQ: one quorum queue per line, behind a direct exchange that other services publish jobs to.
//!
//! Connections are made when first needed and again when lost, one for taking and one for publishing, since a broker that
//! blocks publishers stops reading from their connections altogether. lapin's own recovery stays off: what was taken on a
//! lost connection is the broker's to give out again, and replaying consumers would only hide that.
//!
//! Nothing is prefetched for later. A consumer stands only while somebody waits, and has room for exactly what they asked
//! for; so a ticket is never held by a process that is busy while another is free.

mod address;
mod backoff;
mod lines;
mod link;
mod publisher;
mod taken;
mod taker;
mod trouble;

use std::{sync::Arc, time::Duration};

pub(crate) use taken::Tag;

use self::{address::Address, lines::Lines, link::Link, publisher::Publisher, taker::Taker};
use crate::{Delivery, Limits, Line, QueueResult};

/// The most items in one call of publish, and the most that one take has room for. Quorum queues of RabbitMQ give a
/// consumer at most 2,000 at a time.
const BATCH_ITEMS: usize = 1_000;

/// The largest body. RabbitMQ itself takes 128 MiB (16 MiB from version 4 on) unless told otherwise; jobs are far smaller,
/// and a whole take of them must fit into memory.
const BODY_BYTES: usize = 1_024 * 1_024;

/// The queue on RabbitMQ. Clones share its connections.
#[derive(Debug, Clone)]
pub struct RabbitQueue(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    lines: Lines,
    publisher: Publisher,
    takers: [Taker; Line::ALL.len()],
    /// For everything but publishing.
    link: Arc<Link>,
    publishing: Arc<Link>,
}

impl RabbitQueue {
    /// The exchange that jobs are published to, and what the names of queues begin with.
    pub const EXCHANGE: &str = "kabar";

    /// The queue at `url` (`amqp://…` or `amqps://…`) with this exchange, usually [`Self::EXCHANGE`]. Nothing is connected
    /// yet.
    ///
    /// # Errors
    /// When the URL is none that can be used; the error does not repeat it, for it holds a password.
    pub fn new(url: &str, exchange: &str) -> QueueResult<Self> {
        let address = Arc::new(Address::parse(url).map_err(trouble::of("reading KABAR_QUEUE_URL"))?);
        let link = Arc::new(Link::new(address.clone(), "kabar: taking"));
        let publishing = Arc::new(Link::new(address, "kabar: publishing"));
        Ok(Self(Arc::new(Parts {
            lines: Lines::new(exchange, link.clone()),
            publisher: Publisher::new(exchange, publishing.clone()),
            takers: Line::ALL.map(|line| Taker::new(lines::queue_name(exchange, line), link.clone())),
            link,
            publishing,
        })))
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits { batch_items: BATCH_ITEMS, body_bytes: BODY_BYTES }
    }

    pub(crate) async fn prepare(&self) -> QueueResult<()> {
        self.0.lines.prepare().await
    }

    pub(crate) async fn publish(&self, line: Line, bodies: &[String]) -> QueueResult<()> {
        self.0.publisher.publish(line, bodies).await
    }

    pub(crate) async fn take(&self, line: Line, most: usize, wait: Duration) -> QueueResult<Vec<Delivery>> {
        let [jobs, batches] = &self.0.takers;
        match line {
            Line::Jobs => jobs.take(most, wait).await,
            Line::Batches => batches.take(most, wait).await,
        }
    }

    pub(crate) async fn acknowledge(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        taken::settle(deliveries, taken::Settlement::Acknowledge).await
    }

    pub(crate) async fn release(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        taken::settle(deliveries, taken::Settlement::Release).await
    }

    pub(crate) async fn ready(&self, line: Line) -> QueueResult<u64> {
        self.0.lines.ready(line).await
    }

    pub(crate) async fn purge(&self, line: Line) -> QueueResult<()> {
        self.0.lines.purge(line).await
    }

    /// Closes both connections; the broker then gives back what was taken and not settled.
    pub(crate) async fn close(&self) {
        self.0.publishing.close().await;
        self.0.link.close().await;
    }
}
