//! Which processes are at work.

use std::{sync::Arc, time::Duration};

use kabar_domain::message::MessageState;
use kabar_store::{Clock, Store, StoreOptions, SystemClock};
use kabar_tests::{LedgerKind, TestLedger, Time, eventually, ledger::START_MS, on_both_ledgers};
use sqlx::{Connection, PgConnection};

use super::fixtures::*;

on_both_ledgers!(
    a_lease_holds_until_its_end,
    an_ended_lease_is_not_renewed,
    workers_live_as_long_as_a_lease_names_them,
    a_lease_holds_what_was_claimed_under_it,
);

const LENGTH: Duration = Duration::from_millis(LEASE_MS.unsigned_abs());

async fn a_lease_holds_until_its_end(ledger: TestLedger) {
    let store = ledger.store();
    let lease = store.take_lease("host:1", &["courier", "planner"], LENGTH).await.unwrap();
    assert_eq!((lease.started_at, lease.expires_at), (START_MS, START_MS + LEASE_MS));
    let other = another(&ledger).await.take_lease("host:2", &[], LENGTH).await.unwrap();
    assert_ne!(lease.id, other.id);
    let known = store.leases().await.unwrap();
    assert!(known.len() == 2 && known.contains(&lease));
    ledger.clock().advance_ms(1_000);
    let renewed = store.renew_lease(lease.id, LENGTH).await.unwrap();
    assert_eq!(renewed, Some(START_MS + 1_000 + LEASE_MS));
    ledger.clock().advance_ms(LEASE_MS - 1_000);
    assert_eq!(store.leases().await.unwrap().len(), 1);
    store.end_lease(lease.id).await.unwrap();
    assert!(store.leases().await.unwrap().is_empty());
}

async fn an_ended_lease_is_not_renewed(ledger: TestLedger) {
    let store = ledger.store();
    let lease = store.take_lease("host:1", &["courier"], LENGTH).await.unwrap();
    ledger.clock().advance_ms(LEASE_MS - 1);
    assert!(store.renew_lease(lease.id, LENGTH).await.unwrap().is_some());
    ledger.clock().advance_ms(LEASE_MS);
    assert_eq!(store.renew_lease(lease.id, LENGTH).await.unwrap(), None);
    let lease = store.take_lease("host:1", &["courier"], LENGTH).await.unwrap();
    store.end_lease(lease.id).await.unwrap();
    assert_eq!(store.renew_lease(lease.id, LENGTH).await.unwrap(), None);
}

async fn workers_live_as_long_as_a_lease_names_them(ledger: TestLedger) {
    let store = ledger.store();
    assert!(!store.worker_lives("courier").await.unwrap());
    store.take_lease("host:1", &["planner", "courier", "recorder"], LENGTH).await.unwrap();
    for worker in ["planner", "courier", "recorder"] {
        assert!(store.worker_lives(worker).await.unwrap(), "{worker}");
    }
    for worker in ["janitor", "cour", "planner,courier,x"] {
        assert!(!store.worker_lives(worker).await.unwrap(), "{worker}");
    }
    ledger.clock().advance_ms(LEASE_MS);
    assert!(!store.worker_lives("courier").await.unwrap());
}

async fn a_lease_holds_what_was_claimed_under_it(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..5)).await;
    let courier = Courier::of(store).await;
    assert_eq!(store.held(courier.lease).await.unwrap(), 0);
    assert_eq!(courier.claim(&sender).await.len(), 5);
    assert_eq!(store.held(courier.lease).await.unwrap(), 5);
    ledger.clock().advance_ms(LEASE_MS);
    store.rescue(policy().doubt_grace).await.unwrap();
    assert_eq!(store.held(courier.lease).await.unwrap(), 0);
}

/// Processes on several machines, whose clocks nobody has set.
#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn whose_clock_is_wrong_goes_by_the_servers() {
    let ledger = TestLedger::open(LedgerKind::Postgres, Time::System).await;
    let right = ledger.store();
    for minutes in [-3, 3] {
        let clock = Arc::new(WrongClock { off_us: minutes * MINUTE_MS * 1_000 });
        let wrong = Store::open(&StoreOptions { clock, ..ledger.options().clone() }).await.unwrap();
        let apart = (wrong.now_ms() - right.now_ms()).abs();
        assert!(apart < 1_000, "{apart} ms apart");
        let lease = wrong.take_lease("host:1", &["courier"], LENGTH).await.unwrap();
        assert!(right.leases().await.unwrap().contains(&lease), "its lease holds for others");
        let (given_back, doubtful) = right.rescue(policy().doubt_grace).await.unwrap();
        assert_eq!((given_back, doubtful), (0, 0));
        wrong.end_lease(lease.id).await.unwrap();
    }
}

/// A process stands still between its start and the start's commit, for longer than its lease: the rescue waits for it, and
/// the attempt that it finds is written down.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn a_start_that_is_being_committed_is_not_overlooked() {
    let ledger = TestLedger::open(LedgerKind::Postgres, Time::Manual).await;
    let (store, url) = (ledger.store(), ledger.url());
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..1)).await;
    let claimed = Courier::of(store).await.claim(&sender).await;
    let (mut starting, mut looking) =
        (PgConnection::connect(&url).await.unwrap(), PgConnection::connect(&url).await.unwrap());
    let mut start = starting.begin().await.unwrap();
    let started = sqlx::query("update messages set state = 'sending', attempts = attempts + 1");
    started.execute(&mut *start).await.unwrap();
    ledger.clock().advance_ms(LEASE_MS);
    let rescue = tokio::spawn({
        let store = store.clone();
        async move { store.rescue(policy().doubt_grace).await.unwrap() }
    });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually(Duration::from_secs(10), async || {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut looking).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    start.commit().await.unwrap();
    assert_eq!(rescue.await.unwrap(), (0, 1));
    let story = story(store, claimed[0].id).await;
    assert_eq!((story.state, story.attempts.len()), (MessageState::InDoubt, 1));
    assert_eq!(story.attempts[0].number, 1);
}

/// The machine's clock, off by a constant.
#[derive(Debug)]
struct WrongClock {
    off_us: i64,
}

impl Clock for WrongClock {
    fn now_us(&self) -> i64 {
        SystemClock.now_us() + self.off_us
    }
}
