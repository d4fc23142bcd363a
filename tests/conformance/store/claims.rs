//! Which messages a courier gets, in which order and how many.

use std::collections::HashSet;

use kabar_domain::{
    message::MessageState::{Expired, Queued},
    outcome::{Decision, Scope},
    pace::Rate,
};
use kabar_store::Claimed;
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    urgent_comes_before_normal_before_bulk,
    less_urgent_messages_keep_their_floors,
    turns_of_one_priority_go_on_beside_anothers,
    two_broadcasts_share_a_batch,
    what_one_broadcast_leaves_another_takes,
    broadcasts_take_turns_at_a_low_rate,
    a_batch_is_at_most_a_second_and_at_most_twenty,
    only_senders_that_may_send_give_messages,
    an_ended_lease_claims_nothing,
    messages_wait_for_their_time,
    a_paused_broadcast_gives_no_messages,
    claimers_at_once_never_get_the_same,
    senders_are_due_by_their_messages,
    senders_with_enough_tickets_are_looked_at_when_these_run_out,
    broadcasts_share_a_batch_four_at_a_time,
    tickets_are_noted_by_one_dispatcher,
    waiting_messages_are_counted_up_to_a_bound,
    messages_expire_while_they_wait,
);

fn of_job(claimed: &[Claimed], job_id: i64) -> usize {
    claimed.iter().filter(|message| message.job_id == job_id).count()
}

async fn urgent_comes_before_normal_before_bulk(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let bulk = planned(store, broadcast("bulk", 0..30)).await;
    let normal = planned(store, send("normal", 1)).await;
    let urgent = planned(store, with(send("urgent", 2), json!({"priority": "urgent"}))).await;
    let claimed = Courier::of(store).await.claim(&sender).await;
    let order: Vec<i64> = claimed.iter().map(|message| message.job_id).collect();
    assert_eq!(order[..3], [urgent, normal, bulk]);
    assert_eq!((claimed.len(), claimed[0].phone.clone()), (20, phone(2)));
    assert_adds_up(store).await;
}

async fn less_urgent_messages_keep_their_floors(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let bulk = planned(store, broadcast("bulk", 0..200)).await;
    let normal = planned(store, with(broadcast("normal", 0..200), json!({"priority": "normal"}))).await;
    let urgent = planned(store, with(broadcast("urgent", 0..200), json!({"priority": "urgent"}))).await;
    let courier = Courier::of(store).await;
    for _ in 0..5 {
        let claimed = courier.claim(&sender).await;
        assert_eq!([urgent, normal, bulk].map(|job| of_job(&claimed, job)), [14, 4, 2]);
    }
}

async fn turns_of_one_priority_go_on_beside_anothers(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let mut jobs = Vec::new();
    for number in 0..12 {
        let priority = if number < 6 { "normal" } else { "bulk" };
        let job = with(broadcast(&format!("b{number}"), 0..30), json!({"priority": priority}));
        jobs.push(planned(store, job).await);
    }
    let courier = Courier::of(store).await;
    let mut served = [0; 12];
    for _ in 0..6 {
        let claimed = courier.claim(&sender).await;
        jobs.iter().enumerate().for_each(|(index, job)| served[index] += of_job(&claimed, *job));
    }
    assert!(served.iter().all(|messages| *messages > 0), "some broadcasts wait while others move on: {served:?}");
}

async fn two_broadcasts_share_a_batch(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let (one, other) = (planned(store, broadcast("a", 0..30)).await, planned(store, broadcast("b", 0..30)).await);
    let courier = Courier::of(store).await;
    for _ in 0..2 {
        let claimed = courier.claim(&sender).await;
        assert_eq!((of_job(&claimed, one), of_job(&claimed, other)), (10, 10));
    }
}

async fn what_one_broadcast_leaves_another_takes(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let (few, many) = (planned(store, broadcast("few", 0..3)).await, planned(store, broadcast("many", 0..30)).await);
    let claimed = Courier::of(store).await.claim(&sender).await;
    assert_eq!((of_job(&claimed, few), of_job(&claimed, many)), (3, 17));
    let unique: HashSet<i64> = claimed.iter().map(|message| message.id).collect();
    assert_eq!(unique.len(), 20);
}

