//! What people look at: status, and the story of one message.

use kabar_domain::{
    message::{
        MessageState::{Accepted, Claimed, InDoubt, Queued, Read, Sending as InSending, Unresolved},
        ReceiptStatus,
    },
    outcome::{Decision, Outcome, Scope},
};
use kabar_store::{MessageFilter, NewDeadLetter, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    status_counts_what_is_where,
    status_shows_each_sender,
    a_backlog_counts_what_waits_by_lane_and_how_old_it_is,
    a_story_tells_every_attempt,
    a_story_says_why_a_message_waits,
    a_message_is_found_by_its_number_or_its_job,
    a_jobs_messages_are_listed_in_pages,
    messages_are_listed_by_state_job_and_sender,
    a_story_says_what_stands_before_a_message,
);

async fn status_counts_what_is_where(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    planned(store, broadcast("more", 1..4)).await;
    courier.claim(&sender).await;
    planned(store, send("waits", 9)).await;
    store.put_items("batches", &["ticket".to_owned()]).await.unwrap();
    store.bury(TENANT, NewDeadLetter { line: "jobs", job_key: None, body: "x", reason: "not JSON" }).await.unwrap();
    let status = store.status(TENANT).await.unwrap();
    assert_eq!((status.messages.get(Accepted), status.messages.get(Queued), status.messages.total()), (1, 1, 5));
    assert_eq!((status.dead, status.workers.len()), (1, 1));
    assert_eq!(status.lines, [("batches".to_owned(), 1)]);
    assert_eq!((status.messages.get(Claimed), status.messages.get(Read)), (3, 0));
}

async fn a_backlog_counts_what_waits_by_lane_and_how_old_it_is(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    store.add_sender(TENANT, &new_sender("idle", kabar_domain::pace::Rate::Unlimited)).await.unwrap();
    planned(store, broadcast("bulk", 1..6)).await;
    planned(store, broadcast("held", 6..8)).await;
    store.pause_broadcast(TENANT, "held").await.unwrap();
    planned(store, with(send("urgent", 20), json!({"priority": "urgent"}))).await;
    planned(store, with(send("later", 21), json!({"send_at": "2099-01-01T00:00:00Z"}))).await;
    store.append_event(PROVIDER, "{}", None).await.unwrap();
    ledger.clock().advance_ms(MINUTE_MS);
    let backlog = store.backlog().await.unwrap();
    let lanes = |index: usize| {
        let of: Vec<_> =
            backlog.senders[index].lanes.iter().map(|(_, lane): &_| (lane.waiting, lane.oldest_ms)).collect();
        of
    };
    let minute = Some(MINUTE_MS.unsigned_abs());
    // Urgent, normal, bulk: what is held back is counted and is not old, nor is what is not due.
    assert_eq!(lanes(0), [(1, minute), (1, None), (7, minute)]);
    assert_eq!(lanes(1), [(0, None); 3]);
    let (default, idle) = (&backlog.senders[0], &backlog.senders[1]);
    assert_eq!((default.name.as_str(), default.rate, default.effective_rate), ("default", rate(20), Some(20.0)));
    assert_eq!((idle.name.as_str(), idle.effective_rate), ("idle", None));
    assert_eq!((backlog.in_doubt, backlog.unresolved, backlog.oldest_event_ms), (0, 0, minute));
    courier.settle(&sending, outcome(Decision::InDoubt, Scope::Message)).await;
    assert_eq!(store.backlog().await.unwrap().in_doubt, 1);
}

async fn status_shows_each_sender(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    store.add_sender(TENANT, &new_sender("idle", kabar_domain::pace::Rate::Unlimited)).await.unwrap();
    planned(store, broadcast("more", 1..4)).await;
    let shown = async || store.status(TENANT).await.unwrap().senders;
    let senders = shown().await;
    let (default, idle) = (&senders[0], &senders[1]);
    assert_eq!((default.waiting, default.in_flight, default.sent_last_minute), (3, 1, 1));
    assert_eq!((default.state.as_str(), default.effective_rate), ("active", Some(20.0)));
    assert_eq!((idle.waiting, idle.in_flight, idle.effective_rate), (0, 0, None));
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
    let parked = &shown().await[0];
    assert_eq!((parked.state.as_str(), parked.parked_until), ("parked", Some(START_MS + 1_000)));
    ledger.clock().advance_ms(MINUTE_MS);
    assert_eq!(shown().await[0].sent_last_minute, 0);
    store.pause_sender(TENANT, "default", "by hand").await.unwrap();
    assert_eq!(shown().await[0].reason.as_deref(), Some("by hand"));
}

async fn a_story_tells_every_attempt(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, outcome(Decision::NotSent, Scope::Message)).await;
    ledger.clock().advance_ms(1_000);
    let again = courier.send_one(&sender).await;
    courier.accept(&again).await;
    receive(store, [receipt(&again, ReceiptStatus::Sent, START_MS + 2_000)]).await;
    let story = story(store, again.id).await;
    assert_eq!((story.job_key.as_str(), story.kind.as_str(), story.sender.as_str()), ("b", "broadcast", "default"));
    assert_eq!((&story.phone, story.created_at, story.waits_because), (&phone(0), START_MS, None));
    let outcomes: Vec<_> = story.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("not_sent"), Some("accepted")]);
    let last = &story.attempts[1];
    assert_eq!((last.started_at, last.sent_at), (START_MS + 1_000, Some(START_MS + 2_000)));
    assert_eq!(last.provider_message_id, Some(provider_id(&again)));
}

