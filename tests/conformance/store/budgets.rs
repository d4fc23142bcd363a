//! How many people a portfolio may write to in a moving day.

use std::collections::{HashMap, HashSet};

use kabar_domain::{
    message::MessageState::{Accepted, Queued},
    pace::Rate,
    report::{AccountBudget, Inbound, Report},
};
use kabar_store::{Budget, Claimed, Sender, Store};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::{fixtures::*, receipts::inbound};

on_both_ledgers!(
    whom_a_budget_does_not_fit_waits_until_a_place_is_free,
    people_reached_within_the_day_and_people_who_wrote_pass,
    a_share_is_kept_for_urgent_messages,
    each_message_waits_for_a_place_of_its_own,
    senders_of_a_portfolio_share_its_budget,
    an_unlimited_sender_starts_nobody_beyond_it,
    more_people_may_be_written_to_at_once_when_the_provider_says_so,
    a_cancelled_broadcast_leaves_its_places_to_others,
    claims_at_once_never_take_more_than_there_is,
    no_moving_day_ever_holds_more,
    the_end_of_a_broadcast_waits_for_the_budget,
);

/// A sender whose portfolio may write to so many people a day.
async fn budgeted(store: &Store, people: u64, rate: Rate) -> Sender {
    let sender = sender(store, rate).await;
    store.set_budget(&sender, Some(people)).await.unwrap();
    sender
}

/// As many batches as there are to claim now.
async fn claim_all(courier: &Courier, sender: &Sender) -> Vec<Claimed> {
    let mut all = Vec::new();
    // A batch may be empty though more is due: whom it held had no place.
    for _ in 0..10 {
        all.extend(courier.claim(sender).await);
    }
    all
}

async fn accept_all(courier: &Courier, sender: &Sender, claimed: &[Claimed]) {
    for (id, attempt) in courier.start(sender, claimed).await {
        courier.accept(&Sending { id, attempt }).await;
    }
}

async fn whom_a_budget_does_not_fit_waits_until_a_place_is_free(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..25)).await;
    let courier = Courier::of(store).await;
    let first = claim_all(&courier, &sender).await;
    assert_eq!(first.len(), 9, "a tenth is kept for urgent messages");
    accept_all(&courier, &sender, &first).await;
    assert_eq!(store.budget(&sender).await.unwrap(), Some(Budget { people_per_day: Some(10), people: 9 }));
    let counts = store.job_counts(job_id).await.unwrap();
    assert_eq!((counts.get(Accepted), counts.get(Queued)), (9, 16));
    let waiting = store.messages_of_job(job_id, 0, 100).await.unwrap();
    let waiting = waiting.iter().find(|message| message.state == Queued).unwrap();
    let told = story(store, waiting.id).await.waits_because.unwrap();
    assert!(told.contains("the day's budget of people is used up"), "{told}");
    assert_eq!(store.due_senders(EVERY_SENDER).await.unwrap().0[0].next_due, START_MS + DAY_MS);

    ledger.clock().advance_ms(DAY_MS - 1);
    let courier = Courier::of(store).await;
    assert!(claim_all(&courier, &sender).await.is_empty());
    ledger.clock().advance_ms(1);
    assert_eq!(claim_all(&courier, &sender).await.len(), 9);
    assert_adds_up(store).await;
}

async fn people_reached_within_the_day_and_people_who_wrote_pass(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    planned(store, broadcast("first", 0..9)).await;
    let courier = Courier::of(store).await;
    let first = claim_all(&courier, &sender).await;
    accept_all(&courier, &sender, &first).await;
    let again = planned(store, broadcast("again", 0..9)).await;
    let strangers = planned(store, broadcast("strangers", 20..23)).await;
    let wrote = Inbound { from: Some(phone(21)), ..inbound("in", START_MS) };
    report(store, vec![Report::Inbound(wrote)]).await;
    let claimed = claim_all(&courier, &sender).await;
    let of = |job: i64| claimed.iter().filter(|message| message.job_id == job).count();
    assert_eq!((of(again), of(strangers)), (9, 1));
    assert_eq!(store.budget(&sender).await.unwrap().unwrap().people, 9, "who wrote takes no place");
}

async fn a_share_is_kept_for_urgent_messages(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    planned(store, broadcast("b", 0..25)).await;
    let courier = Courier::of(store).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 9);
    for (id, to, fits) in [("one", 100, 1), ("other", 101, 0)] {
        planned(store, with(send(id, to), json!({"priority": "urgent"}))).await;
        assert_eq!(claim_all(&courier, &sender).await.len(), fits, "{id}");
    }
}

async fn each_message_waits_for_a_place_of_its_own(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    for hour in 0..3 {
        planned(store, broadcast(&format!("b{hour}"), hour * 3..hour * 3 + 3)).await;
        assert_eq!(claim_all(&Courier::of(store).await, &sender).await.len(), 3);
        ledger.clock().advance_ms(60 * MINUTE_MS);
    }
    let job_id = planned(store, broadcast("waits", 20..32)).await;
    assert!(claim_all(&Courier::of(store).await, &sender).await.is_empty());
    let messages = store.messages_of_job(job_id, 0, 100).await.unwrap();
    let mut hours = HashMap::<i64, usize>::new();
    for message in messages {
        let due_at = story(store, message.id).await.due_at;
        *hours.entry((due_at - START_MS - DAY_MS) / (60 * MINUTE_MS)).or_default() += 1;
    }
    assert_eq!(hours, HashMap::from([(0, 3), (1, 3), (2, 3), (3, 3)]), "what is too much looks again in a day");
}

