//! The last look before a request leaves: from the commit of a start on, the attempt counts as sent.

use std::{collections::HashSet, time::Duration};

use kabar_domain::{
    message::MessageState::{Cancelled, Expired, Queued, Sending as InSending, Skipped},
    outcome::{Decision, Outcome, Scope},
    sender::Channel,
};
use kabar_store::{Claimed, Sender};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    attempts_are_numbered,
    a_cancel_wins_over_a_start,
    a_pause_wins_over_a_start,
    a_block_wins_over_a_start,
    an_expiry_wins_over_a_start,
    a_paid_reminder_wins_over_a_start,
    what_a_claim_did_not_see_wins_over_a_start,
    an_ended_lease_starts_nothing,
    another_courier_cannot_start_what_was_claimed,
    one_message_at_a_time_is_sent_to_a_recipient,
    two_processes_never_send_to_a_recipient_at_once,
    a_message_given_back_keeps_its_place,
    a_message_given_back_while_another_is_sent_waits_a_second,
    a_start_without_an_answer_can_be_undone,
    a_start_can_be_undone_after_its_lease_has_ended,
    a_batch_that_lost_its_turn_does_not_undo_what_another_sends,
    a_batch_whose_claim_was_renewed_by_another_may_start,
    an_attempt_is_known_by_what_it_carries,
);

/// A broadcast `b` of one message, claimed.
async fn claimed(ledger: &TestLedger) -> (Sender, Courier, Vec<Claimed>) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, with(broadcast("b", 0..1), json!({"expires_at": instant(START_MS + 1_000)}))).await;
    let claimed = courier.claim(&sender).await;
    assert_eq!(claimed.len(), 1);
    (sender, courier, claimed)
}

async fn attempts_are_numbered(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    assert_eq!((sending.attempt.number, state(ledger.store(), sending.id).await), (1, InSending));
    courier.settle(&sending, Outcome::not_sent("its slot had passed")).await;
    let again = courier.send_one(&sender).await;
    assert_eq!((again.id, again.attempt.number), (sending.id, 2));
    let story = story(ledger.store(), again.id).await;
    assert_eq!(story.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(story.attempts[1].started_at, START_MS);
}

async fn a_cancel_wins_over_a_start(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    assert_eq!(ledger.store().cancel_broadcast(TENANT, "b").await.unwrap(), 1);
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(ledger.store(), claimed[0].id).await, Cancelled);
    assert_adds_up(ledger.store()).await;
}

async fn a_pause_wins_over_a_start(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    ledger.store().pause_broadcast(TENANT, "b").await.unwrap();
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(ledger.store(), claimed[0].id).await, Queued);
    ledger.store().resume_broadcast(TENANT, "b").await.unwrap();
    assert_eq!(courier.send(&sender).await.len(), 1);
}

async fn a_block_wins_over_a_start(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    ledger.store().block(TENANT, &phone(0), Channel::Whatsapp, "asked by phone").await.unwrap();
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(ledger.store(), claimed[0].id).await, Skipped);
    assert_adds_up(ledger.store()).await;
}

async fn an_expiry_wins_over_a_start(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    ledger.clock().advance_ms(1_000);
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(ledger.store(), claimed[0].id).await, Expired);
    assert_adds_up(ledger.store()).await;
}

async fn a_paid_reminder_wins_over_a_start(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(
        store,
        json!({"type": "reminder", "id": "r", "to": phone(1), "due": "2026-12-01", "before": ["0d"], "at": "00:00",
            "content": {"text": "halo"}}),
    )
    .await;
    let claimed = courier.claim(&sender).await;
    assert_eq!(store.cancel_reminder(TENANT, "r", "paid").await.unwrap(), 1);
    assert!(courier.start(&sender, &claimed).await.is_empty());
    assert_eq!(states(store, job_id).await, [Cancelled]);
    assert_eq!(reasons(store, job_id).await, [Some("paid".to_owned())]);
}

