//! What attempts came to, and all that follows from it.

use kabar_domain::{
    message::MessageState::{
        self, Accepted, Blocked, Cancelled, Failed, InDoubt, Queued, Sending as InSending, Skipped,
    },
    outcome::{Decision, Outcome, Scope},
    sender::SenderState,
};
use kabar_store::{Settlement, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    each_decision_moves_the_message,
    a_retry_backs_off_until_its_tries_are_spent,
    a_throttle_spends_nothing_and_keeps_the_place,
    a_pair_throttle_delays_that_recipient_alone,
    a_paused_template_holds_its_broadcast,
    a_halt_stops_every_sender_that_it_holds_for,
    a_blocked_recipient_is_skipped_by_all_jobs,
    an_unreachable_number_is_noted,
    an_outcome_may_come_late,
    settling_again_changes_nothing,
    an_older_attempt_changes_nothing_and_is_kept,
    what_comes_back_of_a_cancelled_job_is_cancelled,
    alerts_and_doubts_are_told_of,
    a_batch_is_settled_at_once,
);

async fn each_decision_moves_the_message(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(1)).await;
    for (number, (decision, expected)) in [
        (Decision::Accepted, Accepted),
        (Decision::NotSent, Queued),
        (Decision::Retry, Queued),
        (Decision::Failed, Failed),
        (Decision::Blocked, Blocked),
        (Decision::OptedOut, Failed),
        (Decision::TemplateDisabled, Failed),
        (Decision::TemplatePaused, Queued),
        (Decision::InDoubt, InDoubt),
        (Decision::Halt, Queued),
        (Decision::Throttled, Queued),
    ]
    .into_iter()
    .enumerate()
    {
        store.resume_sender(TENANT, "default").await.unwrap();
        let priority = json!({"priority": "urgent"});
        planned(store, with(send(&format!("job{number}"), number as u64), priority)).await;
        let sending = courier.send_one(&sender).await;
        courier.settle(&sending, Outcome::of(decision, "as the provider said")).await;
        let after = story(store, sending.id).await;
        assert_eq!(after.state, expected, "{decision:?}");
        let reason = (expected != Accepted).then_some("as the provider said");
        assert_eq!(after.reason.as_deref(), reason, "{decision:?}");
        let attempt = &after.attempts[0];
        assert_eq!(attempt.outcome, serde_json::to_value(decision).unwrap().as_str().map(str::to_owned));
        assert_eq!(attempt.ended_at, Some(START_MS));
        // What waits again would be claimed before the next one.
        store.cancel_reminder(TENANT, &format!("job{number}"), "done").await.unwrap();
    }
    assert_adds_up(store).await;
}

async fn a_retry_backs_off_until_its_tries_are_spent(ledger: TestLedger) {
    let (sender, courier, mut sending) = one_sending(&ledger).await;
    let most = policy().max_tries;
    let retry = outcome(Decision::Retry, Scope::Message);
    for tries in 1..most {
        courier.settle(&sending, retry.clone()).await;
        let after = story(ledger.store(), sending.id).await;
        let delay = after.due_at - ledger.store().now_ms();
        let full = (2_000 << (tries - 1)).min(900_000);
        assert!(after.state == Queued && (full / 2..=full).contains(&delay), "{delay} ms after {tries} tries");
        ledger.clock().advance_ms(delay);
        // Its lease would have ended meanwhile.
        sending = Courier::of(ledger.store()).await.send_one(&sender).await;
    }
    courier.settle(&sending, retry).await;
    let after = story(ledger.store(), sending.id).await;
    assert_eq!((after.state, after.attempts.len()), (Failed, most as usize));
    assert_adds_up(ledger.store()).await;
}

async fn a_throttle_spends_nothing_and_keeps_the_place(ledger: TestLedger) {
    let (sender, courier, mut sending) = one_sending(&ledger).await;
    let store = ledger.store();
    planned(store, broadcast("later", 5..6)).await;
    let first = sending.id;
    for _ in 0..12 {
        let settled = courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
        assert_eq!((settled.requeued, settled.parked.len()), (1, 1));
        let after = story(store, first).await;
        assert_eq!((after.state, after.due_at), (Queued, START_MS));
        store.resume_sender(TENANT, "default").await.unwrap();
        let mut batch = courier.send(&sender).await;
        assert_eq!(batch[0].id, first, "it keeps its place");
        if let Some(other) = batch.get(1) {
            courier.accept(other).await;
        }
        sending = batch.remove(0);
    }
    courier.accept(&sending).await;
    assert_eq!(state(store, first).await, Accepted);
    assert_adds_up(store).await;
}

