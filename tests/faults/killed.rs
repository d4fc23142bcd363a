//! One of several processes is killed while all are sending.

use kabar_tests::QueueKind;

use crate::stage::{Stage, on_every_queue};

on_every_queue!(others_take_over_what_a_killed_process_held);

async fn others_take_over_what_a_killed_process_held(queue: QueueKind) {
    const RATE: u32 = 80;
    const GUESTS: usize = 400;
    // Receipts come within a fraction of the grace time: whatever left before the kill is known by then.
    let settings = [("KABAR_FLEET_LEASE", "4s"), ("KABAR_DOUBT_GRACE", "8s")];
    let stage = Stage::open(queue, RATE, &settings).await;
    let (victim, second) = (stage.process().await, stage.process().await);
    stage.report_to(&second);
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    stage.accepted(100).await;
    victim.kill().await;
    let third = stage.process().await;
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, RATE as usize);
    for process in [second, third] {
        crate::stage::assert_no_errors(&process);
        process.stop().await;
    }
}
