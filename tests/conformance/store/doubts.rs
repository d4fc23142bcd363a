//! Messages of which nobody knows whether they left.

use std::{sync::Arc, time::Duration};

use kabar_domain::{
    message::{
        MessageState::{self, Accepted, Cancelled, InDoubt, Queued, Sent, Unresolved},
        ReceiptStatus,
    },
    outcome::Outcome,
    pace::Rate,
};
use kabar_store::{DoubtsSettled, ManualClock, Sender, Store, StoreError, StoreOptions};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    an_ended_process_leaves_doubt_only_where_it_had_started,
    a_living_process_is_not_rescued_from,
    a_claim_that_its_living_process_knows_nothing_of_is_given_back,
    a_send_that_its_living_process_knows_nothing_of_is_in_doubt,
    doubt_waits_for_its_grace,
    later_receipts_prove_absence,
    receipts_of_about_the_same_time_prove_nothing,
    slots_tell_the_order_whatever_the_processes_clocks_say,
    a_receipt_for_an_attempt_that_lies_ahead_proves_nothing,
    without_evidence_a_person_decides,
    the_policy_of_the_job_decides,
    a_late_receipt_settles_what_nobody_could,
    a_person_settles_what_is_unresolved,
    only_doubt_can_be_resolved,
    doubt_of_a_cancelled_job_is_not_sent_again,
);

/// So much later an attempt must be than one that its receipt is to prove something about.
const LATER_MS: i64 = 2_001;
const GRACE: Duration = Duration::from_millis(GRACE_MS.unsigned_abs());

async fn an_ended_process_leaves_doubt_only_where_it_had_started(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    planned(store, broadcast("b", 0..4)).await;
    let sending = courier.send(&sender).await;
    let claimed = courier.claim(&sender).await;
    ledger.clock().advance_ms(LEASE_MS);
    assert_eq!(store.rescue(GRACE).await.unwrap(), (2, 2));
    assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 0));
    let doubtful = story(store, sending[0].id).await;
    assert_eq!((doubtful.state, doubtful.due_at), (InDoubt, START_MS + LEASE_MS + GRACE_MS));
    assert!(doubtful.reason.unwrap().starts_with("its worker ended"));
    let waiting = story(store, claimed[0].id).await;
    assert_eq!((waiting.state, waiting.due_at, waiting.attempts.len()), (Queued, START_MS, 0));
    // What the ended process says after all is heard.
    courier.accept(&sending[0]).await;
    assert_eq!(state(store, sending[0].id).await, Accepted);
    courier.settle(&sending[1], Outcome::not_sent("its slot had passed")).await;
    let not_sent = story(store, sending[1].id).await;
    assert_eq!((not_sent.state, not_sent.due_at), (Queued, START_MS + LEASE_MS), "it need not wait for the grace time");
    assert_adds_up(store).await;
}

async fn a_living_process_is_not_rescued_from(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    ledger.clock().advance_ms(LEASE_MS - 1);
    store.renew_lease(courier.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    ledger.clock().advance_ms(LEASE_MS - 1);
    assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 0));
    store.end_lease(courier.lease).await.unwrap();
    assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 1), "an ended one is rescued from at once");
    assert_eq!(state(store, sending.id).await, InDoubt);
}

/// The answer to its commit was lost. Were the process to know of it after all, it could do nothing with it.
async fn a_claim_that_its_living_process_knows_nothing_of_is_given_back(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    planned(store, broadcast("b", 0..4)).await;
    let sending = courier.send(&sender).await;
    let claimed = courier.claim(&sender).await;
    for _ in 0..4 {
        assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 0));
        ledger.clock().advance_ms(MINUTE_MS / 4);
        store.renew_lease(courier.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    }
    assert_eq!(store.rescue(GRACE).await.unwrap(), (2, 0));
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(store, claimed[0].id).await, Queued);
    courier.accept(&sending[0]).await;
    assert_eq!(state(store, sending[0].id).await, Accepted);
    assert_adds_up(store).await;
}

