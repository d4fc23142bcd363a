//! The walk that repairs: the ledger is damaged by hand in each way that [`Gap`] lists, and made whole.

use std::{collections::BTreeMap, time::Duration};

use kabar_domain::{
    message::{
        MessageState::{self, Accepted, Cancelled, Delivered, InDoubt, Queued},
        ReceiptStatus,
    },
    outcome::Outcome,
    report::Receipt,
};
use kabar_store::{Gap, NewRecipient, Store};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_whole_ledger_is_left_alone,
    a_recipient_without_a_message_gets_one,
    a_member_of_a_group_without_a_message_gets_one,
    a_send_or_a_reminder_without_its_messages_gets_them,
    what_a_cancelled_job_did_not_plan_is_not_planned,
    a_count_that_is_not_that_of_the_messages_is_mended,
    a_cancel_that_was_cut_short_is_carried_out,
    a_claim_that_nobody_holds_is_given_back,
    a_send_that_nobody_holds_is_in_doubt,
    a_doubt_without_its_attempt_can_be_settled,
    a_doubt_that_never_ends_does,
    evidence_that_was_not_used_is,
    a_receipt_that_was_left_aside_is_applied,
    a_lease_that_never_ends_does_unless_it_is_renewed,
    what_a_clock_put_far_ahead_is_brought_back,
    a_long_walk_is_shared_and_goes_on_where_it_was,
    between_two_walks_is_a_rest,
);

const EVERY: Duration = Duration::from_secs(600);

async fn step(store: &Store) -> kabar_store::Repaired {
    store.repair_step(EVERY, &policy(), |_| None).await.unwrap()
}

/// The next walk, from its beginning to its end: what it mended.
async fn walk(ledger: &TestLedger) -> Vec<(Gap, u64)> {
    ledger.clock().advance_ms(EVERY.as_millis() as i64);
    let mut mended: BTreeMap<Gap, u64> = BTreeMap::new();
    loop {
        let repaired = step(ledger.store()).await;
        for (gap, count) in repaired.mended {
            *mended.entry(gap).or_default() += count;
        }
        if repaired.rests {
            return mended.into_iter().collect();
        }
    }
}

/// What was mended stays so: the next walk finds nothing.
async fn whole(ledger: &TestLedger) {
    assert_eq!(walk(ledger).await, []);
    assert_adds_up(ledger.store()).await;
}

async fn a_whole_ledger_is_left_alone(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(4)).await;
    let job_id = planned(store, with(broadcast("b", 0..9), json!({"on_doubt": "hold"}))).await;
    let first = courier.send(&sender).await;
    courier.accept(&first[0]).await;
    for one in &first[1..3] {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    courier.claim(&sender).await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(1).await.unwrap().unresolved, 1);
    planned(store, broadcast("gone", 20..22)).await;
    store.cancel_broadcast(TENANT, "gone").await.unwrap();
    let reminder = json!({"type": "reminder", "id": "r", "to": phone(40), "due": "2026-12-12", "before": ["1d", "0d"],
        "content": {"text": "halo"}});
    planned(store, reminder).await;
    let before = states(store, job_id).await;
    assert_eq!(walk(&ledger).await, []);
    assert_eq!(states(store, job_id).await, before);
    whole(&ledger).await;
}

async fn a_recipient_without_a_message_gets_one(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..5)).await;
    let ids = message_ids(store, job_id).await;
    raw_change(&ledger, &format!("delete from messages where id in ({}, {})", ids[1], ids[3])).await;
    // Nor is one that was never written, and never counted.
    raw_change(&ledger, "update jobs set audience = 4").await;
    assert_eq!(walk(&ledger).await, [(Gap::MissingMessage, 1), (Gap::WrongAudience, 1)]);
    assert_eq!(plan_all(store).await, 2);
    assert_eq!(states(store, job_id).await, [Queued; 5]);
    whole(&ledger).await;
}

async fn a_member_of_a_group_without_a_message_gets_one(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let people: Vec<NewRecipient> = (0..4).map(|number| NewRecipient::new(phone(number))).collect();
    store.import_recipients(TENANT, &people, Some("umroh")).await.unwrap();
    let value = with(broadcast("b", 0..0), json!({"audience": {"group": "umroh"}}));
    let job_id = planned(store, value).await;
    ledger.clock().advance_ms(1);
    // Who joins later is none of them.
    let late = NewRecipient::new(phone(9));
    store.import_recipients(TENANT, &[late], Some("umroh")).await.unwrap();
    // Not even where the clock by which they joined was behind.
    raw_change(&ledger, "update group_members set added_at = added_at - 5").await;
    assert_eq!(walk(&ledger).await, []);
    raw_change(&ledger, "update group_members set added_at = added_at + 5").await;
    let ids = message_ids(store, job_id).await;
    raw_change(&ledger, &format!("delete from messages where id = {}", ids[2])).await;
    assert_eq!(walk(&ledger).await, [(Gap::MissingMessage, 1)]);
    assert_eq!(plan_all(store).await, 1);
    whole(&ledger).await;
}