async fn a_story_says_why_a_message_waits(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let why = async || story(store, sending.id).await.waits_because.unwrap();
    assert!(why().await.contains("host:1"), "held by a living process");
    ledger.clock().advance_ms(LEASE_MS);
    assert!(why().await.contains("gone"));
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
    assert!(why().await.contains("parked until"));
    store.pause_broadcast(TENANT, "b").await.unwrap();
    assert!(why().await.contains("kabar broadcast resume b"));
}

async fn a_message_is_found_by_its_number_or_its_job(ledger: TestLedger) {
    let (_, _, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    assert_eq!(store.find_message(TENANT, &sending.id.to_string()).await.unwrap(), sending.id);
    assert_eq!(store.find_message(TENANT, "b").await.unwrap(), sending.id);
    planned(store, broadcast("two", 1..3)).await;
    assert!(matches!(store.find_message(TENANT, "two").await, Err(StoreError::Refused(_))));
    assert!(matches!(store.find_message(TENANT, "none").await, Err(StoreError::NotFound { .. })));
    planned(store, send("12345", 9)).await;
    let named = store.find_message(TENANT, "12345").await.unwrap();
    assert_eq!(story(store, named).await.phone, phone(9), "an id may look like a number");
}

async fn a_jobs_messages_are_listed_in_pages(ledger: TestLedger) {
    let (_, _, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let job_id = planned(store, broadcast("many", 0..5)).await;
    let first = store.messages_of_job(job_id, 0, 3).await.unwrap();
    let rest = store.messages_of_job(job_id, first[2].id, 3).await.unwrap();
    let phones: Vec<_> = first.iter().chain(&rest).map(|message| message.phone.clone()).collect();
    assert_eq!(phones, (0..5).map(phone).collect::<Vec<_>>());
    assert_eq!(state(store, sending.id).await, InSending);
}

async fn messages_are_listed_by_state_job_and_sender(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    store.add_sender(TENANT, &new_sender("other", rate(20))).await.unwrap();
    planned(store, with(broadcast("held", 0..3), json!({"on_doubt": "hold"}))).await;
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    planned(store, broadcast("b", 3..5)).await;
    planned(store, with(send("s", 9), json!({"sender": "other"}))).await;
    let listed = async |filter: &MessageFilter, after: i64, limit: u32| {
        let messages = store.list_messages(TENANT, filter, after, limit).await.unwrap();
        messages.into_iter().map(|message| (message.id, message.job_key)).collect::<Vec<_>>()
    };
    let of = |state| MessageFilter { state: Some(state), ..MessageFilter::default() };
    let ids: Vec<i64> = sending.iter().map(|one| one.id).collect();
    let held = |ids: &[i64]| ids.iter().map(|id| (*id, "held".to_owned())).collect::<Vec<_>>();
    assert_eq!(listed(&of(InDoubt), 0, 10).await, held(&ids));
    ledger.clock().advance_ms(GRACE_MS);
    store.settle_doubts(10).await.unwrap();
    assert_eq!(listed(&of(InDoubt), 0, 10).await, []);
    assert_eq!(listed(&of(Unresolved), 0, 2).await, held(&ids[..2]));
    assert_eq!(listed(&of(Unresolved), ids[1], 2).await, held(&ids[2..]));
    assert_eq!(store.count_unresolved(TENANT).await.unwrap(), 3);
    assert_eq!(listed(&of(Queued), 0, 10).await.len(), 3);
    let everything = MessageFilter::default();
    assert_eq!((listed(&everything, 0, 4).await.len(), listed(&everything, 0, 10).await.len()), (4, 6));
    let of_job = MessageFilter { job_key: Some("held".to_owned()), ..of(Unresolved) };
    assert_eq!(listed(&of_job, ids[0], 10).await, held(&ids[1..]));
    let none = MessageFilter { job_key: Some("b".to_owned()), ..of(Unresolved) };
    assert_eq!(listed(&none, 0, 10).await, []);
    let of_sender = MessageFilter { sender: Some("other".to_owned()), ..MessageFilter::default() };
    assert_eq!(listed(&of_sender, 0, 10).await[0].1, "s");
    let doubt_of_other = MessageFilter { sender: Some("other".to_owned()), ..of(Unresolved) };
    assert_eq!(listed(&doubt_of_other, 0, 10).await, []);
}

async fn a_story_says_what_stands_before_a_message(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..3)).await;
    let ids = message_ids(store, job_id).await;
    let why = async |id: i64| story(store, id).await.waits_because.unwrap();
    assert!(why(ids[2]).await.contains("no courier is at work"));
    let courier = Courier::of(store).await;
    let told = why(ids[2]).await;
    assert!(told.contains("2 of broadcast b that are due earlier") && told.contains("20 messages a second"), "{told}");
    planned(store, with(send("now", 7), json!({"priority": "urgent"}))).await;
    assert!(why(ids[0]).await.contains("1 more urgent ones"), "{}", why(ids[0]).await);
    planned(store, send("to-the-same", 7)).await;
    let same = store.find_message(TENANT, "to-the-same").await.unwrap();
    let claimed = courier.claim(&sender).await;
    let first: Vec<_> = claimed.iter().filter(|message| message.id != same).cloned().collect();
    courier.start(&sender, &first).await;
    courier.give_back(&claimed.iter().filter(|message| message.id == same).cloned().collect::<Vec<_>>()).await;
    ledger.clock().advance_ms(2_000);
    assert!(why(same).await.contains("to the same person"), "{}", why(same).await);
}