/// Without a pace a claim starts its messages: where the answer to its commit is lost, nobody will ever tell how they went,
/// and no other message to the same people may be sent meanwhile.
async fn a_send_that_its_living_process_knows_nothing_of_is_in_doubt(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, Rate::Unlimited).await;
    planned(store, broadcast("b", 0..1)).await;
    let claimed = courier.claim(&sender).await;
    let attempt = claimed[0].started.clone().unwrap();
    for _ in 0..10 {
        assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 0));
        store.renew_lease(courier.lease, Duration::from_secs(90)).await.unwrap().unwrap();
        ledger.clock().advance_ms(MINUTE_MS);
    }
    assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 1));
    let doubtful = story(store, claimed[0].id).await;
    assert_eq!(doubtful.state, InDoubt);
    assert!(doubtful.reason.unwrap().starts_with("its worker is at work"), "nobody ended");
    courier.accept(&Sending { id: claimed[0].id, attempt }).await;
    assert_eq!(state(store, claimed[0].id).await, Accepted, "what is told after all is heard");
}

async fn doubt_waits_for_its_grace(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    ledger.clock().advance_ms(GRACE_MS - 1);
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled::default());
    ledger.clock().advance_ms(1);
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { unresolved: 1, ..DoubtsSettled::default() });
}

/// A message of a job with this policy, in doubt; and where `evidence`, a later one that a receipt vouches for.
async fn doubtful(ledger: &TestLedger, on_doubt: &str, evidence: bool) -> Sending {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, with(broadcast("b", 0..1), json!({"on_doubt": on_doubt}))).await;
    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    if evidence {
        ledger.clock().advance_ms(LATER_MS);
        hear_of_another(store, &sender).await;
    }
    ledger.clock().advance_ms(GRACE_MS);
    sending
}

/// Another message of the sender is sent by a process, and a receipt comes for it.
async fn hear_of_another(store: &Store, sender: &Sender) {
    let courier = Courier::of(store).await;
    planned(store, send("another", 1)).await;
    let another = courier.send_one(sender).await;
    courier.accept(&another).await;
    receive(store, [receipt(&another, ReceiptStatus::Sent, START_MS)]).await;
}

async fn later_receipts_prove_absence(ledger: TestLedger) {
    let sending = doubtful(&ledger, "auto", true).await;
    let store = ledger.store();
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { absent: 1, ..DoubtsSettled::default() });
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].outcome.as_deref()), (Queued, Some("absent")));
    assert!(evidence(store, sending.id).await.contains("receipts for later messages"));
    let courier = Courier::of(store).await;
    let again = courier.send_one(&store.sender(TENANT, "default").await.unwrap()).await;
    assert_eq!((again.id, again.attempt.number), (sending.id, 2));
    courier.accept(&again).await;
    assert!(evidence(store, sending.id).await.contains("receipts for later messages"), "it is kept");
    assert_adds_up(store).await;
}

/// Receipts overtake each other, and clocks of processes differ a little.
async fn receipts_of_about_the_same_time_prove_nothing(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    ledger.clock().advance_ms(LATER_MS - 1);
    hear_of_another(store, &sender).await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { unresolved: 1, ..DoubtsSettled::default() });
}

/// The one that was heard of left first, by a process whose clock was ahead. That webhooks worked then says nothing about the
/// one that left after it.
async fn slots_tell_the_order_whatever_the_processes_clocks_say(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, send("first", 1)).await;
    let ahead = ManualClock::at_ms(START_MS + 5 * MINUTE_MS);
    let ahead = Store::open(&StoreOptions { clock: Arc::new(ahead), ..ledger.options().clone() }).await.unwrap();
    ahead.check_migrated().await.unwrap();
    let first = Courier::of(&ahead).await;
    let claimed = first.claim(&sender).await;
    let slot = requests(&sender, &claimed, Some(START_MS * 1_000));
    let attempt = first.writer.start(CHANNEL, slot).await.unwrap().remove(&claimed[0].id).unwrap();
    let heard = Sending { id: claimed[0].id, attempt };
    receive(store, [receipt(&heard, ReceiptStatus::Sent, START_MS)]).await;

    ledger.clock().advance_ms(LATER_MS);
    planned(store, send("second", 2)).await;
    let second = Courier::of(store).await;
    let sending = second.send_one(&sender).await;
    second.settle(&sending, Outcome::in_doubt("no answer came")).await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { unresolved: 1, ..DoubtsSettled::default() });
}

