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

use kabar_domain::pace::MAX_BATCH_MESSAGES;
use kabar_queue::{Line, Ticket};
use kabar_store::WriterHandle;
use kabar_telemetry::names;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::context::{ERROR_PAUSE, Shared};
pub(crate) use sending::decision_name;

/// The most requests of a process that are under way or about to be; beyond it no new batch is claimed. At the highest
/// rate of one sender, 1,000 a second, it allows answers that take 8 seconds.
const MOST_IN_FLIGHT: usize = 8_192;

/// The same for each sender without a pace, whom nothing else holds back: enough for a few thousand messages a second at
/// the latency of the internet, and no more connections than are worth opening.
const MOST_IN_FLIGHT_UNPACED: usize = 512;

/// The most tickets that are taken at once.
const MOST_TICKETS: usize = 64;

/// While batches are under way, room for more is gathered this long: one look at the line then takes several tickets.
const GATHER_ROOM_FOR: Duration = Duration::from_millis(10);

/// How long one look at the line waits for a ticket.
const WAIT: Duration = Duration::from_secs(1);

/// What the batches of one process share.
#[derive(Debug)]
pub(crate) struct Courier {
    context: Shared,
    writer: WriterHandle,
    senders: senders::Senders,
    contents: contents::Contents,
    /// Room for batches, and for the requests of each.
    batches: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
    /// Requests under way; they are finished whatever happens.
    requests: TaskTracker,
    stop: CancellationToken,
}

/// Takes tickets and sends batches until `stop`; then gives back what was not started, and ends once what was started has
/// its outcome written down.
pub(crate) async fn run(context: Shared, writer: WriterHandle, stop: CancellationToken) {
    let batches = TaskTracker::new();
    let done = tickets::acknowledge_in_groups(context.queue.clone());
    let courier = Arc::new(Courier {
        senders: senders::Senders::new(context.clone()),
        contents: contents::Contents::new(context.store.clone()),
        batches: Arc::new(Semaphore::new(context.settings.courier.max_batches)),
        in_flight: Arc::new(Semaphore::new(MOST_IN_FLIGHT)),
        requests: TaskTracker::new(),
        stop: stop.clone(),
        writer,
        context,
    });
    while !stop.is_cancelled() {
        // Room first, then tickets: a ticket that waits here would be another courier's to take.
        let Ok(first) = courier.room().await else { break };
        if !batches.is_empty() {
            tokio::time::sleep(GATHER_ROOM_FOR).await;
        }
        let rooms: Vec<Room> = std::iter::once(first).chain(courier.more_room()).take(MOST_TICKETS).collect();
        let taken = tokio::select! {
            () = stop.cancelled() => break,
            taken = courier.context.queue.take(Line::Batches, rooms.len(), WAIT) => taken,
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
        for (delivery, room) in deliveries.into_iter().zip(rooms) {
            let Some(Ticket { sender }) = Ticket::from_body(&delivery.body) else {
                tracing::error!(
                    "an item of the line of tickets is none; it is dropped, for the ledger holds the truth"
                );
                done.acknowledge(delivery);
                continue;
            };
            let (courier, done) = (courier.clone(), done.clone());
            batches.spawn(async move { batch::run(&courier, sender, delivery, &done, room).await });
        }
    }
    batches.close();
    batches.wait().await;
    courier.requests.close();
    courier.requests.wait().await;
}

/// Room for one batch and for the requests that come of it.
#[derive(Debug)]
struct Room {
    _batch: OwnedSemaphorePermit,
    requests: OwnedSemaphorePermit,
    /// The sender's own, where it has no pace.
    unpaced: Option<OwnedSemaphorePermit>,
}

impl Courier {
    async fn room(&self) -> Result<Room, AcquireError> {
        let batch = self.batches.clone().acquire_owned().await?;
        let requests = self.in_flight.clone().acquire_many_owned(MAX_BATCH_MESSAGES).await?;
        Ok(Room { _batch: batch, requests, unpaced: None })
    }

    /// As much more as there is now.
    fn more_room(&self) -> impl Iterator<Item = Room> + '_ {
        std::iter::from_fn(|| {
            let batch = self.batches.clone().try_acquire_owned().ok()?;
            let requests = self.in_flight.clone().try_acquire_many_owned(MAX_BATCH_MESSAGES).ok()?;
            Some(Room { _batch: batch, requests, unpaced: None })
        })
    }
}

impl Room {
    /// The room of one request, which holds it to its end.
    fn for_request(&mut self) -> impl Send + use<> {
        (self.requests.split(1), self.unpaced.as_mut().and_then(|unpaced| unpaced.split(1)))
    }
}
