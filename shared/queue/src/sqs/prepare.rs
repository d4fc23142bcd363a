//! Making the queues, and emptying one.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;

use super::{
    SqsQueue,
    error::{Call, PURGED_ALREADY, THERE_ALREADY, is_one_of},
};
use crate::{Line, QueueError, QueueResult};

/// How long jobs are kept for intake: 14 days, the most that SQS allows.
const KEEP_JOBS: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How long tickets are kept for couriers: by then the ledger has had others written.
const KEEP_TICKETS: Duration = Duration::from_secs(3_600);
/// SQS purges a queue once a minute at most, and may take as long (the reference of `PurgeQueue`).
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// The most items of one look while a line is drained.
const DRAIN_AT_ONCE: usize = 100;
/// How long a line that is drained must show nothing: a long poll, which asks all of SQS's servers.
const DRAINED_AFTER: Duration = Duration::from_secs(1);

impl SqsQueue {
    /// Makes the queues that are missing. Those that are there stay as they are: somebody may keep them by other means.
    pub(crate) async fn prepare(&self) -> QueueResult<()> {
        for line in Line::ALL {
            match self.url(line).await {
                Err(QueueError::Missing { name }) => self.make(line, name).await?,
                found => {
                    found?;
                }
            }
        }
        Ok(())
    }

    async fn make(&self, line: Line, name: String) -> QueueResult<()> {
        let keep = match line {
            Line::Jobs => KEEP_JOBS,
            Line::Batches => KEEP_TICKETS,
        };
        let options = &self.shared.options;
        let made = self
            .shared
            .client
            .create_queue()
            .queue_name(name)
            .attributes(QueueAttributeName::MessageRetentionPeriod, keep.as_secs().to_string())
            .attributes(QueueAttributeName::MaximumMessageSize, options.body_limit_bytes.to_string())
            // Requests of this program name their own; this is for others that look at the queue.
            .attributes(QueueAttributeName::VisibilityTimeout, options.hidden_for.as_secs().to_string())
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            // Somebody else made it meanwhile, in their own way.
            Err(error) if is_one_of(&error, &THERE_ALREADY) => Ok(()),
            Err(error) => Err(self.explain(Call::Make, line, error)),
        }
    }

    /// Empties a line. SQS may take a minute for it, in which it may also remove items that are published meanwhile, and
    /// purges at most once a minute: where it refuses for that, what can be received is deleted one by one.
    pub(crate) async fn purge(&self, line: Line) -> QueueResult<()> {
        let url = self.url(line).await?;
        match self.shared.client.purge_queue().queue_url(url).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_one_of(&error, &PURGED_ALREADY) => self.drain(line).await,
            Err(error) => Err(self.explain(Call::Purge, line, error)),
        }
    }

    /// Takes and deletes until nothing comes, at most for as long as a purge is refused.
    async fn drain(&self, line: Line) -> QueueResult<()> {
        let began = Instant::now();
        while began.elapsed() < PURGE_EVERY {
            let taken = self.take(line, DRAIN_AT_ONCE, DRAINED_AFTER).await?;
            if taken.is_empty() {
                break;
            }
            self.acknowledge(&taken).await?;
        }
        Ok(())
    }
}
