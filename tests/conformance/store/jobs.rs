//! Jobs as producers enqueue them.

use std::collections::BTreeSet;

use kabar_domain::{
    content::Fields,
    job::{BroadcastJob, Job, OnDoubt},
    message::MessageState,
};
use kabar_store::{AudienceRow, Enqueued, StoreError, Traced};
use kabar_tests::{TestLedger, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    the_same_job_again_is_the_same_job,
    another_body_under_an_id_is_refused,
    an_unknown_sender_is_answered_with_those_that_are_known,
    a_job_is_kept_as_it_was_but_for_its_recipients,
    jobs_are_listed_by_kind_the_newest_first,
    enqueuing_at_once_makes_one_job,
    jobs_with_the_same_numbers_may_come_at_once,
    a_file_broadcast_waits_until_it_is_started,
    a_file_broadcast_that_was_cut_short_goes_on_without_doubling,
    contents_are_ready_for_couriers,
    every_process_comes_to_the_same_seeds_of_traces,
);

async fn the_same_job_again_is_the_same_job(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    for value in [send("a", 1), broadcast("b", 0..3)] {
        let first = store.enqueue(TENANT, &job(value.clone())).await.unwrap();
        assert!(matches!(first, Enqueued::New { .. }));
        plan_all(store).await;
        let again = another(&ledger).await.enqueue(TENANT, &job(value)).await.unwrap();
        assert_eq!(again, Enqueued::Same { job_id: first.job_id() });
        assert_eq!(plan_all(store).await, 0);
    }
    assert_adds_up(store).await;
}

async fn another_body_under_an_id_is_refused(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    enqueue(store, broadcast("a", 0..2)).await;
    for other in [send("a", 1), broadcast("a", 0..3), with(broadcast("a", 0..2), json!({"priority": "urgent"}))] {
        let error = store.enqueue(TENANT, &job(other)).await.unwrap_err();
        assert!(matches!(&error, StoreError::DifferentJob(id) if id.as_str() == "a"), "{error}");
        assert!(!error.is_passing());
    }
}

async fn an_unknown_sender_is_answered_with_those_that_are_known(ledger: TestLedger) {
    let store = ledger.store();
    let error = store.enqueue(TENANT, &job(send("a", 1))).await.unwrap_err().to_string();
    assert!(error.contains("\"default\"") && error.contains("kabar sender add"), "{error}");
    for name in ["umroh", "billing"] {
        store.add_sender(TENANT, &new_sender(name, rate(20))).await.unwrap();
    }
    let error = store.enqueue(TENANT, &job(send("a", 1))).await.unwrap_err().to_string();
    assert!(error.contains("billing, umroh"), "{error}");
    assert_eq!(store.job_id(TENANT, "a").await.unwrap(), None);
}

async fn a_job_is_kept_as_it_was_but_for_its_recipients(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let single = send("a", 1);
    let job_id = enqueue(store, single.clone()).await;
    assert_eq!(store.job(job_id).await.unwrap(), job(single));
    let job_id = enqueue(store, broadcast("b", 0..3)).await;
    assert_eq!(store.job(job_id).await.unwrap(), job(broadcast("b", 0..0)));
    assert!(matches!(store.job(job_id + 1).await, Err(StoreError::NotFound { what: "job", .. })));
}

async fn jobs_are_listed_by_kind_the_newest_first(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let mut ids = Vec::new();
    for id in ["a", "b", "c"] {
        ids.push(enqueue(store, send(id, 1)).await);
    }
    enqueue(store, broadcast("d", 0..1)).await;
    let newest = store.jobs(TENANT, "send", None, 2).await.unwrap();
    assert_eq!(newest.iter().map(|(_, job)| job.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let rest = store.jobs(TENANT, "send", Some(newest[1].0), 2).await.unwrap();
    assert_eq!(rest.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0]]);

    let (id, summary) = store.job_summary(TENANT, "a", None).await.unwrap();
    assert_eq!((id, summary.kind.as_str(), summary.state.as_str(), summary.audience), (ids[0], "send", "accepted", 0));
    assert!(!store.job_is_planned(ids[0]).await.unwrap());
    plan_all(store).await;
    let (_, summary) = store.job_summary(TENANT, "a", Some("send")).await.unwrap();
    assert_eq!((summary.state.as_str(), summary.audience), ("planned", 1));
    assert!(store.job_is_planned(ids[0]).await.unwrap());
    assert!(store.job_summary(TENANT, "a", Some("reminder")).await.is_err());
    assert_eq!(store.job_id(TENANT, "a").await.unwrap(), Some(ids[0]));
}

async fn enqueuing_at_once_makes_one_job(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    sender(&one, rate(20)).await;
    for round in 0..10 {
        let same = job(broadcast(&format!("b{round}"), 0..20));
        let (first, second) = tokio::join!(one.enqueue(TENANT, &same), other.enqueue(TENANT, &same));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.job_id(), second.job_id());
        assert_ne!(first, second, "one of them is new");
    }
    assert_eq!(plan_all(&one).await, 200);
    assert_adds_up(&one).await;
}

