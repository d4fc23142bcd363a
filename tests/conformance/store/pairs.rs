//! How often one sender writes to one person.

use std::time::Duration;

use kabar_domain::{
    message::MessageState::{Accepted, Queued},
    outcome::{Decision, Scope},
    pace::Rate,
    pair_limit::PairLimit,
};
use kabar_store::{Sender, Store};
use kabar_tests::{TestLedger, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_burst_to_one_person_leaves_as_the_limit_allows_and_others_go_on,
    an_unlimited_sender_keeps_the_limit,
    processes_keep_the_limit_together,
    who_gets_a_message_once_in_a_while_leaves_nothing_behind,
    broadcasts_count_once_a_person_is_known,
    a_sender_writes_to_a_person_whatever_another_does,
    a_refusal_for_the_limit_is_waited_for,
    without_a_limit_none_is_kept,
);

const INTERVAL_MS: i64 = 6_000;
const BURST: u32 = 6;
const STEP_MS: i64 = 250;
const PERSON: u64 = 7;

fn limited(store: &Store) -> Store {
    store.with_pair_limit(Some(PairLimit::new(Duration::from_millis(INTERVAL_MS.unsigned_abs()), BURST)))
}

/// So many single messages to [`PERSON`], planned.
async fn to_one_person(store: &Store, count: u64) {
    for index in 0..count {
        enqueue(store, send(&format!("s-{index}"), PERSON)).await;
    }
    plan_all(store).await;
}

/// Lets couriers of these stores send in turns until `count` messages were accepted; when each was, with its recipient.
async fn departures(ledger: &TestLedger, stores: &[&Store], sender: &Sender, count: usize) -> Vec<(i64, i64)> {
    let mut departures = Vec::new();
    let mut couriers = Vec::new();
    for step in 0..2_000 {
        if step % 80 == 0 {
            couriers.clear();
            for store in stores {
                couriers.push(Courier::of(store).await);
            }
        }
        let courier = &couriers[step % couriers.len()];
        let claimed = courier.claim(sender).await;
        let mut started = courier.start(sender, &claimed).await;
        for message in claimed {
            let attempt = message.started.or_else(|| started.remove(&message.id));
            // What the limit lets through is alone with its person, and can be started.
            let attempt = attempt.unwrap();
            courier.accept(&Sending { id: message.id, attempt }).await;
            departures.push((courier.store.now_ms(), message.recipient_id));
        }
        if departures.len() >= count {
            return departures;
        }
        ledger.clock().advance_ms(STEP_MS);
    }
    panic!("{} of {count} left", departures.len());
}

/// Fails where one person got more than `burst` at once, or more than one an interval after that.
fn assert_kept(departures: &[(i64, i64)], burst: u32) {
    let mut owed_until = 0;
    for (at, _) in departures {
        let owed = owed_until - at;
        assert!(owed <= INTERVAL_MS * i64::from(burst - 1), "owes {owed} ms: {departures:?}");
        owed_until = owed_until.max(*at) + INTERVAL_MS;
    }
}

async fn bursts_are_spread(ledger: &TestLedger, rate: Rate) {
    let store = limited(ledger.store());
    let sender = sender(&store, rate).await;
    to_one_person(&store, 10).await;
    planned(&store, broadcast("others", 100..105)).await;
    let departures = departures(ledger, &[&store], &sender, 15).await;
    let person = store.recipient(TENANT, &phone(PERSON)).await.unwrap().id;
    let (to_them, others): (Vec<_>, Vec<_>) = departures.into_iter().partition(|(_, to)| *to == person);
    let first = to_them[0].0;
    assert!(others.iter().all(|(at, _)| at - first < 10 * STEP_MS), "others wait for nobody's burst: {others:?}");
    assert_kept(&to_them, BURST);
    let at_once = to_them.iter().filter(|(at, _)| at - first < INTERVAL_MS).count();
    assert!(at_once >= 4, "a burst is allowed: {to_them:?}");
    let took = to_them[9].0 - first;
    assert!(took <= 6 * INTERVAL_MS, "none waits for longer than it must: {took} ms");
    assert_adds_up(&store).await;
}