async fn a_send_or_a_reminder_without_its_messages_gets_them(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let reminder = json!({"type": "reminder", "id": "r", "to": phone(4), "due": "2026-12-12", "before": ["1d", "0d"],
        "content": {"text": "halo"}});
    let (sent, reminded) = (planned(store, send("s", 1)).await, planned(store, reminder).await);
    let ids = message_ids(store, reminded).await;
    raw_change(&ledger, &format!("delete from messages where job_id = {sent} or id = {}", ids[0])).await;
    raw_change(&ledger, &format!("update jobs set audience = 0 where id = {sent}")).await;
    assert_eq!(walk(&ledger).await, [(Gap::MissingMessage, 2)]);
    assert_eq!(plan_all(store).await, 2);
    assert_eq!((states(store, sent).await.len(), states(store, reminded).await.len()), (1, 2));
    whole(&ledger).await;
}

async fn what_a_cancelled_job_did_not_plan_is_not_planned(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    enqueue(store, broadcast("b", 0..3)).await;
    enqueue(store, send("s", 1)).await;
    store.cancel_broadcast(TENANT, "b").await.unwrap();
    store.cancel_reminder(TENANT, "s", "cancelled").await.unwrap();
    assert_eq!(plan_all(store).await, 0);
    whole(&ledger).await;
}

async fn a_count_that_is_not_that_of_the_messages_is_mended(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..3)).await;
    planned(store, send("s", 9)).await;
    raw_change(&ledger, "update jobs set audience = case kind when 'send' then 3 else 1 end").await;
    // A send that should have three is planned again, which finds that one is all.
    assert_eq!(walk(&ledger).await, [(Gap::MissingMessage, 1), (Gap::WrongAudience, 1)]);
    assert_eq!(plan_all(store).await, 0);
    whole(&ledger).await;
}

async fn a_cancel_that_was_cut_short_is_carried_out(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..3)).await;
    planned(store, broadcast("c", 0..3)).await;
    raw_change(&ledger, &format!("update jobs set control = 'cancelled' where id = {job_id}")).await;
    assert_eq!(walk(&ledger).await, [(Gap::UnfinishedCancel, 3)]);
    assert_eq!(states(store, job_id).await, [Cancelled; 3]);
    assert_eq!(reasons(store, job_id).await[0].as_deref(), Some("broadcast_cancelled"));
    whole(&ledger).await;
}

async fn a_claim_that_nobody_holds_is_given_back(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..3)).await;
    courier.claim(&sender).await;
    raw_change(&ledger, "update messages set lease_id = null").await;
    assert_eq!(walk(&ledger).await, [(Gap::UnheldClaim, 3)]);
    assert_eq!(states(store, job_id).await, [Queued; 3]);
    whole(&ledger).await;
}

async fn a_send_that_nobody_holds_is_in_doubt(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    raw_change(&ledger, "update messages set lease_id = null").await;
    assert_eq!(walk(&ledger).await, [(Gap::UnheldSend, 1)]);
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.due_at, after.attempts.len()), (InDoubt, store.now_ms() + GRACE_MS, 1));
    whole(&ledger).await;
    courier.accept(&sending).await;
    assert_eq!(state(store, sending.id).await, Accepted, "what is told after all is heard");
}

async fn a_doubt_without_its_attempt_can_be_settled(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    raw_change(&ledger, "delete from attempts").await;
    raw_change(&ledger, "update messages set attempts = 0").await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap(), kabar_store::DoubtsSettled::default(), "it cannot");
    assert_eq!(walk(&ledger).await, [(Gap::MissingAttempt, 1)]);
    assert_eq!(store.settle_doubts(10).await.unwrap().unresolved, 1);
    whole(&ledger).await;
}

async fn a_doubt_that_never_ends_does(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    raw_change(&ledger, &format!("update messages set due_at = {}", START_MS + 365 * DAY_MS)).await;
    assert_eq!(walk(&ledger).await, [(Gap::EndlessDoubt, 1)]);
    assert_eq!(story(store, sending.id).await.due_at, store.now_ms() + GRACE_MS);
    whole(&ledger).await;
}

async fn evidence_that_was_not_used_is(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..3)).await;
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    let [one, two, _] = sending.as_slice() else { panic!("three are sent") };
    raw_change(&ledger, &format!("update messages set state = 'unresolved' where id = {}", one.id)).await;
    raw_change(&ledger, &format!("update attempts set outcome = 'accepted' where message_id = {}", one.id)).await;
    raw_change(&ledger, &format!("update attempts set delivered_at = 1, sent_at = 1 where message_id = {}", two.id))
        .await;
    assert_eq!(walk(&ledger).await, [(Gap::UnusedEvidence, 2)]);
    assert_eq!(states(store, job_id).await, [Accepted, Delivered, InDoubt]);
    whole(&ledger).await;
}

