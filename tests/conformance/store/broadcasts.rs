//! Broadcasts as people see and steer them; and reminders and sends that are taken back.

use kabar_domain::{
    job::Priority,
    message::MessageState::{Accepted, Cancelled, Claimed, Failed, Queued, Sending as InSending},
    outcome::{Decision, Outcome, Scope},
};
use kabar_store::{BroadcastState, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_broadcasts_state_follows_from_its_messages,
    a_paused_broadcast_gives_back_and_goes_on,
    a_cancelled_broadcast_ends_what_has_not_left,
    what_is_over_cannot_be_steered,
    failed_messages_are_tried_anew,
    the_end_is_foreseen_by_the_pace,
    an_eta_knows_who_else_the_sender_serves,
    the_error_of_a_foreseen_end_is_told_once,
    what_a_person_stops_has_no_foreseen_end,
    an_export_has_every_recipient_once,
    reasons_are_counted,
    broadcasts_are_listed_the_newest_first,
    a_reminder_is_taken_back,
    steering_and_sending_at_once_add_up,
);

async fn state_of(ledger: &TestLedger) -> BroadcastState {
    ledger.store().broadcast(TENANT, "b").await.unwrap().state
}

async fn a_broadcasts_state_follows_from_its_messages(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    enqueue(store, with(broadcast("b", 0..2), json!({"name": "Departure"}))).await;
    assert_eq!(state_of(&ledger).await, BroadcastState::Planning);
    plan_all(store).await;
    assert_eq!(state_of(&ledger).await, BroadcastState::Running);
    let sending = courier.send(&sender).await;
    courier.accept(&sending[0]).await;
    let shown = store.broadcast(TENANT, "b").await.unwrap();
    assert_eq!((shown.counts.get(InSending), shown.counts.get(Accepted), shown.audience), (1, 1, 2));
    assert_eq!((shown.name.as_deref(), shown.created_at), (Some("Departure"), START_MS));
    courier.settle(&sending[1], Outcome::in_doubt("no answer came")).await;
    assert_eq!(state_of(&ledger).await, BroadcastState::Running);
    courier.settle(&sending[1], outcome(Decision::Failed, Scope::Message)).await;
    assert_eq!(state_of(&ledger).await, BroadcastState::Completed);
    assert_adds_up(store).await;
}

async fn a_paused_broadcast_gives_back_and_goes_on(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    let job_id = planned(store, broadcast("b", 0..5)).await;
    let sending = courier.send(&sender).await;
    courier.claim(&sender).await;
    for _ in 0..2 {
        store.pause_broadcast(TENANT, "b").await.unwrap();
    }
    assert_eq!(state_of(&ledger).await, BroadcastState::Paused);
    let counts = store.job_counts(job_id).await.unwrap();
    assert_eq!((counts.get(InSending), counts.get(Claimed), counts.get(Queued)), (2, 0, 3));
    courier.settle(&sending[0], outcome(Decision::NotSent, Scope::Message)).await;
    assert!(courier.claim(&sender).await.is_empty());
    assert!(store.due_senders(EVERY_SENDER).await.unwrap().0.is_empty());
    for _ in 0..2 {
        store.resume_broadcast(TENANT, "b").await.unwrap();
    }
    assert_eq!(courier.claim(&sender).await.len(), 2);
    assert_adds_up(store).await;
}

async fn a_cancelled_broadcast_ends_what_has_not_left(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    let job_id = planned(store, broadcast("b", 0..5_500)).await;
    let other = planned(store, broadcast("other", 6_000..6_003)).await;
    let sending = courier.send(&sender).await;
    assert_eq!(sending.len(), 2);
    courier.claim(&sender).await;
    let left = store.job_counts(job_id).await.unwrap();
    let left = left.get(Queued) + left.get(Claimed);
    assert_eq!(store.cancel_broadcast(TENANT, "b").await.unwrap(), left);
    assert_eq!(store.cancel_broadcast(TENANT, "b").await.unwrap(), 0, "again");
    assert_eq!(state_of(&ledger).await, BroadcastState::Cancelled);
    let counts = store.job_counts(job_id).await.unwrap();
    assert_eq!((counts.get(Cancelled), counts.total()), (left, 5_500));
    assert!(!states(store, other).await.contains(&Cancelled));
    for one in &sending {
        courier.accept(one).await;
    }
    assert_eq!(store.job_counts(job_id).await.unwrap().get(Accepted), 5_500 - left, "what had left stays sent");
    assert_adds_up(store).await;
}