/// A clock that was a year ahead for a moment must not prove absence for a year.
async fn a_receipt_for_an_attempt_that_lies_ahead_proves_nothing(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    ledger.clock().advance_ms(365 * DAY_MS);
    hear_of_another(store, &sender).await;
    ledger.clock().advance_ms(-365 * DAY_MS);
    planned(store, broadcast("b", 2..3)).await;
    let courier = Courier::of(store).await;
    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { unresolved: 1, ..DoubtsSettled::default() });
    // What is heard now counts again.
    let now = store.now_ms();
    planned(store, send("now", 3)).await;
    let courier = Courier::of(store).await;
    let heard = courier.send_one(&sender).await;
    receive(store, [receipt(&heard, ReceiptStatus::Sent, now)]).await;
    assert_eq!(store.sender_by_id(sender.id).await.unwrap().receipts_through, now);
}

/// Why the message was sent again after its first attempt.
async fn evidence(store: &Store, id: i64) -> String {
    story(store, id).await.attempts[0].evidence.clone().unwrap_or_default()
}

async fn without_evidence_a_person_decides(ledger: TestLedger) {
    let sending = doubtful(&ledger, "auto", false).await;
    let store = ledger.store();
    assert_eq!(store.settle_doubts(10).await.unwrap(), DoubtsSettled { unresolved: 1, ..DoubtsSettled::default() });
    assert_eq!(state(store, sending.id).await, Unresolved);
    assert_adds_up(store).await;
}

async fn the_policy_of_the_job_decides(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    for (id, number) in [("resend", 1), ("hold", 2)] {
        planned(store, with(send(id, number), json!({"on_doubt": id}))).await;
    }
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    ledger.clock().advance_ms(GRACE_MS);
    let settled = store.settle_doubts(10).await.unwrap();
    assert_eq!(settled, DoubtsSettled { resent: 1, unresolved: 1, absent: 0 });
    assert_eq!((state(store, sending[0].id).await, state(store, sending[1].id).await), (Queued, Unresolved));
    assert!(evidence(store, sending[0].id).await.contains("policy"));
    assert_eq!(evidence(store, sending[1].id).await, "");
}

async fn a_late_receipt_settles_what_nobody_could(ledger: TestLedger) {
    let sending = doubtful(&ledger, "hold", false).await;
    let store = ledger.store();
    store.settle_doubts(10).await.unwrap();
    receive(store, [receipt(&sending, ReceiptStatus::Sent, START_MS)]).await;
    assert_eq!(state(store, sending.id).await, Sent);
}

async fn a_person_settles_what_is_unresolved(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, with(broadcast("b", 0..2), json!({"on_doubt": "hold"}))).await;
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    ledger.clock().advance_ms(GRACE_MS);
    store.settle_doubts(10).await.unwrap();
    store.resolve_message(TENANT, sending[0].id, true).await.unwrap();
    store.resolve_message(TENANT, sending[1].id, false).await.unwrap();
    assert_eq!(states(store, job_id).await, [Accepted, Queued]);
    assert!(evidence(store, sending[1].id).await.contains("a person"));
    let again = Courier::of(store).await.send_one(&sender).await;
    assert_eq!((again.id, again.attempt.number), (sending[1].id, 2));
    assert_adds_up(store).await;
}

async fn only_doubt_can_be_resolved(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let refused = async |state: MessageState| {
        let error = store.resolve_message(TENANT, sending.id, true).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(text) if text.contains(state.as_str())), "{error}");
    };
    refused(MessageState::Sending).await;
    courier.accept(&sending).await;
    refused(Accepted).await;
    let error = store.resolve_message(TENANT, sending.id + 1, true).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

async fn doubt_of_a_cancelled_job_is_not_sent_again(ledger: TestLedger) {
    let sending = doubtful(&ledger, "resend", false).await;
    let store = ledger.store();
    store.cancel_broadcast(TENANT, "b").await.unwrap();
    store.settle_doubts(10).await.unwrap();
    assert_eq!(state(store, sending.id).await, Cancelled);
    assert_adds_up(store).await;
}
