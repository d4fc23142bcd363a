//! The writer of a process, which shares commits between its couriers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kabar_domain::{
    message::MessageState::{Accepted, Queued},
    outcome::Outcome,
};
use kabar_store::Writer;
use kabar_tests::{TestLedger, on_both_ledgers};

use super::fixtures::*;

on_both_ledgers!(
    couriers_share_commits_and_each_gets_its_own,
    what_was_asked_is_written_before_the_writer_ends,
    one_that_fails_does_not_fail_the_others,
);

async fn couriers_share_commits_and_each_gets_its_own(ledger: TestLedger) {
    const SENDERS: usize = 8;
    let store = ledger.store();
    let lease = store.take_lease("host:1", &["courier"], Duration::from_secs(30)).await.unwrap().id;
    let operations = Arc::new(AtomicUsize::new(0));
    let counted = operations.clone();
    let (writer, handle) = Writer::spawn(store.clone(), lease, policy(), move |count, _| {
        counted.fetch_add(count, Ordering::SeqCst);
    });
    let mut couriers = Vec::new();
    for number in 0..SENDERS {
        let name = format!("sender-{number}");
        let sender = store.add_sender(TENANT, &new_sender(&name, rate(20))).await.unwrap();
        let job = with(broadcast(&name, 0..20), serde_json::json!({"sender": name}));
        let job_id = planned(store, job).await;
        let courier = Courier { store: store.clone(), lease, writer: handle.clone() };
        couriers.push(tokio::spawn(async move {
            let sending = courier.send(&sender).await;
            for one in &sending {
                courier.accept(one).await;
            }
            (job_id, sending.len())
        }));
    }
    for courier in couriers {
        let (job_id, sent) = courier.await.unwrap();
        assert_eq!(sent, 20);
        assert_eq!(store.job_counts(job_id).await.unwrap().get(Accepted), 20);
    }
    drop(handle);
    writer.finished().await;
    assert_eq!(operations.load(Ordering::SeqCst), SENDERS * 22);
    assert_adds_up(store).await;
}

async fn what_was_asked_is_written_before_the_writer_ends(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..20)).await;
    let lease = store.take_lease("host:1", &["courier"], Duration::from_secs(30)).await.unwrap().id;
    let (writer, handle) = Writer::spawn(store.clone(), lease, policy(), |_, _| {});
    let courier = Courier { store: store.clone(), lease, writer: handle };
    let asked = courier.send(&sender).await.into_iter().map(|one| {
        let (handle, outcome) = (courier.writer.clone(), Outcome::accepted(provider_id(&one)));
        tokio::spawn(async move { handle.settle(vec![settlement(&one, outcome)]).await })
    });
    let asked: Vec<_> = asked.collect();
    drop(courier);
    writer.finished().await;
    assert_eq!(store.job_counts(job_id).await.unwrap().get(Accepted), 20);
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
}

async fn one_that_fails_does_not_fail_the_others(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let other = store.add_sender(TENANT, &new_sender("other", rate(20))).await.unwrap();
    let job = with(broadcast("other", 1..3), serde_json::json!({"sender": "other"}));
    let job_id = planned(store, job).await;
    planned(store, broadcast("unreadable", 5..6)).await;
    raw_change(&ledger, "update recipients set phone = 'no number' where phone like '%5'").await;
    let (failed, claimed, settled) = tokio::join!(
        courier.writer.claim(sender.id),
        courier.writer.claim(other.id),
        courier.writer.settle(vec![settlement(&sending, Outcome::accepted("wamid"))]),
    );
    // Tried again alone on Postgres, it may find its rows still held by the transaction that is being undone.
    assert!(failed.as_ref().map_or_else(|error| !error.is_passing(), Vec::is_empty), "{failed:?}");
    assert_eq!(claimed.unwrap().len(), 2);
    settled.unwrap();
    assert_eq!(state(store, sending.id).await, Accepted);
    assert!(!states(store, job_id).await.contains(&Queued));
    assert_adds_up(store).await;
}