async fn broadcasts_take_turns_at_a_low_rate(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(1)).await;
    let mut jobs = Vec::new();
    for id in ["a", "b", "c"] {
        jobs.push(planned(store, broadcast(id, 0..3)).await);
    }
    let courier = Courier::of(store).await;
    let mut served = Vec::new();
    for _ in 0..6 {
        served.push(courier.claim(&sender).await[0].job_id);
    }
    assert_eq!(served, [jobs.clone(), jobs].concat());
}

async fn a_batch_is_at_most_a_second_and_at_most_twenty(ledger: TestLedger) {
    let store = ledger.store();
    let courier = Courier::of(store).await;
    for (name, rate, expected) in
        [("one", rate(1), 1), ("five", rate(5), 5), ("thousand", rate(1_000), 20), ("unlimited", Rate::Unlimited, 20)]
    {
        let sender = store.add_sender(TENANT, &new_sender(name, rate)).await.unwrap();
        planned(store, with(broadcast(name, 0..30), json!({"sender": name}))).await;
        assert_eq!(courier.claim(&sender).await.len(), expected, "{name}");
        let (due, _) = store.due_senders(EVERY_SENDER).await.unwrap();
        let due = due.iter().find(|due| due.sender_id == sender.id).unwrap();
        assert_eq!(due.batch_limit as usize, expected);
        assert_eq!(due.rate_milli, rate.limit().map(|limit| u64::from(limit) * 1_000));
    }
}

async fn only_senders_that_may_send_give_messages(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(1)).await;
    planned(store, broadcast("b", 0..5)).await;
    let courier = Courier::of(store).await;

    store.pause_sender(TENANT, "default", "by hand").await.unwrap();
    assert!(courier.claim(&sender).await.is_empty());
    store.resume_sender(TENANT, "default").await.unwrap();

    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, outcome(Decision::Halt, Scope::Sender)).await;
    assert!(courier.claim(&sender).await.is_empty());
    assert_eq!(store.due_senders(EVERY_SENDER).await.unwrap(), (Vec::new(), None));
    store.resume_sender(TENANT, "default").await.unwrap();

    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
    assert!(courier.claim(&sender).await.is_empty());
    let parked_until = store.due_senders(EVERY_SENDER).await.unwrap();
    assert_eq!(parked_until, (Vec::new(), Some(START_MS + 1_000)));
    ledger.clock().advance_ms(1_000);
    assert_eq!(courier.claim(&sender).await.len(), 1);
    assert_adds_up(store).await;
}

async fn an_ended_lease_claims_nothing(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..5)).await;
    let courier = Courier::of(store).await;
    ledger.clock().advance_ms(LEASE_MS);
    assert!(courier.claim(&sender).await.is_empty());
    assert!(store.claim(sender.id, courier.lease).await.unwrap().is_empty());
    let courier = Courier::of(store).await;
    assert_eq!(store.claim(sender.id, courier.lease).await.unwrap().len(), 5);
}

async fn messages_wait_for_their_time(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, with(send("later", 1), json!({"send_at": instant(START_MS + 5_000)}))).await;
    planned(store, with(send("later-still", 2), json!({"send_at": instant(START_MS + 6_000)}))).await;
    let courier = Courier::of(store).await;
    assert!(courier.claim(&sender).await.is_empty());
    ledger.clock().advance_ms(4_999);
    assert!(courier.claim(&sender).await.is_empty());
    ledger.clock().advance_ms(1);
    assert_eq!(courier.claim(&sender).await.len(), 1);
}

async fn a_paused_broadcast_gives_no_messages(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let paused = planned(store, broadcast("paused", 0..30)).await;
    let other = planned(store, broadcast("other", 0..30)).await;
    store.pause_broadcast(TENANT, "paused").await.unwrap();
    let claimed = Courier::of(store).await.claim(&sender).await;
    assert_eq!((of_job(&claimed, paused), of_job(&claimed, other)), (0, 20));
}

async fn claimers_at_once_never_get_the_same(ledger: TestLedger) {
    const MESSAGES: usize = 400;
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let sender = sender(&one, rate(20)).await;
    planned(&one, broadcast("a", 0..300)).await;
    planned(&one, broadcast("b", 0..100)).await;
    let mut claimers = Vec::new();
    for store in [&one, &one, &other, &other] {
        let (courier, sender) = (Courier::of(store).await, sender.clone());
        claimers.push(tokio::spawn(async move {
            let mut all = Vec::new();
            // On Postgres, rows that another claimer is just taking are passed over: then a batch may be empty.
            for _ in 0..40 {
                all.extend(courier.claim(&sender).await.into_iter().map(|message| message.id));
            }
            all
        }));
    }
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    assert_eq!(all.len(), MESSAGES);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), MESSAGES);
    assert_adds_up(&one).await;
}