async fn what_is_over_cannot_be_steered(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    for refused in [
        store.pause_broadcast(TENANT, "b").await.unwrap_err(),
        store.resume_broadcast(TENANT, "b").await.unwrap_err(),
        store.cancel_broadcast(TENANT, "b").await.unwrap_err(),
    ] {
        assert!(matches!(&refused, StoreError::Refused(text) if text.contains("completed")), "{refused}");
    }
    for unknown in [
        store.pause_broadcast(TENANT, "x").await.unwrap_err(),
        store.resume_broadcast(TENANT, "x").await.unwrap_err(),
        store.cancel_broadcast(TENANT, "x").await.unwrap_err(),
        store.retry_failed(TENANT, "x").await.unwrap_err(),
        store.broadcast(TENANT, "x").await.unwrap_err(),
        store.cancel_reminder(TENANT, "x", "paid").await.unwrap_err(),
    ] {
        assert!(matches!(unknown, StoreError::NotFound { .. }), "{unknown}");
    }
    assert!(matches!(store.cancel_reminder(TENANT, "b", "paid").await, Err(StoreError::Refused(_))));
}

async fn failed_messages_are_tried_anew(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let until = json!({"expires_at": instant(START_MS + DAY_MS)});
    let job_id = planned(store, with(broadcast("b", 0..4), until)).await;
    let sending = courier.send(&sender).await;
    courier.accept(&sending[0]).await;
    for one in &sending[1..] {
        courier.settle(one, outcome(Decision::Failed, Scope::Message)).await;
    }
    assert_eq!(store.retry_failed(TENANT, "b").await.unwrap(), 3);
    assert_eq!(store.retry_failed(TENANT, "b").await.unwrap(), 0);
    assert_eq!(states(store, job_id).await, [Accepted, Queued, Queued, Queued]);
    let again = courier.send(&sender).await;
    assert_eq!((again.len(), again[0].attempt.number), (3, 2));
    for one in &again {
        courier.settle(one, outcome(Decision::Failed, Scope::Message)).await;
    }
    ledger.clock().advance_ms(DAY_MS);
    assert_eq!(store.retry_failed(TENANT, "b").await.unwrap(), 0, "their time has run out");
    assert_eq!(states(store, job_id).await, [Accepted, Failed, Failed, Failed]);
    planned(store, broadcast("c", 0..1)).await;
    store.cancel_broadcast(TENANT, "c").await.unwrap();
    assert!(matches!(store.retry_failed(TENANT, "c").await, Err(StoreError::Refused(_))));
    assert_adds_up(store).await;
}

async fn the_end_is_foreseen_by_the_pace(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..40)).await;
    let eta = async || store.broadcast(TENANT, "b").await.unwrap().eta;
    assert_eq!(eta().await, Some(START_MS + 40 * 50_750 / 1_000));
    store.pause_sender(TENANT, "default", "by hand").await.unwrap();
    assert_eq!(eta().await, None);
    store.resume_sender(TENANT, "default").await.unwrap();
    store.pause_broadcast(TENANT, "b").await.unwrap();
    assert_eq!(eta().await, None);
    let later = json!({"send_at": instant(START_MS + DAY_MS)});
    planned(store, with(broadcast("later", 0..40), later)).await;
    assert_eq!(store.broadcast(TENANT, "later").await.unwrap().eta, Some(START_MS + DAY_MS + 2_030));
}

