//! The lines of the queue, where it lives in the ledger.

use std::{collections::HashSet, time::Duration};

use kabar_tests::{TestLedger, on_both_ledgers};

use super::fixtures::*;

on_both_ledgers!(
    items_are_taken_in_their_order,
    a_taken_item_is_hidden_until_its_time,
    a_released_item_is_there_at_once,
    takers_at_once_never_get_the_same_item,
    lines_are_counted_and_purged_apart,
);

const HIDDEN: Duration = Duration::from_secs(60);

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item {number}")).collect()
}

async fn items_are_taken_in_their_order(ledger: TestLedger) {
    let store = ledger.store();
    store.put_items("jobs", &bodies(5)).await.unwrap();
    store.put_items("jobs", &[]).await.unwrap();
    let mut taken = store.take_items("jobs", 2, HIDDEN).await.unwrap();
    taken.extend(store.take_items("jobs", 10, HIDDEN).await.unwrap());
    assert_eq!(taken.iter().map(|item| item.body.clone()).collect::<Vec<_>>(), bodies(5));
    assert!(store.take_items("jobs", 10, HIDDEN).await.unwrap().is_empty());
}

async fn a_taken_item_is_hidden_until_its_time(ledger: TestLedger) {
    let store = ledger.store();
    store.put_items("jobs", &bodies(2)).await.unwrap();
    let taken = store.take_items("jobs", 2, HIDDEN).await.unwrap();
    store.remove_items(&[taken[0].id]).await.unwrap();
    ledger.clock().advance_ms(59_999);
    assert_eq!(store.items_ready("jobs").await.unwrap(), 0);
    ledger.clock().advance_ms(1);
    assert_eq!(store.items_ready("jobs").await.unwrap(), 1);
    assert_eq!(store.take_items("jobs", 2, HIDDEN).await.unwrap(), [taken[1].clone()]);
}

async fn a_released_item_is_there_at_once(ledger: TestLedger) {
    let store = ledger.store();
    store.put_items("jobs", &bodies(2)).await.unwrap();
    let taken = store.take_items("jobs", 2, HIDDEN).await.unwrap();
    store.release_items(&[taken[1].id]).await.unwrap();
    assert_eq!(store.take_items("jobs", 2, HIDDEN).await.unwrap(), [taken[1].clone()]);
}

async fn takers_at_once_never_get_the_same_item(ledger: TestLedger) {
    const ITEMS: usize = 200;
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    one.put_items("jobs", &bodies(ITEMS)).await.unwrap();
    let takers: Vec<_> = [&one, &one, &other, &other]
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while store.items_ready("jobs").await.unwrap() > 0 {
                    taken.extend(store.take_items("jobs", 3, HIDDEN).await.unwrap().into_iter().map(|item| item.id));
                }
                taken
            })
        })
        .into();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken.len(), ITEMS);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), ITEMS);
}

async fn lines_are_counted_and_purged_apart(ledger: TestLedger) {
    let store = ledger.store();
    store.put_items("jobs", &bodies(3)).await.unwrap();
    store.put_items("batches", &bodies(2)).await.unwrap();
    let expected = [("batches".to_owned(), 2), ("jobs".to_owned(), 3)];
    assert_eq!(store.lines_ready().await.unwrap(), expected);
    assert_eq!(store.purge_items("jobs").await.unwrap(), 3);
    assert_eq!(store.lines_ready().await.unwrap(), expected[..1]);
    assert_eq!(store.purge_items("jobs").await.unwrap(), 0);
}
