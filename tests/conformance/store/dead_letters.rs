//! Work that cannot go on: kept, found by what it is, put back exactly once, dropped by a person alone.

use kabar_store::{DeadLetterFilter, NewDeadLetter, Store, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    dead_letters_are_kept_until_dropped,
    dead_letters_are_found_by_what_they_are,
    a_retried_letter_is_a_job_and_no_letter_any_more,
    a_letter_whose_job_is_refused_stays,
    of_two_who_retry_a_letter_one_does,
);

const NOT_JSON: NewDeadLetter<'_> = NewDeadLetter { line: "jobs", job_key: None, body: "x", reason: "not JSON" };

fn all() -> DeadLetterFilter {
    DeadLetterFilter::default()
}

async fn found(store: &Store, filter: DeadLetterFilter) -> Vec<i64> {
    store.dead_letters(TENANT, &filter, 0, 10).await.unwrap().into_iter().map(|letter| letter.id).collect()
}

async fn dead_letters_are_kept_until_dropped(ledger: TestLedger) {
    let store = ledger.store();
    let mut ids = Vec::new();
    for body in ["a", "b", "c"] {
        ids.push(store.bury(TENANT, NewDeadLetter { body, ..NOT_JSON }).await.unwrap());
    }
    let bodies = async |after: i64| {
        let letters = store.dead_letters(TENANT, &all(), after, 2).await.unwrap();
        letters.into_iter().map(|letter| letter.body).collect::<Vec<_>>()
    };
    assert_eq!((bodies(0).await, bodies(ids[1]).await), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
    let letter = store.dead_letter(TENANT, ids[0]).await.unwrap();
    assert_eq!((letter.reason.as_str(), letter.created_at), ("not JSON", START_MS));
    assert_eq!(store.drop_dead_letters(TENANT, &[ids[0], 999]).await.unwrap(), [ids[0]]);
    assert!(store.drop_dead_letters(TENANT, &ids[..1]).await.unwrap().is_empty());
    assert!(matches!(store.dead_letter(TENANT, ids[0]).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.count_dead_letters(TENANT).await.unwrap(), 2);
}

async fn dead_letters_are_found_by_what_they_are(ledger: TestLedger) {
    let store = ledger.store();
    let plain = store.bury(TENANT, NOT_JSON).await.unwrap();
    let odd = NewDeadLetter { line: "batches", reason: "is 100% odd_", ..NOT_JSON };
    let odd = store.bury(TENANT, odd).await.unwrap();
    let known = NewDeadLetter { job_key: Some("dep-1"), reason: "there is no sender \"shop\"", ..NOT_JSON };
    let known = store.bury(TENANT, known).await.unwrap();
    let reason = |text: &str| DeadLetterFilter { reason: Some(text.to_owned()), ..all() };
    assert_eq!(found(store, all()).await, [plain, odd, known]);
    assert_eq!(found(store, reason("NO SENDER")).await, [known]);
    assert_eq!(found(store, reason("100%")).await, [odd]);
    assert_eq!(found(store, reason("1%0")).await, [0; 0]);
    assert_eq!(found(store, reason("odd_")).await, [odd]);
    assert_eq!(found(store, DeadLetterFilter { line: Some("jobs".to_owned()), ..all() }).await, [plain, known]);
    assert_eq!(found(store, DeadLetterFilter { job_key: Some("dep-1".to_owned()), ..all() }).await, [known]);
    let both = DeadLetterFilter { line: Some("batches".to_owned()), ..reason("sender") };
    assert_eq!(found(store, both).await, [0; 0]);
}

async fn a_retried_letter_is_a_job_and_no_letter_any_more(ledger: TestLedger) {
    let store = ledger.store();
    let value = send("late", 1);
    let id = store.bury(TENANT, NewDeadLetter { body: &value.to_string(), ..NOT_JSON }).await.unwrap();
    sender(store, rate(20)).await;
    let enqueued = store.retry_dead_letter(TENANT, id, &job(value.clone())).await.unwrap();
    assert_eq!(store.count_dead_letters(TENANT).await.unwrap(), 0);
    plan_all(store).await;
    assert_eq!(states(store, enqueued.job_id()).await.len(), 1);
    let error = store.retry_dead_letter(TENANT, id, &job(value)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

async fn a_letter_whose_job_is_refused_stays(ledger: TestLedger) {
    let store = ledger.store();
    let id = store.bury(TENANT, NOT_JSON).await.unwrap();
    let error = store.retry_dead_letter(TENANT, id, &job(send("a", 1))).await.unwrap_err();
    assert!(error.to_string().contains("sender"), "{error}");
    sender(store, rate(20)).await;
    enqueue(store, send("a", 1)).await;
    let another = with(send("a", 1), json!({"content": {"text": "another"}}));
    let error = store.retry_dead_letter(TENANT, id, &job(another)).await.unwrap_err();
    assert!(matches!(error, StoreError::DifferentJob(_)), "{error}");
    assert_eq!(found(store, all()).await, [id]);
}

async fn of_two_who_retry_a_letter_one_does(ledger: TestLedger) {
    let (store, other) = (ledger.store().clone(), another(&ledger).await);
    sender(&store, rate(20)).await;
    let id = store.bury(TENANT, NOT_JSON).await.unwrap();
    let (one, two) = (job(send("one", 1)), job(send("two", 1)));
    let (first, second) =
        tokio::join!(store.retry_dead_letter(TENANT, id, &one), other.retry_dead_letter(TENANT, id, &two));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(plan_all(&store).await, 1);
}