async fn an_eta_knows_who_else_the_sender_serves(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("long", 0..300)).await;
    planned(store, broadcast("short", 300..400)).await;
    planned(store, with(send("urgent", 500), json!({"priority": "urgent"}))).await;
    let eta = async |id: &str| store.broadcast(TENANT, id).await.unwrap().eta.unwrap() - START_MS;
    let messages = |count: i64| count * 50_750 / 1_000;
    assert_eq!(eta("short").await, messages(100 + 100 + 1), "in turns with the long one, after the urgent");
    assert_eq!(eta("long").await, messages(300 + 100 + 1));
    let forecast = async |priority, count| store.forecast(sender.id, priority, count, 0).await.unwrap();
    assert_eq!(forecast(Priority::Bulk, 10).await.ahead, 1 + 10 + 10);
    assert_eq!(forecast(Priority::Normal, 10).await.ends_at, Some(START_MS + messages(11)));
    store.pause_broadcast(TENANT, "long").await.unwrap();
    assert_eq!(eta("short").await, messages(101), "what is paused shares nothing");
}

async fn the_error_of_a_foreseen_end_is_told_once(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..20)).await;
    let single = planned(store, send("s", 100)).await;
    for job in [job_id, single] {
        store.foresee_end(job).await.unwrap();
    }
    let errors = async || store.errors_of_foreseen_ends(10).await.unwrap();
    assert_eq!(errors().await, [0; 0], "it waits");
    let claimed = courier.claim(&sender).await;
    assert_eq!(errors().await, [0; 0], "it is about to leave");
    courier.start(&sender, &claimed).await;
    let rest = courier.claim(&sender).await;
    courier.start(&sender, &rest).await;
    ledger.clock().advance_ms(5_000);
    let foreseen = (20 + 1) * 50_750 / 1_000;
    assert_eq!(errors().await, [5_000 - foreseen], "it came later, the urgent one before it counted in");
    assert_eq!(errors().await, [0; 0], "told once");
    assert_adds_up(store).await;
}

async fn what_a_person_stops_has_no_foreseen_end(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..20)).await;
    store.foresee_end(job_id).await.unwrap();
    store.pause_broadcast(TENANT, "b").await.unwrap();
    assert_eq!(store.errors_of_foreseen_ends(10).await.unwrap(), [0; 0]);
    store.foresee_end(job_id).await.unwrap();
    store.resume_broadcast(TENANT, "b").await.unwrap();
    store.cancel_broadcast(TENANT, "b").await.unwrap();
    assert_eq!(store.errors_of_foreseen_ends(10).await.unwrap(), [0; 0], "nothing is foreseen of it any more");
}

async fn an_export_has_every_recipient_once(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    let recipients = json!([{"to": phone(2), "name": "Budi"}, {"to": phone(1), "name": "Siti"}, {"to": phone(3)}]);
    let job_id = planned(store, with(broadcast("b", 0..0), json!({"audience": {"recipients": recipients}}))).await;
    let sending = courier.send(&sender).await;
    courier.settle(&sending[0], Outcome { code: Some(131_026), ..outcome(Decision::Failed, Scope::Message) }).await;
    let mut rows = Vec::new();
    let mut after = 0;
    loop {
        let page = store.export(job_id, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.message_id;
        rows.extend(page);
    }
    assert_eq!(rows.len(), 3);
    let failed = rows.iter().find(|row| row.message_id == sending[0].id).unwrap();
    assert_eq!((failed.state, failed.code, failed.attempts), (Failed, Some(131_026), 1));
    assert_eq!(
        (failed.reason.as_deref(), failed.meaning.as_deref()),
        (Some("as the provider said"), Some("as the provider said"))
    );
    let names: std::collections::HashSet<_> = rows.iter().map(|row| (row.phone.clone(), row.name.as_deref())).collect();
    assert_eq!(names, [(phone(1), Some("Siti")), (phone(2), Some("Budi")), (phone(3), None)].into());
}

async fn reasons_are_counted(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(3)).await;
    let job_id = planned(store, broadcast("b", 0..4)).await;
    for one in courier.send(&sender).await {
        courier.settle(&one, Outcome { code: Some(131_026), ..outcome(Decision::Failed, Scope::Message) }).await;
    }
    let expected = [(Failed, Some("as the provider said".to_owned()), Some(131_026), 3), (Queued, None, None, 1)];
    assert_eq!(store.reasons(job_id).await.unwrap(), expected);
}