/// On Postgres a claim may commit just after a pause, a cancel or a block that it did not see, and that did not see it.
async fn what_a_claim_did_not_see_wins_over_a_start(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    let store = ledger.store();
    for (unseen, mended) in [
        ("update jobs set control = 'paused'", "update jobs set control = 'running'"),
        ("update jobs set control = 'cancelled'", "update jobs set control = 'running'"),
        ("update senders set state = 'paused'", "update senders set state = 'active'"),
        (
            "insert into blocks (recipient_id, channel, reason, source, blocked_at)
select recipient_id, 'whatsapp', 'asked by phone', 'a person', 0 from messages",
            "delete from blocks",
        ),
    ] {
        raw_change(&ledger, unseen).await;
        assert!(courier.start(&sender, &claimed).await.is_empty(), "started in spite of: {unseen}");
        raw_change(&ledger, mended).await;
    }
    raw_change(&ledger, "update jobs set control = 'cancelled'").await;
    courier.give_back(&claimed).await;
    assert_eq!(state(store, claimed[0].id).await, Cancelled, "no sweep comes for it any more");
    assert_adds_up(store).await;
}

async fn an_ended_lease_starts_nothing(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..1)).await;
    let claimed = courier.claim(&sender).await;
    ledger.clock().advance_ms(LEASE_MS);
    assert!(courier.start(&sender, &claimed).await.is_empty());
}

async fn another_courier_cannot_start_what_was_claimed(ledger: TestLedger) {
    let (sender, _, claimed) = claimed(&ledger).await;
    let other = Courier::of(ledger.store()).await;
    assert!(other.start(&sender, &claimed).await.is_empty());
    other.give_back(&claimed).await;
    assert_eq!(ledger.store().waiting_messages(sender.id, 10).await.unwrap(), 0, "nor give it back");
}

async fn one_message_at_a_time_is_sent_to_a_recipient(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    for id in ["a", "b", "c"] {
        planned(store, send(id, 1)).await;
    }
    let claimed = courier.claim(&sender).await;
    assert_eq!(claimed.len(), 3);
    let started = courier.start(&sender, &claimed).await;
    assert_eq!(started.len(), 1, "of one call");
    let rest: Vec<_> = claimed.iter().filter(|message| !started.contains_key(&message.id)).cloned().collect();
    assert!(courier.start(&sender, &rest).await.is_empty(), "of the next");
    let (id, attempt) = started.into_iter().next().unwrap();
    courier.accept(&Sending { id, attempt }).await;
    assert_eq!(courier.start(&sender, &rest).await.len(), 1);
}

/// Two commits at once may both find the recipient free; the unique index then refuses one, which tries again alone.
async fn two_processes_never_send_to_a_recipient_at_once(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    // Two messages to each of twenty recipients; each courier holds one of each.
    let sender = sender(&one, rate(20)).await;
    planned(&one, broadcast("a", 0..20)).await;
    let first = Courier::of(&one).await;
    let of_first = first.claim(&sender).await;
    planned(&one, broadcast("b", 0..20)).await;
    let second = Courier::of(&other).await;
    let mut of_second = second.claim(&sender).await;
    of_second.reverse();
    let (started, also_started) =
        tokio::join!(start_each(&first, &sender, &of_first), start_each(&second, &sender, &of_second));
    assert_eq!(started.len() + also_started.len(), 20);
    assert_eq!(started.union(&also_started).count(), 20, "each recipient once");
    assert_adds_up(&one).await;
}

/// Starts messages two by two; the recipients of those that were started.
async fn start_each(courier: &Courier, sender: &Sender, claimed: &[Claimed]) -> HashSet<i64> {
    let mut recipients = HashSet::new();
    for pair in claimed.chunks(2) {
        let started = courier.start(sender, pair).await;
        recipients.extend(pair.iter().filter(|one| started.contains_key(&one.id)).map(|one| one.recipient_id));
    }
    recipients
}

async fn a_message_given_back_keeps_its_place(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(1)).await;
    planned(store, broadcast("b", 0..2)).await;
    ledger.clock().advance_ms(5_000);
    let claimed = courier.claim(&sender).await;
    courier.give_back(&claimed).await;
    let given_back = story(store, claimed[0].id).await;
    assert_eq!((given_back.state, given_back.due_at), (Queued, START_MS));
    assert_eq!(courier.claim(&sender).await[0].id, claimed[0].id);
}

async fn a_message_given_back_while_another_is_sent_waits_a_second(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(1)).await;
    planned(store, send("a", 1)).await;
    planned(store, send("b", 1)).await;
    courier.send_one(&sender).await;
    let claimed = courier.claim(&sender).await;
    courier.give_back(&claimed).await;
    assert_eq!(story(store, claimed[0].id).await.due_at, START_MS + 1_000);
}

