//! Opt-outs and what takes them back: the newest word counts, and nothing of what a person declined is started any more.

use kabar_domain::{
    message::MessageState::{Claimed, Queued, Sending, Skipped},
    outcome::{Decision, Scope},
    report::{PersonsWish, Report},
    sender::Channel,
    wish::{Covers, Wish},
};
use kabar_store::{Actor, Store};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    the_newest_word_counts_in_whatever_order_they_come,
    an_opt_out_skips_what_waits_of_it,
    a_start_looks_for_an_opt_out_again,
    a_start_without_a_pace_looks_again_too,
    what_comes_back_after_an_opt_out_is_not_sent_again,
    whoever_says_stop_unasked_is_written_down,
    a_wish_counts_for_the_number_that_it_was_said_to,
    a_person_opts_out_and_in_for_somebody,
);

const STOP: Wish = Wish::Stop(Covers::Marketing);
const STOP_ALL: Wish = Wish::Stop(Covers::All);
const START: Wish = Wish::Start(Covers::All);

fn said(who: u64, wish: Wish, at: i64) -> PersonsWish {
    PersonsWish {
        sender_address: "address-default".to_owned(),
        from: phone(who),
        wish,
        source: "their message",
        at: instant(at),
    }
}

async fn hear(store: &Store, said: impl IntoIterator<Item = PersonsWish>) {
    report(store, said.into_iter().map(Report::Wish).collect()).await;
}

async fn opted_out_of(store: &Store, who: u64) -> Vec<Covers> {
    let recipient = store.recipient(TENANT, &phone(who)).await.unwrap();
    recipient.opt_outs.iter().map(|opt_out| opt_out.covers).collect()
}

async fn the_newest_word_counts_in_whatever_order_they_come(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let resume = Wish::Start(Covers::Marketing);
    for (round, (wishes, expected)) in [
        (vec![(STOP, 1)], vec![Covers::Marketing]),
        (vec![(STOP, 1), (START, 2)], vec![]),
        (vec![(START, 1), (STOP, 2)], vec![Covers::Marketing]),
        (vec![(STOP, 5), (START, 5)], vec![Covers::Marketing]),
        (vec![(STOP_ALL, 1), (START, 2), (STOP, 3)], vec![Covers::Marketing]),
        (vec![(STOP, 1), (STOP, 9), (START, 5)], vec![Covers::Marketing]),
        (vec![(STOP_ALL, 1), (resume, 2)], vec![Covers::All]),
        (vec![(STOP_ALL, 3), (STOP, 1), (START, 2)], vec![Covers::All]),
    ]
    .into_iter()
    .enumerate()
    {
        for turn in 0..6 {
            let who = (round * 10 + turn) as u64;
            // Each comes twice, and in any order, over one event and over several.
            let mut all: Vec<_> = wishes.iter().chain(&wishes).copied().collect();
            fastrand::shuffle(&mut all);
            let said = all.iter().map(|(wish, at)| said(who, *wish, START_MS + at * 1_000)).collect::<Vec<_>>();
            let later = said.clone().split_off(said.len() / 2);
            hear(store, said).await;
            hear(store, later).await;
            assert_eq!(opted_out_of(store, who).await, expected, "{all:?}");
        }
    }
}

async fn an_opt_out_skips_what_waits_of_it(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let (offer, answer) = (planned(store, broadcast("offer", 0..3)).await, planned(store, send("answer", 0)).await);
    let claimed = courier.claim(&sender).await;
    assert_eq!(claimed.len(), 4);
    let later = planned(store, with(broadcast("later", 0..1), json!({"send_at": "2099-01-01T00:00:00Z"}))).await;
    hear(store, [said(0, STOP, START_MS)]).await;
    assert_eq!(states(store, offer).await, [Skipped, Claimed, Claimed]);
    assert_eq!(reasons(store, offer).await[0].as_deref(), Some("opted_out"));
    assert_eq!(states(store, later).await, [Skipped]);
    assert_eq!(states(store, answer).await, [Claimed], "an answer is no marketing");
    assert_eq!(courier.start(&sender, &claimed).await.len(), 3);
    hear(store, [said(1, STOP_ALL, START_MS)]).await;
    assert_eq!(states(store, offer).await, [Skipped, Sending, Sending], "what was started is on its way");
    let next = [planned(store, send("to-one", 1)).await, planned(store, send("to-another", 2)).await];
    assert_eq!([states(store, next[0]).await, states(store, next[1]).await], [[Skipped], [Queued]]);
    assert_adds_up(store).await;
}

/// What another process does between a planner's look and its commit.
async fn opt_out_unseen(ledger: &TestLedger, covers: &str) {
    let statement = format!(
        "insert into wishes (recipient_id, channel, covers, wanted, source, said_at)
         select id, 'whatsapp', '{covers}', 0, 'their message', 0 from recipients"
    );
    raw_change(ledger, &statement).await;
}