async fn a_receipt_that_was_left_aside_is_applied(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let early = Receipt { opaque: None, ..receipt(&sending, ReceiptStatus::Delivered, START_MS) };
    receive(store, [early]).await;
    assert_eq!(walk(&ledger).await, []);
    courier.accept(&sending).await;
    assert_eq!(store.apply_kept_receipts(store.now_ms(), 10, &policy(), |_| None).await.unwrap(), 0, "it is too old");
    assert_eq!(walk(&ledger).await, [(Gap::LeftReceipt, 1)]);
    assert_eq!(state(store, sending.id).await, Delivered);
    whole(&ledger).await;
}

async fn a_lease_that_never_ends_does_unless_it_is_renewed(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let other = Courier::of(store).await;
    let sender = sender(store, rate(2)).await;
    planned(store, broadcast("b", 0..2)).await;
    let claimed = courier.claim(&sender).await;
    let far = |lease: i64, days: i64| {
        format!("update leases set expires_at = {} where id = {lease}", START_MS + days * DAY_MS)
    };
    raw_change(&ledger, &far(courier.lease.0, 365)).await;
    raw_change(&ledger, &far(other.lease.0, 365)).await;
    assert_eq!(walk(&ledger).await, [], "it may be this clock that is wrong");
    raw_change(&ledger, &far(other.lease.0, 366)).await;
    assert_eq!(walk(&ledger).await, [(Gap::EndlessLease, 1)]);
    assert_eq!(store.leases().await.unwrap().len(), 1, "the other is renewed, so it is at work");
    store.rescue(Duration::from_secs(1)).await.unwrap();
    assert_eq!(state(store, claimed[0].id).await, Queued);
}

async fn what_a_clock_put_far_ahead_is_brought_back(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let bare = store.add_sender(TENANT, &new_sender("bare", rate(20))).await.unwrap();
    planned(store, send("s", 1)).await;
    store.put_items("jobs", &["item".to_owned()]).await.unwrap();
    let far = START_MS + 365 * DAY_MS;
    raw_change(&ledger, &format!("update pace set ticketed_until = {far} where sender_id = {}", sender.id)).await;
    raw_change(&ledger, &format!("delete from pace where sender_id = {}", bare.id)).await;
    raw_change(&ledger, &format!("update line_items set available_at = {far}")).await;
    assert_eq!(walk(&ledger).await, [(Gap::AheadOfTime, 2), (Gap::MissingPace, 1)]);
    assert_eq!(store.due_senders(EVERY_SENDER).await.unwrap().0[0].ticketed_until, store.now_ms());
    assert_eq!(store.items_ready("jobs").await.unwrap(), 1);
    assert_eq!(store.status(TENANT).await.unwrap().senders.len(), 2);
    whole(&ledger).await;
}

async fn a_long_walk_is_shared_and_goes_on_where_it_was(ledger: TestLedger) {
    let (store, other) = (ledger.store(), another(&ledger).await);
    sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..6_000)).await;
    let ids = message_ids(store, job_id).await;
    raw_change(&ledger, &format!("delete from messages where id = {}", ids[5_900])).await;
    raw_change(&ledger, &format!("update messages set state = 'claimed' where id = {}", ids[5_800])).await;
    let mut mended: Vec<(Gap, u64)> = Vec::new();
    let mut steps = 0;
    loop {
        let taker = if steps % 2 == 0 { store } else { &other };
        let repaired = step(taker).await;
        mended.extend(repaired.mended);
        steps += 1;
        if repaired.rests {
            break;
        }
        if steps == 2 {
            raw_change(&ledger, "update facts set value = 'what another version wrote' where name = 'repair'").await;
        }
    }
    mended.sort_unstable();
    assert_eq!(mended, [(Gap::MissingMessage, 1), (Gap::WrongAudience, 1), (Gap::UnheldClaim, 1)]);
    assert!(steps > 6, "{steps}");
    assert_eq!(plan_all(store).await, 1);
    let all: Vec<MessageState> = states(store, job_id).await;
    assert!(all.len() == 6_000 && all.iter().all(|state| *state == Queued));
    assert_adds_up(store).await;
}

async fn between_two_walks_is_a_rest(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..1)).await;
    whole(&ledger).await;
    assert_eq!(Courier::of(store).await.claim(&sender).await.len(), 1);
    raw_change(&ledger, "update messages set lease_id = null").await;
    for _ in 0..9 {
        assert!(step(store).await.rests);
    }
    assert_eq!(walk(&ledger).await, [(Gap::UnheldClaim, 1)]);
}
