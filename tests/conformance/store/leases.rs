//! Which processes are at work.

use std::time::Duration;

use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};

use super::fixtures::*;

on_both_ledgers!(
    a_lease_holds_until_its_end,
    an_ended_lease_is_not_renewed,
    workers_live_as_long_as_a_lease_names_them
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