/// Numbers are locked in one order, so that no two jobs wait for each other.
async fn jobs_with_the_same_numbers_may_come_at_once(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    sender(&one, rate(20)).await;
    for round in 0..5 {
        let named = |id: &str, backwards: bool| {
            let mut numbers: Vec<u64> = (0..1_500).collect();
            if backwards {
                numbers.reverse();
            }
            let name = format!("{id}{round}");
            let recipients: Vec<_> = numbers.iter().map(|n| json!({"to": phone(*n), "name": name})).collect();
            job(with(broadcast(&name, 0..0), json!({"audience": {"recipients": recipients}})))
        };
        let (up, down) = (named("up", false), named("down", true));
        let (first, second) = tokio::join!(one.enqueue(TENANT, &up), other.enqueue(TENANT, &down));
        first.unwrap();
        second.unwrap();
    }
}

fn file_broadcast() -> BroadcastJob {
    let value = json!({"type": "broadcast", "id": "b", "audience": {"recipients": []},
        "content": template(json!(["{name}", "{package}"]))});
    let Job::Broadcast(mut broadcast) = job(value) else { panic!("a broadcast") };
    broadcast.audience = kabar_domain::job::Audience::File("the digest of its rows".to_owned());
    broadcast
}

fn rows(count: u64) -> Vec<AudienceRow> {
    let row = |number| AudienceRow {
        phone: phone(number),
        name: Some(format!("Name {number}")),
        fields: Fields::from([("package".to_owned(), "Hemat".to_owned()), ("not wanted".to_owned(), "x".to_owned())]),
    };
    (0..count).map(row).collect()
}

async fn a_file_broadcast_waits_until_it_is_started(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let mut file = store.begin_file_broadcast(TENANT, file_broadcast(), 3).await.unwrap();
    assert!(!file.is_loaded());
    store.append_audience(&mut file, &rows(3)).await.unwrap();
    assert_eq!(plan_all(store).await, 0);
    store.start_file_broadcast(&file).await.unwrap();
    assert_eq!(plan_all(store).await, 3);
    let claimed = Courier::of(store).await.claim(&sender).await;
    assert_eq!(claimed[0].fields.as_deref(), Some(r#"{"name":"Name 0","package":"Hemat"}"#));

    let again = store.begin_file_broadcast(TENANT, file_broadcast(), 3).await.unwrap();
    assert!(again.is_loaded() && again.job_id() == file.job_id());
    let other = BroadcastJob { name: Some("another".to_owned()), ..file_broadcast() };
    assert!(matches!(store.begin_file_broadcast(TENANT, other, 3).await, Err(StoreError::DifferentJob(_))));
}

async fn a_file_broadcast_that_was_cut_short_goes_on_without_doubling(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let all = rows(2_300);
    let mut cut_short = store.begin_file_broadcast(TENANT, file_broadcast(), 3).await.unwrap();
    store.append_audience(&mut cut_short, &all[..1_700]).await.unwrap();
    drop(cut_short);

    let store = another(&ledger).await;
    let mut file = store.begin_file_broadcast(TENANT, file_broadcast(), 3).await.unwrap();
    assert!(!file.is_loaded());
    for part in all.chunks(900) {
        store.append_audience(&mut file, part).await.unwrap();
    }
    store.start_file_broadcast(&file).await.unwrap();
    assert_eq!(plan_all(&store).await, 2_300);
    let counts = store.job_counts(file.job_id()).await.unwrap();
    assert_eq!(counts.get(MessageState::Queued), 2_300);
    assert_adds_up(&store).await;
}

async fn contents_are_ready_for_couriers(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let plain = enqueue(store, with(send("a", 1), json!({"content": template(json!(["{name}"])), "on_doubt": "hold"})));
    let plain = plain.await;
    let escaped = enqueue(store, with(broadcast("b", 0..1), json!({"content": template(json!(["{{2026}}"]))}))).await;
    let filled = enqueue(store, with(broadcast("c", 0..1), json!({"content": template(json!(["{name}"]))}))).await;
    let contents = store.job_contents(&[plain, escaped, filled]).await.unwrap();
    let of = |job_id| contents.iter().find(|(id, _)| *id == job_id).map(|(_, content)| content).unwrap();
    let text = |job_id| serde_json::to_string(&of(job_id).content).unwrap();
    assert!(text(plain).contains("{name}") && !of(plain).has_fields, "braces of a single send stand as they are");
    assert_eq!(of(plain).on_doubt, OnDoubt::Hold);
    assert!(text(escaped).contains("\"{2026}\"") && !of(escaped).has_fields);
    assert!(of(filled).has_fields);
}

async fn every_process_comes_to_the_same_seeds_of_traces(ledger: TestLedger) {
    let (store, other) = (ledger.store(), another(&ledger).await);
    let things = [
        Traced::Job(1),
        Traced::Job(2),
        Traced::Message(1),
        Traced::Attempt(1, 1),
        Traced::Attempt(1, 2),
        Traced::Job(11),
    ];
    let seeds: BTreeSet<[u8; 32]> = things.map(|thing| store.trace_seed(thing).unwrap()).into();
    assert_eq!(seeds.len(), things.len());
    assert_eq!(seeds, things.map(|thing| other.trace_seed(thing).unwrap()).into());
}