async fn a_pair_throttle_delays_that_recipient_alone(ledger: TestLedger) {
    let (sender, courier, mut sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let same = planned(store, send("same-recipient", 0)).await;
    let other = planned(store, send("other-recipient", 1)).await;
    let same = message_ids(store, same).await[0];
    for (delay, others) in [(1_000, 1), (4_000, 0), (16_000, 0)] {
        let until = store.now_ms() + delay;
        courier.settle(&sending, outcome(Decision::Throttled, Scope::Pair)).await;
        assert_eq!((story(store, sending.id).await.due_at, story(store, same).await.due_at), (until, until));
        let claimed = courier.claim(&sender).await;
        assert_eq!(claimed.iter().filter(|message| message.job_id == other).count(), others);
        assert_eq!(claimed.len(), others, "nobody else is held up");
        ledger.clock().advance_ms(delay);
        let (again, rest) = courier.claim(&sender).await.into_iter().partition::<Vec<_>, _>(|one| one.id == sending.id);
        let attempt = courier.start(&sender, &again).await.remove(&sending.id).unwrap();
        courier.give_back(&rest).await;
        sending = Sending { id: sending.id, attempt };
    }
    assert!(store.pace(sender.id).await.unwrap().unwrap().open, "nor is the sender parked");
}

async fn a_paused_template_holds_its_broadcast(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(1)).await;
    planned(store, with(broadcast("b", 0..5), json!({"content": template(json!([]))}))).await;
    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, outcome(Decision::TemplatePaused, Scope::Template)).await;
    let three_hours = 180 * MINUTE_MS;
    assert_eq!(story(store, sending.id).await.due_at, START_MS + three_hours);
    assert!(courier.claim(&sender).await.is_empty(), "the others wait, too");
    let why = story(store, sending.id).await.waits_because.unwrap();
    assert!(why.contains("template departure is paused"), "{why}");
    planned(store, send("another", 9)).await;
    assert_eq!(courier.claim(&sender).await.len(), 1);
    ledger.clock().advance_ms(three_hours);
    assert_eq!(Courier::of(store).await.claim(&sender).await.len(), 1);
}

async fn a_halt_stops_every_sender_that_it_holds_for(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let shared = kabar_store::NewSender {
        access_token: "token-default".to_owned(),
        ..new_sender("with the same token", rate(20))
    };
    let shared = store.add_sender(TENANT, &shared).await.unwrap();
    let apart = store.add_sender(TENANT, &new_sender("apart", rate(20))).await.unwrap();
    let held = planned(store, with(broadcast("held", 5..7), json!({"sender": "with the same token"}))).await;
    assert_eq!(courier.claim(&shared).await.len(), 2);

    let halt = Outcome { advice: "renew the token".to_owned(), ..outcome(Decision::Halt, Scope::Account) };
    let settled = courier.settle(&sending, halt).await;
    let mut halted: Vec<i64> = settled.halted.iter().map(|(id, _)| *id).collect();
    halted.sort_unstable();
    assert_eq!(halted, [sender.id, shared.id]);
    for sender in [&sender, &shared] {
        let now = store.sender_by_id(sender.id).await.unwrap();
        assert_eq!(
            (now.state, now.state_reason.as_deref()),
            (SenderState::Halted, Some("as the provider said. renew the token"))
        );
        assert!(courier.claim(sender).await.is_empty());
    }
    assert_eq!(store.sender_by_id(apart.id).await.unwrap().state, SenderState::Active);
    assert_eq!(states(store, held).await, [Queued, Queued], "what was claimed went back");
    assert_eq!(state(store, sending.id).await, Queued);
    assert_adds_up(store).await;
}

async fn a_blocked_recipient_is_skipped_by_all_jobs(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let waiting = planned(store, broadcast("waiting", 0..2)).await;
    let claimed = planned(store, with(send("claimed", 0), json!({"priority": "urgent"}))).await;
    let held = courier.claim(&sender).await;
    assert!(held.iter().any(|message| message.job_id == claimed));
    let later = planned(store, with(send("later", 0), json!({"send_at": instant(START_MS + DAY_MS)}))).await;

    courier.settle(&sending, window_closed()).await;
    assert_eq!(state(store, sending.id).await, Blocked);
    assert_eq!(states(store, claimed).await, [Skipped]);
    assert_eq!(states(store, later).await, [Skipped]);
    assert_eq!(states(store, waiting).await[0], Skipped);
    assert_ne!(states(store, waiting).await[1], Skipped);
    assert!(courier.start(&sender, &held).await.len() == 1, "only the other recipient's");

    let recipient = store.recipient(TENANT, &phone(0)).await.unwrap();
    let block = &recipient.blocks[0];
    assert_eq!((block.channel.as_str(), block.code, block.blocked_at), ("whatsapp", Some(131_047), START_MS));
    assert_eq!(block.source, format!("message {}", sending.id));
    assert_eq!(states(store, planned(store, send("after", 0)).await).await, [Skipped]);
    assert_adds_up(store).await;
}

async fn an_unreachable_number_is_noted(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    courier.settle(&sending, outcome(Decision::Failed, Scope::Recipient)).await;
    let recipient = ledger.store().recipient(TENANT, &phone(0)).await.unwrap();
    assert_eq!((recipient.unreachable_at, recipient.blocks.len()), (Some(START_MS), 0));
}