async fn a_start_looks_for_an_opt_out_again(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let (offer, answer) = (planned(store, broadcast("offer", 0..1)).await, planned(store, send("answer", 1)).await);
    let claimed = courier.claim(&sender).await;
    opt_out_unseen(&ledger, "marketing").await;
    assert_eq!(courier.start(&sender, &claimed).await.len(), 1);
    courier.give_back(&claimed).await;
    assert_eq!((states(store, offer).await, states(store, answer).await), (vec![Skipped], vec![Sending]));
    assert_eq!(reasons(store, offer).await[0].as_deref(), Some("opted_out"));
}

async fn a_start_without_a_pace_looks_again_too(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, kabar_domain::pace::Rate::Unlimited).await;
    let (offer, answer) = (planned(store, broadcast("offer", 0..1)).await, planned(store, send("answer", 1)).await);
    opt_out_unseen(&ledger, "marketing").await;
    let claimed = courier.claim(&sender).await;
    courier.give_back(&claimed).await;
    assert_eq!((states(store, offer).await, states(store, answer).await), (vec![Skipped], vec![Sending]));
    let all = planned(store, send("all", 2)).await;
    opt_out_unseen_of(&ledger, 2).await;
    let claimed = courier.claim(&sender).await;
    assert!(claimed.iter().all(|message| message.started.is_none()), "{claimed:?}");
    courier.give_back(&claimed).await;
    assert_eq!(states(store, all).await, [Skipped]);
}

/// The same of everything, for one number.
async fn opt_out_unseen_of(ledger: &TestLedger, who: u64) {
    let statement = format!(
        "insert into wishes (recipient_id, channel, covers, wanted, source, said_at)
         select id, 'whatsapp', 'all', 0, 'their message', 0 from recipients where phone = '{}'",
        phone(who)
    );
    raw_change(ledger, &statement).await;
}

async fn what_comes_back_after_an_opt_out_is_not_sent_again(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    hear(store, [said(0, STOP, START_MS)]).await;
    assert_eq!(state(store, sending.id).await, Sending);
    courier.settle(&sending, outcome(Decision::Retry, Scope::Message)).await;
    ledger.clock().advance_ms(3_600_000);
    let courier = Courier::of(store).await;
    let claimed = courier.claim(&sender).await;
    assert!(courier.start(&sender, &claimed).await.is_empty());
    courier.give_back(&claimed).await;
    assert_eq!(state(store, sending.id).await, Skipped);
}

async fn whoever_says_stop_unasked_is_written_down(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    hear(store, [said(7, STOP, START_MS)]).await;
    assert_eq!(opted_out_of(store, 7).await, [Covers::Marketing]);
    assert_eq!(states(store, planned(store, broadcast("b", 7..9)).await).await, [Skipped, Queued]);
}

async fn a_wish_counts_for_the_number_that_it_was_said_to(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let elsewhere = PersonsWish { sender_address: "elsewhere".to_owned(), ..said(0, STOP, START_MS) };
    hear(store, [elsewhere]).await;
    assert!(store.recipient(TENANT, &phone(0)).await.is_err(), "nobody knows that number");
    // A signature that speaks for other numbers alone.
    store.append_event(PROVIDER, "{}", Some(&["another".to_owned()])).await.unwrap();
    let applied = store.apply_events(1, &policy(), |_| Ok(vec![Report::Wish(said(0, STOP, START_MS))])).await.unwrap();
    assert_eq!(applied.notices.len(), 1);
    assert!(store.recipient(TENANT, &phone(0)).await.is_err());
}

async fn a_person_opts_out_and_in_for_somebody(ledger: TestLedger) {
    let store = ledger.store().acting_as(Actor::command_line("op"));
    sender(&store, rate(20)).await;
    let (number, channel) = (phone(0), Channel::Whatsapp);
    assert!(store.opt_in(TENANT, &number, channel, "by mail").await.is_err(), "nobody knows the number");
    store.opt_out(TENANT, &number, channel, Covers::Marketing, "by mail").await.unwrap();
    store.opt_out(TENANT, &number, channel, Covers::All, "by phone").await.unwrap();
    let recipient = store.recipient(TENANT, &number).await.unwrap();
    let sources: Vec<_> = recipient.opt_outs.iter().map(|one| (one.covers, one.source.as_str(), one.said_at)).collect();
    assert_eq!(sources, [(Covers::All, "by phone", START_MS), (Covers::Marketing, "by mail", START_MS)]);
    assert!(store.opt_in(TENANT, &number, channel, "by mail").await.unwrap(), "in the same moment, and it counts");
    assert!(!store.opt_in(TENANT, &number, channel, "by mail").await.unwrap());
    assert_eq!(opted_out_of(&store, 0).await, []);
    // A word from before that comes late changes nothing.
    hear(&store, [said(0, STOP, START_MS - 1_000)]).await;
    assert_eq!(opted_out_of(&store, 0).await, []);
    let actions: Vec<_> = store.audit(TENANT, i64::MAX, 10).await.unwrap().into_iter().map(|one| one.action).collect();
    let expected = ["recipient.opt_in", "recipient.opt_in", "recipient.opt_out", "recipient.opt_out", "sender.add"];
    assert_eq!(actions, expected);
}