async fn senders_are_due_by_their_messages(ledger: TestLedger) {
    let store = ledger.store();
    let default = sender(store, rate(20)).await;
    store.add_sender(TENANT, &new_sender("idle", rate(20))).await.unwrap();
    planned(store, with(send("later", 1), json!({"send_at": instant(START_MS + 5_000)}))).await;
    let (due, _) = store.due_senders(EVERY_SENDER).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].sender_id, due[0].next_due, due[0].rate_milli), (default.id, START_MS + 5_000, Some(20_000)));
    planned(store, broadcast("b", 0..3)).await;
    assert_eq!(store.due_senders(EVERY_SENDER).await.unwrap().0[0].next_due, START_MS);
    store.pause_broadcast(TENANT, "b").await.unwrap();
    assert_eq!(store.due_senders(EVERY_SENDER).await.unwrap().0[0].next_due, START_MS + 5_000);
}

async fn senders_with_enough_tickets_are_looked_at_when_these_run_out(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..3)).await;
    assert!(store.note_tickets(sender.id, 0, START_MS + 2_500).await.unwrap());
    assert_eq!(store.due_senders(2_000..3_000).await.unwrap(), (Vec::new(), Some(START_MS + 1_500)));
    ledger.clock().advance_ms(501);
    assert_eq!(store.due_senders(2_000..3_000).await.unwrap().0.len(), 1);
    // The clock was set back, and the tickets seem to reach further than any do.
    ledger.clock().advance_ms(-MINUTE_MS);
    assert_eq!(store.due_senders(2_000..3_000).await.unwrap().0.len(), 1);
}

async fn broadcasts_share_a_batch_four_at_a_time(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let mut jobs = Vec::new();
    for number in 0..6 {
        jobs.push(planned(store, broadcast(&format!("b{number}"), 0..30)).await);
    }
    let courier = Courier::of(store).await;
    for turn in 0..3 {
        let claimed = courier.claim(&sender).await;
        for (index, job) in jobs.iter().enumerate() {
            let is_next = (index + 6 - turn * 4 % 6) % 6 < 4;
            assert_eq!(of_job(&claimed, *job), if is_next { 5 } else { 0 }, "broadcast {index} in turn {turn}");
        }
    }
}

async fn tickets_are_noted_by_one_dispatcher(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let sender = sender(&one, rate(20)).await;
    planned(&one, broadcast("b", 0..3)).await;
    let mut known = one.due_senders(EVERY_SENDER).await.unwrap().0[0].ticketed_until;
    for round in 1..=10 {
        let until = START_MS + round;
        let (first, second) =
            tokio::join!(one.note_tickets(sender.id, known, until), other.note_tickets(sender.id, known, until));
        assert!(first.unwrap() ^ second.unwrap(), "exactly one publishes");
        known = one.due_senders(EVERY_SENDER).await.unwrap().0[0].ticketed_until;
        assert_eq!(known, until);
    }
}

async fn waiting_messages_are_counted_up_to_a_bound(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..30)).await;
    assert_eq!(store.waiting_messages(sender.id, 1_000).await.unwrap(), 30);
    assert_eq!(store.waiting_messages(sender.id, 10).await.unwrap(), 10);
    assert_eq!(store.waiting_messages(sender.id + 1, 10).await.unwrap(), 0);
}

async fn messages_expire_while_they_wait(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, with(broadcast("b", 0..3), json!({"expires_at": instant(START_MS + 1_000)}))).await;
    let kept = planned(store, broadcast("kept", 0..3)).await;
    ledger.clock().advance_ms(999);
    assert_eq!(store.expire_messages(10).await.unwrap(), 0);
    ledger.clock().advance_ms(1);
    assert_eq!(store.expire_messages(2).await.unwrap(), 2);
    assert_eq!(store.expire_messages(10).await.unwrap(), 1);
    assert_eq!(states(store, job_id).await, [Expired; 3]);
    assert_eq!(states(store, kept).await, [Queued; 3]);
    assert_adds_up(store).await;
}
