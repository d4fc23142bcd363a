//! Taking items: long polls of whole seconds, and what comes to a taker that has gone is given back.

use std::time::{Duration, Instant};

use aws_sdk_sqs::{config, types::Message};
use futures_util::future;
use tokio::sync::oneshot;

use super::{SqsQueue, connect::timeouts, error::Call};
use crate::{Delivery, Handle, Line, QueueResult, TRACEPARENT};

/// The most items of one answer, by the reference of `ReceiveMessage`.
const MOST_AT_ONCE: usize = 10;
/// The longest that one request waits at the server, by the same.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// How many requests follow at the same time where one was answered in full: the line is long then.
const MOST_MORE: usize = 9;
/// A rest of the wait that is not worth another request.
const SHORT_REST: Duration = Duration::from_millis(20);
/// How long requests whose taker has gone may still take when the queue is closed: workers wait for one second at a time.
pub(super) const STRAY_WITHIN: Duration = Duration::from_secs(3);

impl SqsQueue {
    pub(crate) async fn take(&self, line: Line, most: usize, wait: Duration) -> QueueResult<Vec<Delivery>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now() + wait;
        let mut left = wait;
        loop {
            // SQS waits for whole seconds. What is left beyond them is waited for here, between two short looks, which see
            // only a part of SQS's servers: the next long one sees them all.
            let poll = Duration::from_secs(left.min(LONGEST_POLL).as_secs());
            let first = self.receive(line, most.min(MOST_AT_ONCE), poll).await?;
            if !first.is_empty() {
                return Ok(self.with_more(line, most, first).await);
            }
            left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || (left < SHORT_REST && !poll.is_zero()) {
                return Ok(first);
            }
            if left < Duration::from_secs(1) {
                tokio::time::sleep(left).await;
                left = Duration::ZERO;
            }
        }
    }

    /// Where the first answer was full, asks for more at once, as far as `most` goes. The first items count whatever
    /// becomes of the others.
    async fn with_more(&self, line: Line, most: usize, first: Vec<Delivery>) -> Vec<Delivery> {
        let room = most.saturating_sub(first.len());
        if first.len() < MOST_AT_ONCE || room == 0 {
            return first;
        }
        let counts =
            (0..room.div_ceil(MOST_AT_ONCE).min(MOST_MORE)).map(|call| (room - call * MOST_AT_ONCE).min(MOST_AT_ONCE));
        let more = future::join_all(counts.map(|count| self.receive(line, count, Duration::ZERO))).await;
        let mut taken = first;
        for answer in more {
            match answer {
                Ok(items) => taken.extend(items),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "fewer items were received than asked for"
                    );
                }
            }
        }
        taken
    }

    /// Receives at most `most` items, at most ten. The request runs as a task of its own: SQS would go on with one that is
    /// dropped, and hide what it finds from everybody. If the taker has gone when items come, they are shown again.
    async fn receive(&self, line: Line, most: usize, poll: Duration) -> QueueResult<Vec<Delivery>> {
        let (give, taken) = oneshot::channel();
        let queue = self.clone();
        self.shared.receiving.spawn(async move {
            let answer = queue.ask_to_receive(line, most, poll).await;
            if let Err(Ok(unwanted)) = give.send(answer)
                && let Err(error) = queue.release(&unwanted).await
            {
                tracing::debug!(error = &error as &dyn std::error::Error, "items come back by themselves");
            }
        });
        // Only the end of the program ends the task early.
        taken.await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    async fn ask_to_receive(&self, line: Line, most: usize, poll: Duration) -> QueueResult<Vec<Delivery>> {
        // What is asked for is at most ten items, twenty seconds, and the twelve hours of SQS.
        let number = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
        let request = self.shared.client.receive_message().queue_url(self.url(line).await?);
        let request = request.message_attribute_names(TRACEPARENT);
        let answer = request
            .max_number_of_messages(number(most as u64))
            .wait_time_seconds(number(poll.as_secs()))
            .visibility_timeout(number(self.shared.options.hidden_for.as_secs()))
            .customize()
            .config_override(config::Config::builder().timeout_config(timeouts(poll)))
            .send()
            .await
            .map_err(|error| self.explain(Call::Receive, line, error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(|message| delivery(line, message)).collect())
    }
}

/// The message as a delivery. Each has a receipt, by the reference; one without could not be settled.
fn delivery(line: Line, message: Message) -> Option<Delivery> {
    let attribute = message.message_attributes.as_ref().and_then(|attributes| attributes.get(TRACEPARENT));
    Some(Delivery {
        traceparent: attribute.and_then(|attribute| attribute.string_value.clone()),
        body: message.body.unwrap_or_default().into_bytes(),
        message_id: message.message_id,
        handle: Handle::Sqs { line, receipt: message.receipt_handle? },
    })
}