async fn senders_of_a_portfolio_share_its_budget(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    let other = store.add_sender(TENANT, &new_sender("other", rate(20))).await.unwrap();
    assert_eq!(store.budget(&other).await.unwrap(), None);
    let other = store.set_portfolio(TENANT, "other", &sender.portfolio).await.unwrap();
    planned(store, broadcast("b", 0..5)).await;
    planned(store, with(broadcast("c", 3..20), json!({"sender": "other"}))).await;
    let courier = Courier::of(store).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 5);
    assert_eq!(claim_all(&courier, &other).await.len(), 2 + 4, "two of them are known to the portfolio");
}

async fn an_unlimited_sender_starts_nobody_beyond_it(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, Rate::Unlimited).await;
    let job_id = planned(store, broadcast("b", 0..15)).await;
    let courier = Courier::of(store).await;
    let claimed = claim_all(&courier, &sender).await;
    assert_eq!(claimed.iter().filter(|message| message.started.is_some()).count(), 9);
    assert_eq!(claimed.len(), 9);
    for message in store.messages_of_job(job_id, 0, 100).await.unwrap() {
        let attempts = usize::from(message.state != Queued);
        assert_eq!(story(store, message.id).await.attempts.len(), attempts, "none was started and taken back");
    }
    ledger.clock().advance_ms(DAY_MS);
    let courier = Courier::of(store).await;
    let claimed = claim_all(&courier, &sender).await;
    assert_eq!(claimed.iter().map(|message| message.started.as_ref().unwrap().number).max(), Some(1));
}

async fn more_people_may_be_written_to_at_once_when_the_provider_says_so(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    planned(store, broadcast("b", 0..50)).await;
    let courier = Courier::of(store).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 9);
    let told = |people_per_day| vec![Report::Budget(AccountBudget { account: sender.account.clone(), people_per_day })];
    report(store, told(Some(30))).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 18);
    report(store, told(None)).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 23);
    assert_eq!(store.budget(&sender).await.unwrap().unwrap().left(), None);
}

async fn a_cancelled_broadcast_leaves_its_places_to_others(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 10, rate(20)).await;
    planned(store, broadcast("b", 0..9)).await;
    let courier = Courier::of(store).await;
    assert_eq!(claim_all(&courier, &sender).await.len(), 9);
    planned(store, broadcast("given-up", 10..30)).await;
    assert!(claim_all(&courier, &sender).await.is_empty());
    store.cancel_broadcast(TENANT, "given-up").await.unwrap();
    ledger.clock().advance_ms(MINUTE_MS);
    planned(store, send("single", 40)).await;
    assert!(claim_all(&Courier::of(store).await, &sender).await.is_empty());
    let (due, _) = store.due_senders(EVERY_SENDER).await.unwrap();
    assert_eq!(due[0].next_due, START_MS + DAY_MS, "the first place that comes free is its own");
}

async fn claims_at_once_never_take_more_than_there_is(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 40, rate(20)).await;
    planned(store, broadcast("b", 0..200)).await;
    let couriers = [Courier::of(store).await, Courier::of(&another(&ledger).await).await];
    let (one, other) = tokio::join!(claim_all(&couriers[0], &sender), claim_all(&couriers[1], &sender));
    let people: HashSet<i64> = one.iter().chain(&other).map(|message| message.recipient_id).collect();
    assert_eq!((one.len() + other.len(), people.len()), (36, 36));
}

/// Days of broadcasts to people who overlap, at odd times.
async fn no_moving_day_ever_holds_more(ledger: TestLedger) {
    const MOST: usize = 12;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let store = ledger.store();
    let sender = budgeted(store, MOST as u64, rate(20)).await;
    let mut departures: Vec<(i64, i64)> = Vec::new();
    for round in 0..60 {
        if random.u8(..) < 100 {
            let first = random.u64(0..40);
            let priority = ["urgent", "normal", "bulk"][random.usize(0..3)];
            let job = broadcast(&format!("b{round}"), first..first + random.u64(1..15));
            planned(store, with(job, json!({"priority": priority}))).await;
        }
        let courier = Courier::of(store).await;
        let claimed = courier.claim(&sender).await;
        accept_all(&courier, &sender, &claimed).await;
        departures.extend(claimed.iter().map(|message| (store.now_ms(), message.recipient_id)));
        ledger.clock().advance_ms(random.i64(1..8 * 60 * MINUTE_MS));
    }
    for &(end, _) in &departures {
        let within = departures.iter().filter(|(at, _)| (end - DAY_MS + 1..=end).contains(at));
        let people: HashSet<i64> = within.map(|(_, person)| *person).collect();
        assert!(people.len() <= MOST, "{} people within a day, seed {seed}", people.len());
    }
    assert!(departures.len() > MOST, "little was sent, seed {seed}");
}

async fn the_end_of_a_broadcast_waits_for_the_budget(ledger: TestLedger) {
    let store = ledger.store();
    let sender = budgeted(store, 100, rate(20)).await;
    let eta = async || store.broadcast(TENANT, "b").await.unwrap().eta.unwrap();
    planned(store, broadcast("b", 0..250)).await;
    assert_eq!(eta().await, START_MS + 2 * DAY_MS);
    let courier = Courier::of(store).await;
    while !courier.claim(&sender).await.is_empty() {}
    store.set_budget(&sender, None).await.unwrap();
    assert!(eta().await < START_MS + MINUTE_MS);
}