async fn an_outcome_may_come_late(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    assert_eq!(story(store, sending.id).await.due_at, START_MS + GRACE_MS);
    courier.accept(&sending).await;
    assert_eq!(state(store, sending.id).await, Accepted);
    // Doubt is no evidence against an answer.
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].outcome.as_deref()), (Accepted, Some("accepted")));
    assert_eq!(after.attempts[0].provider_message_id, Some(provider_id(&sending)));
}

async fn settling_again_changes_nothing(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    for decision in [Decision::Failed, Decision::Failed, Decision::Retry, Decision::Throttled] {
        let one = settlement(&sending, outcome(decision, Scope::Sender));
        store.settle(&[one], &policy()).await.unwrap();
        ledger.clock().advance_ms(1);
    }
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts.len()), (Failed, 1));
    assert_eq!((after.attempts[0].outcome.as_deref(), after.attempts[0].ended_at), (Some("failed"), Some(START_MS)));
    assert!(store.pace(store.sender(TENANT, "default").await.unwrap().id).await.unwrap().unwrap().open);
    courier.settle(&sending, outcome(Decision::Failed, Scope::Message)).await;
    assert_adds_up(store).await;
}

async fn an_older_attempt_changes_nothing_and_is_kept(ledger: TestLedger) {
    let (sender, courier, first) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&first, Outcome::in_doubt("no answer came")).await;
    store.resolve_message(TENANT, first.id, false).await.unwrap();
    let second = courier.send_one(&sender).await;
    assert_eq!(second.attempt.number, 2);
    courier.settle(&first, window_closed()).await;
    let after = story(store, first.id).await;
    assert_eq!(after.state, InSending);
    assert_eq!((after.attempts[0].outcome.as_deref(), after.attempts[0].code), (Some("blocked"), Some(131_047)));
    assert!(store.recipient(TENANT, &phone(0)).await.unwrap().blocks.is_empty());
    courier.accept(&second).await;
    assert_eq!(state(store, first.id).await, Accepted);
}

/// Nothing sweeps again after the cancel: what was on its way then and comes back must end by itself.
async fn what_comes_back_of_a_cancelled_job_is_cancelled(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    for (id, decision) in [("a", Decision::Throttled), ("b", Decision::Retry), ("c", Decision::NotSent)] {
        for (kind, job) in [("broadcast", broadcast(&format!("{id}-b"), 0..1)), ("send", send(&format!("{id}-s"), 1))] {
            let job_id = planned(store, job).await;
            let sending = courier.send_one(&sender).await;
            match kind {
                "broadcast" => store.cancel_broadcast(TENANT, &format!("{id}-b")).await.unwrap(),
                _ => store.cancel_reminder(TENANT, &format!("{id}-s"), "paid").await.unwrap(),
            };
            assert_eq!(states(store, job_id).await, [InSending]);
            courier.settle(&sending, outcome(decision, Scope::Message)).await;
            assert_eq!(states(store, job_id).await, [Cancelled], "{kind} after {decision:?}");
            store.resume_sender(TENANT, "default").await.unwrap();
        }
    }
    planned(store, broadcast("rescued", 0..2)).await;
    let held = courier.claim(&sender).await;
    courier.start(&sender, &held).await;
    store.cancel_broadcast(TENANT, "rescued").await.unwrap();
    courier.undo(&sender, &held).await;
    assert_eq!(state(store, held[0].id).await, Cancelled);
    assert_adds_up(store).await;
}

async fn alerts_and_doubts_are_told_of(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let alert = Outcome { alert: true, advice: "look at once".to_owned(), ..Outcome::in_doubt("no answer came") };
    let settled = courier.settle(&sending, alert).await;
    assert_eq!((settled.doubts, settled.alerts), (1, vec!["no answer came. look at once".to_owned()]));
}

async fn a_batch_is_settled_at_once(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..20)).await;
    let sending = courier.send(&sender).await;
    let decisions = [Decision::Accepted, Decision::Failed, Decision::Blocked, Decision::Retry];
    let settlements: Vec<Settlement> = sending
        .iter()
        .zip(decisions.into_iter().cycle())
        .map(|(one, decision)| settlement(one, outcome(decision, Scope::Recipient)))
        .collect();
    let settled = store.settle(&settlements, &policy()).await.unwrap();
    assert_eq!(settled.requeued, 5);
    let counts = store.job_counts(job_id).await.unwrap();
    for state in [Accepted, Failed, Blocked, Queued] {
        assert_eq!(counts.get(state), 5, "{state}");
    }
    let unknown = Settlement { message_id: i64::MAX, number: 1, outcome: Outcome::accepted("x") };
    assert_eq!(store.settle(&[unknown], &policy()).await.unwrap().requeued, 0);
    assert!(matches!(store.message_story(TENANT, i64::MAX).await, Err(StoreError::NotFound { .. })));
    assert_eq!(counts.total(), MessageState::ALL.into_iter().map(|state| counts.get(state)).sum::<u64>());
    assert_adds_up(store).await;
}
