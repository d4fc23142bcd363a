//! A process stands still for longer than its lease holds, and wakes up again.

use std::time::Duration;

use kabar_domain::message::MessageState;
use kabar_sandbox::Faults;
use kabar_tests::{QueueKind, eventually};
use sqlx::{AssertSqlSafe, Connection, Executor, postgres::PgConnection};

use crate::stage::{ENDS_WITHIN, Stage, WITHIN, in_hand, on_every_queue};

/// What a process needs to be rescued: its lease of four seconds, and what may pass after it.
const RESCUED_WITHIN: Duration = Duration::from_secs(4 + 30);

on_every_queue!(a_process_that_slept_through_its_lease_starts_nothing_and_tells_what_it_knows);

async fn a_process_that_slept_through_its_lease_starts_nothing_and_tells_what_it_knows(queue: QueueKind) {
    const GUESTS: usize = 150;
    // No receipts: what was under way is in doubt until whoever sent it tells.
    let stage = Stage::open(queue, 50, &[("KABAR_FLEET_LEASE", "4s")]).await;
    stage.sandbox.set_faults(Faults { latency: Duration::from_secs(1), ..Faults::default() });
    let others = stage.process_with("planner,dispatcher,recorder,janitor").await;
    let mut courier = stage.process_with("courier").await;
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    stage.accepted(60).await;

    courier.signal("STOP").await;
    let rescued = eventually(RESCUED_WITHIN, async || {
        let counts = stage.counts(job).await?;
        let held = counts.get(MessageState::Claimed) + counts.get(MessageState::Sending);
        if held == 0 { Ok(counts) } else { Err(format!("{held} still held")) }
    })
    .await;
    assert!(rescued.get(MessageState::InDoubt) > 0, "nothing was under way: {rescued:?}");
    let received = stage.sandbox.counters().received;

    courier.signal("CONT").await;
    let status = courier.wait(ENDS_WITHIN).await;
    assert!(!status.success(), "whoever watches over it must see that it is to be started again");
    assert!(courier.log().contains("lease had ended"), "{}", courier.log());
    assert_eq!(stage.sandbox.counters().received, received, "it started something after its lease had ended");
    let counts = stage.counts(job).await.expect("the counts can be read");
    assert_eq!(in_hand(&counts), 0, "what it knew counts: {counts:?}");
    assert_eq!(counts.get(MessageState::Accepted), stage.sandbox.counters().accepted);

    let again = stage.process_with("courier").await;
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, 50);
    again.stop().await;
    others.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn a_process_that_sleeps_within_a_transaction_holds_nobody_up() {
    const GUESTS: usize = 60;
    let stage = Stage::open(QueueKind::Database, 50, &[("KABAR_FLEET_LEASE", "4s")]).await;
    let others = stage.process_with("planner,dispatcher,recorder,janitor").await;
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    eventually(WITHIN, async || {
        let waiting = stage.counts(job).await?.get(MessageState::Queued);
        (waiting == GUESTS as u64).then_some(()).ok_or_else(|| format!("{waiting} planned"))
    })
    .await;
    let mut person = PgConnection::connect(&stage.url()).await.unwrap();
    person.execute("begin; lock table blocks in access exclusive mode").await.unwrap();
    let courier = stage.process_with("courier").await;
    let mut onlooker = PgConnection::connect(&stage.url()).await.unwrap();
    let mut sessions_that = async |how: &str| {
        let counting = "select count(*) from pg_stat_activity where application_name = 'kabar'
            and datname = current_database() and ";
        let counting = sqlx::query_scalar(AssertSqlSafe(format!("{counting}{how}")));
        let count: i64 = counting.fetch_one(&mut onlooker).await.unwrap();
        (count > 0).then_some(()).ok_or_else(|| format!("no session with {how}"))
    };

    // It has locked the messages that it starts, and waits for a table that the start looks into.
    eventually(WITHIN, async || sessions_that("wait_event_type = 'Lock'").await).await;
    courier.signal("STOP").await;
    person.execute("rollback").await.unwrap();
    eventually(WITHIN, async || sessions_that("state = 'idle in transaction'").await).await;

    eventually(RESCUED_WITHIN, async || {
        let held = in_hand(&stage.counts(job).await?);
        (held == 0).then_some(()).ok_or_else(|| format!("{held} still held"))
    })
    .await;
    drop(courier);
    let again = stage.process_with("courier").await;
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, 50);
    again.stop().await;
    others.stop().await;
}