async fn a_burst_to_one_person_leaves_as_the_limit_allows_and_others_go_on(ledger: TestLedger) {
    bursts_are_spread(&ledger, rate(20)).await;
    // All that was written down is forgotten once it is paid off.
    let store = ledger.store();
    assert_eq!(store.forget_pairs(10).await.unwrap(), 0);
    ledger.clock().advance_ms(INTERVAL_MS * i64::from(BURST));
    assert_eq!((store.forget_pairs(10).await.unwrap(), store.forget_pairs(10).await.unwrap()), (1, 0));
}

async fn an_unlimited_sender_keeps_the_limit(ledger: TestLedger) {
    bursts_are_spread(&ledger, Rate::Unlimited).await;
}

async fn processes_keep_the_limit_together(ledger: TestLedger) {
    let stores = [limited(ledger.store()), limited(&another(&ledger).await)];
    let sender = sender(&stores[0], rate(20)).await;
    let mut left = Vec::new();
    for index in 0..14 {
        planned(&stores[0], send(&format!("s-{index}"), PERSON)).await;
        left.extend(departures(&ledger, &[&stores[index % 2]], &sender, 1).await);
    }
    // Of each process the first message may be uncounted, and the first to be counted counts twice.
    assert_kept(&left, BURST + 1);
    assert!(left[13].0 - left[0].0 <= 11 * INTERVAL_MS, "none waits for longer than it must: {left:?}");
}

async fn who_gets_a_message_once_in_a_while_leaves_nothing_behind(ledger: TestLedger) {
    let store = limited(ledger.store());
    let sender = sender(&store, rate(20)).await;
    for id in ["one", "two"] {
        planned(&store, broadcast(id, 0..10)).await;
        departures(&ledger, &[&store], &sender, 10).await;
    }
    for (id, person) in [("s", 20), ("t", 21), ("u", 20)] {
        planned(&store, send(id, person)).await;
        departures(&ledger, &[&store], &sender, 1).await;
        ledger.clock().advance_ms(2 * INTERVAL_MS * i64::from(BURST));
    }
    assert_eq!(raw_texts(&ledger, "select cast(recipient_id as text) from pairs").await, [""; 0]);
}

async fn broadcasts_count_once_a_person_is_known(ledger: TestLedger) {
    let store = limited(ledger.store());
    let sender = sender(&store, rate(20)).await;
    to_one_person(&store, 2).await;
    departures(&ledger, &[&store], &sender, 2).await;
    for index in 0..8 {
        enqueue(&store, broadcast(&format!("b-{index}"), PERSON..PERSON + 1)).await;
    }
    plan_all(&store).await;
    let departures = departures(&ledger, &[&store], &sender, 8).await;
    assert_kept(&departures, BURST);
}

async fn a_sender_writes_to_a_person_whatever_another_does(ledger: TestLedger) {
    let store = limited(ledger.store());
    let one = sender(&store, rate(20)).await;
    let other = store.add_sender(TENANT, &new_sender("other", rate(20))).await.unwrap();
    to_one_person(&store, 12).await;
    departures(&ledger, &[&store], &one, 5).await;
    planned(&store, with(send("theirs", PERSON), json!({"sender": "other"}))).await;
    assert_eq!(Courier::of(&store).await.claim(&other).await.len(), 1);
}

async fn a_refusal_for_the_limit_is_waited_for(ledger: TestLedger) {
    let store = limited(ledger.store());
    let sender = sender(&store, rate(20)).await;
    let courier = Courier::of(&store).await;
    let refused = planned(&store, send("refused", PERSON)).await;
    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Pair)).await;
    // Meta suggests a second at first; the limit as it is known here says more.
    ledger.clock().advance_ms(1_000);
    assert!(courier.claim(&sender).await.is_empty());
    let message = message_ids(&store, refused).await[0];
    let told = story(&store, message).await;
    assert_eq!(told.state, Queued);
    let told = told.waits_because.unwrap();
    assert!(told.contains("as many messages as the platform allows at once"), "{told}");
    departures(&ledger, &[&store], &sender, 1).await;
    assert_eq!(state(&store, message).await, Accepted);
}

async fn without_a_limit_none_is_kept(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    to_one_person(store, 12).await;
    assert_eq!(Courier::of(store).await.claim(&sender).await.len(), 12);
}
