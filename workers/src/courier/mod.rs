//! Takes tickets; each is the right to send one batch for one sender.
//!
//! The life of a batch: claim its messages and let the ticket go; take slots from the sender's `pacer`; just before each
//! slot commit `sending`; at the slot send the request; write down what came of it. A request that is under way is never
//! cancelled, and nothing is retried here: the ledger decides.

mod access;
mod batch;
mod contents;
mod pacer;
mod senders;
mod sending;
mod tickets;

use std::{sync::Arc, time::Duration};

use kabar_queue::{Line, Ticket};
use kabar_store::WriterHandle;
use kabar_telemetry::names;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::context::{ERROR_PAUSE, Shared};

/// The most requests of a process that are under way or about to be; beyond it no new batch is claimed. At the highest
/// rate of one sender, 1,000 a second, it allows answers that take 8 seconds.
const MOST_IN_FLIGHT: usize = 8_192;

/// The most tickets that are taken at once.
const MOST_TICKETS: usize = 64;

/// How long one look at the line waits for a ticket.
const WAIT: Duration = Duration::from_secs(1);

/// What the batches of one process share.
#[derive(Debug)]
pub(crate) struct Courier {
    context: Shared,
    writer: WriterHandle,
    senders: senders::Senders,
    contents: contents::Contents,
    in_flight: Arc<Semaphore>,
    /// Requests under way; they are finished whatever happens.
    requests: TaskTracker,
    stop: CancellationToken,
}

/// Takes tickets and sends batches until `stop`; then gives back what was not started, and ends once what was started has
/// its outcome written down.
pub(crate) async fn run(context: Shared, writer: WriterHandle, stop: CancellationToken) {
    let batches = TaskTracker::new();
    let room = Arc::new(Semaphore::new(context.settings.courier.max_batches));
    let done = tickets::acknowledge_in_groups(context.queue.clone());
    let courier = Arc::new(Courier {
        senders: senders::Senders::new(context.clone()),
        contents: contents::Contents::new(context.store.clone()),
        in_flight: Arc::new(Semaphore::new(MOST_IN_FLIGHT)),
        requests: TaskTracker::new(),
        stop: stop.clone(),
        writer,
        context,
    });
    while !stop.is_cancelled() {
        // Room first, then tickets: a ticket that waits here would be another courier's to take.
        let Ok(first) = room.clone().acquire_owned().await else { break };
        let most = (1 + room.available_permits()).min(MOST_TICKETS);
        let taken = tokio::select! {
            () = stop.cancelled() => break,
            taken = courier.context.queue.take(Line::Batches, most, WAIT) => taken,
        };
        let deliveries = match taken {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "tickets cannot be taken; trying again");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        metrics::counter!(names::TICKETS_TAKEN).increment(deliveries.len() as u64);
        let mut permits = std::iter::once(first);
        for delivery in deliveries {
            let permit = match permits.next() {
                Some(permit) => Some(permit),
                None => room.clone().try_acquire_owned().ok(),
            };
            let Some(Ticket { sender }) = Ticket::from_body(&delivery.body) else {
                tracing::error!(
                    "an item of the line of tickets is none; it is dropped, for the ledger holds the truth"
                );
                done.acknowledge(delivery);
                continue;
            };
            let (courier, done) = (courier.clone(), done.clone());
            batches.spawn(async move {
                batch::run(&courier, sender, delivery, &done).await;
                drop(permit);
            });
        }
    }
    batches.close();
    batches.wait().await;
    courier.requests.close();
    courier.requests.wait().await;
}