async fn broadcasts_are_listed_the_newest_first(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    for id in ["a", "b", "c"] {
        planned(store, broadcast(id, 0..2)).await;
    }
    let newest = store.broadcasts(TENANT, i64::MAX, 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|one| (one.id.as_str(), one.counts.total())).collect::<Vec<_>>(),
        [("c", 2), ("b", 2)]
    );
    let rest = store.broadcasts(TENANT, newest[1].job_id, 2).await.unwrap();
    assert_eq!(rest, [store.broadcast(TENANT, "a").await.unwrap()]);
}

async fn a_reminder_is_taken_back(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let reminder =
        json!({"type": "reminder", "id": "r", "to": phone(1), "due": "2026-12-12", "content": {"text": "halo"}});
    let job_id = planned(store, reminder).await;
    assert_eq!(store.cancel_reminder(TENANT, "r", "paid").await.unwrap(), 4);
    assert_eq!(store.cancel_reminder(TENANT, "r", "paid").await.unwrap(), 0);
    assert_eq!(reasons(store, job_id).await, vec![Some("paid".to_owned()); 4]);
    assert_eq!(store.job_summary(TENANT, "r", None).await.unwrap().1.state, "cancelled");
    assert_adds_up(store).await;
}

/// Couriers of two processes send while people pause, block and cancel. Nothing fails, and all adds up.
async fn steering_and_sending_at_once_add_up(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let sender = sender(&one, kabar_domain::pace::Rate::Unlimited).await;
    let mut jobs = Vec::new();
    for id in ["a", "b", "c"] {
        jobs.push(planned(&one, broadcast(id, 0..300)).await);
    }
    let work = async |store: &kabar_store::Store| {
        let courier = Courier::of(store).await;
        for _ in 0..30 {
            let (started, waiting): (Vec<_>, Vec<_>) =
                courier.claim(&sender).await.into_iter().partition(|message| message.started.is_some());
            let mut attempts = courier.start(&sender, &waiting).await;
            let refused: Vec<_> = waiting.iter().filter(|m| !attempts.contains_key(&m.id)).cloned().collect();
            attempts.extend(started.into_iter().filter_map(|message| Some((message.id, message.started?))));
            courier.give_back(&refused).await;
            let sending = attempts.into_iter().map(|(id, attempt)| Sending { id, attempt });
            let settlements = sending.map(|one| settlement(&one, Outcome::accepted(provider_id(&one)))).collect();
            courier.writer.settle(settlements).await.unwrap();
        }
    };
    // All may be sent before.
    let unless_over = |steered: Result<(), StoreError>| {
        assert!(matches!(steered, Ok(()) | Err(StoreError::Refused(_))), "{steered:?}");
    };
    let steer = async || {
        for round in 0..10 {
            unless_over(one.pause_broadcast(TENANT, "a").await);
            other.block(TENANT, &phone(round), kabar_domain::sender::Channel::Whatsapp, "asked").await.unwrap();
            unless_over(one.resume_broadcast(TENANT, "a").await);
            other.pause_sender(TENANT, "default", "by hand").await.unwrap();
            one.resume_sender(TENANT, "default").await.unwrap();
        }
        unless_over(other.cancel_broadcast(TENANT, "b").await.map(drop));
    };
    tokio::join!(work(&one), work(&other), steer());
    assert_adds_up(&one).await;
    for job_id in jobs {
        let counts = one.job_counts(job_id).await.unwrap();
        assert_eq!(counts.get(Claimed) + counts.get(InSending), 0, "nothing is left in hands that let it go");
        assert_eq!(counts.total(), 300);
    }
}
