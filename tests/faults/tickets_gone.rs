//! Tickets are purged in the middle of a broadcast, and nobody is there to take them.

use std::time::{Duration, Instant};

use kabar_domain::message::MessageState;
use kabar_queue::Line;
use kabar_tests::{QueueKind, eventually};

use crate::stage::{Stage, on_every_queue};

on_every_queue!(purged_tickets_are_written_anew, no_tickets_pile_up_while_no_courier_lives);

async fn purged_tickets_are_written_anew(queue: QueueKind) {
    const GUESTS: usize = 300;
    let stage = Stage::open(queue, 60, &[]).await;
    let (first, second) = (stage.process().await, stage.process().await);
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    for accepted in [30, 90, 150, 210] {
        stage.accepted(accepted).await;
        stage.purge_tickets().await;
    }
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, 60);
    first.stop().await;
    second.stop().await;
}

async fn no_tickets_pile_up_while_no_courier_lives(queue: QueueKind) {
    /// Long enough for a dispatcher to look several times.
    const A_LOOK: Duration = Duration::from_secs(3);
    let stage = Stage::open(queue, 100, &[]).await;
    let others = stage.process_with("planner,dispatcher,recorder,janitor").await;
    let job = stage.broadcast("dep-1", 0..100).await;
    stage.counts_where(job, |counts| counts.get(MessageState::Queued) == 100).await;
    let began = Instant::now();
    eventually(A_LOOK * 2, async || {
        assert_eq!(stage.tickets().await, 0, "tickets that nobody takes");
        began.elapsed() > A_LOOK
    })
    .await;
    let courier = stage.process_with("courier").await;
    stage.done(job).await;
    stage.assert_each_once_within(100, 100);
    courier.stop().await;
    others.stop().await;
}

impl Stage {
    /// Removes every ticket, as an operator might.
    pub(crate) async fn purge_tickets(&self) {
        let queue = self.open_queue().await;
        queue.purge(Line::Batches).await.expect("the line can be purged");
        queue.close().await;
    }

    /// How many tickets wait to be taken.
    pub(crate) async fn tickets(&self) -> u64 {
        let queue = self.open_queue().await;
        let tickets = queue.ready(Line::Batches).await.expect("the line can be counted");
        queue.close().await;
        tickets
    }
}
