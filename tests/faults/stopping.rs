//! Processes that are told to stop, and others in their place.

use std::time::Duration;

use kabar_domain::message::MessageState;
use kabar_sandbox::Faults;

use kabar_tests::QueueKind;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::stage::{Backend, ENDS_WITHIN, Stage, assert_no_errors, in_hand, on_every_queue};

on_every_queue!(
    told_to_stop_it_finishes_what_is_under_way_and_gives_back_the_rest,
    told_twice_it_ends_at_once,
    a_rolling_restart_under_load_is_not_noticed,
);

async fn told_to_stop_it_finishes_what_is_under_way_and_gives_back_the_rest(queue: QueueKind) {
    let stage = Stage::open(queue, 50, &[]).await;
    stage.sandbox.set_faults(Faults { latency: Duration::from_secs(1), ..Faults::default() });
    let mut process = stage.process().await;
    let job = stage.broadcast("dep-1", 0..200).await;
    stage.accepted(60).await;
    process.signal("TERM").await;
    let status = process.wait(ENDS_WITHIN).await;
    assert!(status.success(), "{status}\n{}", process.log());
    assert_no_errors(&process);
    let counts = stage.counts(job).await.expect("the counts can be read");
    assert_eq!(in_hand(&counts), 0, "{counts:?}");
    assert!(counts.get(MessageState::Queued) > 0, "it was to be in the middle: {counts:?}");
    assert_eq!(counts.get(MessageState::Accepted), stage.sandbox.counters().received, "{counts:?}");
    assert!(stage.store.leases().await.expect("the leases can be read").is_empty(), "its lease has ended");
}

async fn told_twice_it_ends_at_once(queue: QueueKind) {
    const AT_ONCE: Duration = Duration::from_secs(5);
    for second in ["TERM", "INT"] {
        let stage = Stage::open(queue, 50, &[]).await;
        // Finishing what is under way would take longer.
        stage.sandbox.set_faults(Faults { latency: Duration::from_secs(20), ..Faults::default() });
        let mut process = stage.process().await;
        stage.broadcast("dep-1", 0..100).await;
        stage.accepted(5).await;
        process.signal("TERM").await;
        process.logged("a second signal stops at once").await;
        assert!(process.ended().is_none(), "it waits for answers");
        process.signal(second).await;
        assert_eq!(process.wait(AT_ONCE).await.code(), Some(1), "{}", process.log());
    }
}

async fn a_rolling_restart_under_load_is_not_noticed(queue: QueueKind) {
    const RATE: u32 = 60;
    const GUESTS: usize = 600;
    let stage = Stage::open(queue, RATE, &[]).await;
    let mut processes = vec![stage.process().await, stage.process().await, stage.process().await];
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    for round in 1..=3 {
        stage.accepted(round * 60).await;
        let fresh = stage.process().await;
        stage.report_to(&fresh);
        processes.push(fresh);
        let mut old = processes.remove(0);
        old.signal("TERM").await;
        let status = old.wait(ENDS_WITHIN).await;
        assert!(status.success(), "{status}\n{}", old.log());
        assert_no_errors(&old);
    }
    assert!(stage.sandbox.counters().accepted < GUESTS as u64, "the load was to last longer than the restart");
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, RATE as usize);
    for process in processes {
        assert_no_errors(&process);
        process.stop().await;
    }
}

/// Whoever waits for a ledger that another program has locked cannot end in time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program: run tests/run"]
async fn past_its_deadline_it_ends_without_those_who_still_wait() {
    const DEADLINE: (&str, &str) = ("KABAR_FLEET_SHUTDOWN_DEADLINE", "1s");
    let stage = Stage::on_backend(Backend::Sqlite, 50, &[DEADLINE]).await;
    let mut process = stage.process().await;
    stage.broadcast("dep-1", 0..200).await;
    stage.accepted(20).await;
    let mut person = SqliteConnection::connect(&stage.url()).await.expect("the ledger's file can be opened");
    person.execute("begin immediate").await.expect("the ledger can be locked");
    process.signal("TERM").await;
    process.wait(ENDS_WITHIN).await;
    let log = process.log();
    assert!(log.contains("not everything ended within the deadline"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