/// As after a commit that was answered with an error and held all the same.
async fn a_start_without_an_answer_can_be_undone(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    courier.start(&sender, &claimed).await;
    courier.undo(&sender, &claimed).await;
    let undone = story(ledger.store(), claimed[0].id).await;
    assert_eq!((undone.state, undone.attempts[0].outcome.as_deref()), (Queued, Some("not_sent")));
    let again = courier.claim(&sender).await;
    courier.undo(&sender, &again).await;
    assert_eq!(state(ledger.store(), again[0].id).await, Queued, "so may one that did not hold");
    assert_eq!(courier.send_one(&sender).await.attempt.number, 2);
    assert_adds_up(ledger.store()).await;
}

async fn a_start_can_be_undone_after_its_lease_has_ended(ledger: TestLedger) {
    let (sender, courier, claimed) = claimed(&ledger).await;
    let store = ledger.store();
    courier.start(&sender, &claimed).await;
    store.end_lease(courier.lease).await.unwrap();
    assert_eq!(store.rescue(Duration::from_secs(600)).await.unwrap(), (0, 1));
    courier.undo(&sender, &claimed).await;
    assert_eq!(state(store, claimed[0].id).await, Queued, "it is known not to have left, so nobody need doubt");
    let again = Courier::of(store).await.send_one(&sender).await;
    assert_eq!(again.id, claimed[0].id, "nor wait for the end of doubt");
    assert_adds_up(store).await;
}

/// Two batches of one process that hold the same message: the first waited for its slot for so long that the janitor took
/// its claim back, and the second claimed the message then.
async fn claimed_twice(ledger: &TestLedger) -> (Sender, Courier, [Vec<Claimed>; 2]) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..1)).await;
    let first = courier.claim(&sender).await;
    for _ in 0..4 {
        ledger.clock().advance_ms(MINUTE_MS / 4);
        store.renew_lease(courier.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    }
    assert_eq!(store.rescue(Duration::from_secs(600)).await.unwrap(), (1, 0));
    let second = courier.claim(&sender).await;
    assert_eq!(first[0].id, second[0].id);
    (sender, courier, [first, second])
}

/// Either batch may start the message; the other must not take it from under its request.
async fn one_of_two_starts(ledger: &TestLedger, winner: usize) {
    let (sender, courier, batches) = claimed_twice(ledger).await;
    let message = batches[0][0].id;
    assert_eq!(courier.start(&sender, &batches[winner]).await.len(), 1);
    let loser = &batches[1 - winner];
    let refused = requests(&sender, loser, Some(7));
    assert!(courier.writer.start(CHANNEL, refused.clone()).await.unwrap().is_empty());
    courier.writer.undo_starts(CHANNEL, refused).await.unwrap();
    courier.give_back(loser).await;
    assert_eq!(state(ledger.store(), message).await, InSending);
    assert_eq!(story(ledger.store(), message).await.attempts[0].outcome, None);
    assert!(courier.claim(&sender).await.is_empty());
}

async fn a_batch_that_lost_its_turn_does_not_undo_what_another_sends(ledger: TestLedger) {
    one_of_two_starts(&ledger, 1).await;
}

async fn a_batch_whose_claim_was_renewed_by_another_may_start(ledger: TestLedger) {
    one_of_two_starts(&ledger, 0).await;
}

async fn an_attempt_is_known_by_what_it_carries(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let (store, opaque) = (ledger.store(), sending.attempt.opaque.as_str());
    assert_eq!(store.attempt_of(opaque), Some((sending.id, 1)));
    assert_eq!(another(&ledger).await.attempt_of(opaque), Some((sending.id, 1)), "in any process");
    let next = opaque.replacen(&format!(".{}.1.", sending.id), &format!(".{}.2.", sending.id), 1);
    for tampered in
        [next.as_str(), &opaque[..opaque.len() - 1], &format!("{opaque}x"), "k1.1.1", "", "k1.1.1.AAAA", "…"]
    {
        assert_eq!(store.attempt_of(tampered), None, "{tampered}");
    }
    let foreign = TestLedger::sqlite().await;
    let (_, _, theirs) = one_sending(&foreign).await;
    assert_eq!(store.attempt_of(&theirs.attempt.opaque), None, "of another ledger");
    courier.settle(&sending, outcome(Decision::Failed, Scope::Message)).await;
}
