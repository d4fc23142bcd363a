//! The queue on Amazon SQS: standard queues, one for each line, named `PREFIX-jobs` and `PREFIX-batches`.
//!
//! SQS delivers at least once and in no order. Nothing here minds: a ticket too many claims nothing, and a job is taken in
//! once by its id. A job that names none is known by the id that SQS gave its message; a producer that sends such a job
//! twice therefore sends two.
//!
//! # Permissions
//!
//! `kabar run` and `kabar doctor` need, on both queues: `sqs:GetQueueUrl`, `sqs:GetQueueAttributes`, `sqs:SendMessage`,
//! `sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:ChangeMessageVisibility`. What makes missing queues, `kabar migrate`
//! and with a ledger on SQLite every start, needs `sqs:GetQueueUrl`, and `sqs:CreateQueue` as long as one is missing.
//! `sqs:PurgeQueue` is for whoever empties a line. The batch calls go by the permissions of the single ones. Producers
//! need `sqs:SendMessage` on `PREFIX-jobs` alone.

mod batch;
mod body;
mod connect;
mod error;
mod prepare;
mod receive;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

pub(crate) use self::body::can_carry;
pub use self::connect::{SqsOptions, SqsServer};
use self::{
    batch::groups,
    error::{Call, Trouble},
};
use crate::{Delivery, Handle, Limits, Line, QueueResult};

/// The most that one message may hold, and all messages of one call together, in bytes: 1 MiB (`MaximumMessageSize` in
/// the reference of `CreateQueue`; 256 KiB before August 2025).
pub const MAX_SQS_BODY_BYTES: usize = 1_048_576;

/// How long an item stays hidden from others after it was received. Intake takes up to 100 jobs and acknowledges them
/// together; at half a second each, far longer than a commit takes, it is done before the first shows again. Tickets are
/// acknowledged as soon as their claim is committed, and the dispatcher does not wait for those that died with a courier.
const HIDDEN_FOR: Duration = Duration::from_secs(60);

/// The queue on Amazon SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    options: SqsOptions,
    /// Where the queues are, once asked for: as in [`Line::ALL`].
    urls: [OnceCell<String>; Line::ALL.len()],
    /// Requests to receive that are under way, also those whose taker has gone.
    receiving: TaskTracker,
}

impl SqsQueue {
    /// The queue as `options` say. Reads the configuration of AWS, but asks SQS nothing yet.
    ///
    /// # Errors
    /// When no region is known.
    pub async fn open(options: SqsOptions) -> QueueResult<Self> {
        let client = connect::client(&options.server).await?;
        let urls = [const { OnceCell::const_new() }; Line::ALL.len()];
        let receiving = TaskTracker::new();
        Ok(Self { shared: Arc::new(Shared { client, options, urls, receiving }) })
    }

    pub(crate) fn limits(&self) -> Limits {
        // More than SQS takes in one call: they are split by number and by bytes, and several calls go at once.
        Limits { batch_items: 1_000, body_bytes: self.shared.options.body_limit_bytes }
    }

    pub(crate) async fn publish(&self, line: Line, bodies: &[String]) -> QueueResult<()> {
        self.in_batches(Call::Send, line, groups(bodies, self.shared.options.body_limit_bytes)).await
    }

    pub(crate) async fn acknowledge(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        self.settle(Call::Delete, deliveries).await
    }

    pub(crate) async fn release(&self, deliveries: &[Delivery]) -> QueueResult<()> {
        self.settle(Call::Show, deliveries).await
    }

    /// About how many there are: SQS counts late, by up to a minute, and not exactly. The dispatcher only keeps a bound and
    /// a horizon by it, and either error costs a few tickets too many or a moment's wait.
    pub(crate) async fn ready(&self, line: Line) -> QueueResult<u64> {
        let attribute = QueueAttributeName::ApproximateNumberOfMessages;
        let url = self.url(line).await?;
        let asked = self.shared.client.get_queue_attributes().queue_url(url).attribute_names(attribute.clone());
        let answer = asked.send().await.map_err(|error| self.explain(Call::Count, line, error))?;
        let count = answer.attributes().and_then(|attributes| attributes.get(&attribute)?.parse().ok());
        count.ok_or_else(|| Trouble::NoCount.during(Call::Count))
    }

    /// Waits for requests to receive that are under way, for the time that they may take at the end of a fleet; what comes
    /// with them is given back. Deliveries that were handed out and not settled come back by themselves.
    pub(crate) async fn close(&self) {
        self.shared.receiving.close();
        if tokio::time::timeout(receive::STRAY_WITHIN, self.shared.receiving.wait()).await.is_err() {
            tracing::debug!("a request to receive is left to itself; what it brings comes back by itself");
        }
    }

    /// Acknowledges or releases deliveries, each on the queue that it came from.
    async fn settle(&self, call: Call, deliveries: &[Delivery]) -> QueueResult<()> {
        for wanted in Line::ALL {
            let receipts: Vec<String> = deliveries
                .iter()
                .filter_map(|delivery| match &delivery.handle {
                    Handle::Sqs { line, receipt } if *line == wanted => Some(receipt.clone()),
                    _ => None,
                })
                .collect();
            self.in_batches(call, wanted, groups(&receipts, MAX_SQS_BODY_BYTES)).await?;
        }
        Ok(())
    }

    /// What a line's queue is called.
    fn name(&self, line: Line) -> String {
        format!("{}-{}", self.shared.options.prefix, line.as_str())
    }

    /// Where a line's queue is; asked for once.
    async fn url(&self, line: Line) -> QueueResult<&str> {
        let [jobs, batches] = &self.shared.urls;
        let known = match line {
            Line::Jobs => jobs,
            Line::Batches => batches,
        };
        let find = async || {
            let asked = self.shared.client.get_queue_url().queue_name(self.name(line));
            let answer = asked.send().await.map_err(|error| self.explain(Call::Find, line, error))?;
            answer.queue_url.ok_or_else(|| Trouble::NoUrl.during(Call::Find))
        };
        Ok(known.get_or_try_init(find).await?)
    }
}
