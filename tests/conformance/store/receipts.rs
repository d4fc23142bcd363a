//! What providers report later: in any order, with any repeats, early and late.

use kabar_domain::{
    message::{
        MessageState::{
            self, Accepted, Blocked, Cancelled, Delivered, Expired, Failed, InDoubt, Queued, Read,
            Sending as InSending, Sent, Skipped,
        },
        ReceiptStatus,
    },
    outcome::{Decision, Outcome, Scope},
    report::{Inbound, Notice, Receipt, Report, TemplateChange},
    sender::Channel,
    template::Template,
};
use kabar_store::Heard;
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    receipts_move_a_message_forward_alone,
    any_order_and_any_repeats_come_to_the_same,
    a_receipt_is_told_with_its_attempt_and_its_times,
    a_receipt_may_come_before_the_answer,
    a_receipt_is_matched_by_the_providers_id,
    an_unknown_receipt_is_kept_until_its_message_is_known,
    a_failure_ends_a_message_and_may_block_its_recipient,
    a_late_failure_does_not_undo_a_delivery,
    a_receipt_settles_doubt,
    a_receipt_calls_back_what_was_believed_absent,
    a_failure_calls_back_what_was_believed_absent,
    a_receipt_tells_of_what_ended_while_it_was_believed_absent,
    a_failure_of_what_ended_while_it_was_believed_absent_is_told_and_not_tried_again,
    a_late_answer_tells_of_what_ended_while_it_was_believed_absent,
    a_receipt_for_what_was_sent_again_is_told_of_once,
    a_kept_receipt_settles_no_other_senders_message,
    a_kept_failure_ends_its_message_with_a_reason,
    codes_of_failures_are_counted,
    each_decision_about_a_failed_receipt_has_its_effect,
    a_receipt_of_an_older_attempt_is_kept_on_it,
    events_are_applied_once,
    an_unreadable_event_stops_nothing,
    a_signature_speaks_for_its_own_senders_alone,
    an_inbound_message_is_kept_once,
    an_inbound_message_with_a_nul_stops_nothing,
    a_template_change_is_noted,
);

const LATER: i64 = START_MS + MINUTE_MS;

async fn receipts_move_a_message_forward_alone(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    for (status, expected) in [
        (ReceiptStatus::Sent, Sent),
        (ReceiptStatus::Delivered, Delivered),
        (ReceiptStatus::Sent, Delivered),
        (ReceiptStatus::Read, Read),
        (ReceiptStatus::Delivered, Read),
        (ReceiptStatus::Failed, Read),
    ] {
        let applied = receive(store, [receipt(&sending, status, LATER)]).await;
        assert_eq!((applied.events, applied.receipts, applied.unmatched), (1, 1, 0));
        assert_eq!(state(store, sending.id).await, expected, "after {status:?}");
    }
    let attempt = &story(store, sending.id).await.attempts[0];
    assert_eq!((attempt.sent_at, attempt.delivered_at, attempt.read_at), (Some(LATER), Some(LATER), Some(LATER)));
    assert_eq!(attempt.failed_at, Some(LATER), "kept as evidence, though not believed");
    let heard = store.sender_by_id(sender.id).await.unwrap();
    assert_eq!((heard.receipts_through, heard.last_receipt_at), (START_MS, Some(START_MS)));
    assert_adds_up(store).await;
}

async fn any_order_and_any_repeats_come_to_the_same(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, broadcast("b", 0..20)).await;
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.accept(one).await;
    }
    let statuses = [ReceiptStatus::Sent, ReceiptStatus::Delivered, ReceiptStatus::Read];
    let mut receipts: Vec<Receipt> = Vec::new();
    for _ in 0..3 {
        receipts.extend(sending.iter().flat_map(|one| statuses.map(|status| receipt(one, status, LATER))));
    }
    fastrand::shuffle(&mut receipts);
    for event in receipts.chunks(7) {
        receive(store, event.to_vec()).await;
    }
    assert_eq!(states(store, job_id).await, [Read; 20]);
    assert_adds_up(store).await;
}

async fn a_receipt_is_told_with_its_attempt_and_its_times(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    store.append_event(PROVIDER, "{}", None).await.unwrap();
    ledger.clock().advance_ms(250);
    let report = Report::Receipt(receipt(&sending, ReceiptStatus::Sent, START_MS - 1_000));
    let applied = store.apply_events(100, &policy(), |_| Ok(vec![report.clone()])).await.unwrap();
    assert_eq!(applied.waited, [250]);
    let heard = Heard {
        message_id: sending.id,
        number: 1,
        job_id: store.job_id(TENANT, "b").await.unwrap().unwrap(),
        of_broadcast: true,
        status: ReceiptStatus::Sent,
        happened_at: START_MS - 1_000,
        received_at: START_MS,
    };
    assert_eq!(applied.heard, [heard]);
}

async fn a_receipt_may_come_before_the_answer(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    receive(store, [receipt(&sending, ReceiptStatus::Delivered, LATER)]).await;
    assert_eq!(state(store, sending.id).await, Delivered);
    courier.accept(&sending).await;
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].outcome.as_deref()), (Delivered, Some("accepted")));
}

async fn a_receipt_is_matched_by_the_providers_id(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    for opaque in [None, Some("k1.1.1.AAAAAAAAAAAAAAAA".to_owned()), Some("of another program".to_owned())] {
        receive(store, [Receipt { opaque, ..receipt(&sending, ReceiptStatus::Sent, LATER) }]).await;
        assert_eq!(state(store, sending.id).await, Sent);
    }
}

async fn an_unknown_receipt_is_kept_until_its_message_is_known(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let early = Receipt { opaque: None, ..receipt(&sending, ReceiptStatus::Delivered, LATER) };
    let applied = receive(store, [early.clone()]).await;
    assert_eq!((applied.receipts, applied.unmatched), (0, 1));
    receive(store, [early]).await;
    assert_eq!(store.apply_kept_receipts(0, 10, &policy(), |_| None).await.unwrap(), 0);
    assert_eq!(state(store, sending.id).await, InSending);

    courier.accept(&sending).await;
    assert_eq!(store.apply_kept_receipts(START_MS, 10, &policy(), |_| None).await.unwrap(), 0, "received before then");
    assert_eq!(store.apply_kept_receipts(0, 10, &policy(), |_| None).await.unwrap(), 1);
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].delivered_at), (Delivered, Some(LATER)));
    assert_eq!(store.apply_kept_receipts(0, 10, &policy(), |_| None).await.unwrap(), 0);
}

async fn a_failure_ends_a_message_and_may_block_its_recipient(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    let waiting = planned(store, send("waiting", 0)).await;
    let failed = Receipt { outcome: Some(window_closed()), ..receipt(&sending, ReceiptStatus::Failed, LATER) };
    receive(store, [receipt(&sending, ReceiptStatus::Sent, LATER), failed]).await;
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].outcome.as_deref()), (Blocked, Some("blocked")));
    assert_eq!((after.attempts[0].code, after.attempts[0].failed_at), (Some(131_047), Some(LATER)));
    assert_eq!(reasons(store, waiting).await, [Some("recipient_blocked".to_owned())]);
    assert_eq!(store.recipient(TENANT, &phone(0)).await.unwrap().blocks.len(), 1);

    planned(store, broadcast("other", 1..2)).await;
    let other = courier.send_one(&sender).await;
    courier.accept(&other).await;
    receive(store, [receipt(&other, ReceiptStatus::Failed, LATER)]).await;
    assert_eq!(state(store, other.id).await, Failed, "also where the provider gives no code");
    assert_adds_up(store).await;
}

async fn a_late_failure_does_not_undo_a_delivery(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    let failed = Receipt { outcome: Some(window_closed()), ..receipt(&sending, ReceiptStatus::Failed, LATER) };
    for _ in 0..2 {
        receive(store, [receipt(&sending, ReceiptStatus::Delivered, LATER), failed.clone()]).await;
        assert_eq!(state(store, sending.id).await, Delivered);
        receive(store, [failed.clone(), receipt(&sending, ReceiptStatus::Delivered, LATER)]).await;
    }
    assert!(store.recipient(TENANT, &phone(0)).await.unwrap().blocks.is_empty());
}

async fn a_receipt_settles_doubt(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    assert_eq!(state(store, sending.id).await, InDoubt);
    let applied = receive(store, [receipt(&sending, ReceiptStatus::Sent, LATER)]).await;
    assert_eq!((applied.doubts_settled, state(store, sending.id).await), (1, Sent));
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap(), kabar_store::DoubtsSettled::default());
}

/// A message whose doubt ended in sending it again, and waits for that.
async fn believed_absent(ledger: &TestLedger) -> Sending {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, with(broadcast("b", 0..1), json!({"on_doubt": "resend"}))).await;
    let sending = courier.send_one(&sender).await;
    courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap().resent, 1);
    assert_eq!(state(store, sending.id).await, Queued);
    sending
}

async fn a_receipt_calls_back_what_was_believed_absent(ledger: TestLedger) {
    let sending = believed_absent(&ledger).await;
    let store = ledger.store();
    let sender = store.sender(TENANT, "default").await.unwrap();
    let courier = Courier::of(store).await;
    let claimed = courier.claim(&sender).await;
    receive(store, [receipt(&sending, ReceiptStatus::Sent, LATER)]).await;
    assert_eq!(state(store, sending.id).await, Sent);
    assert!(courier.start(&sender, &claimed).await.is_empty(), "it is not sent twice");
    assert_adds_up(store).await;
}

/// How a message may end that waits to be sent again: a person cancels it, its time runs out, its recipient is blocked.
const ENDS: [MessageState; 3] = [Cancelled, Expired, Skipped];

/// Messages of which one attempt each was believed absent, and which then ended in these states.
async fn believed_absent_and_ended(ledger: &TestLedger) -> Vec<(MessageState, Sending)> {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    for (number, state) in ENDS.into_iter().enumerate() {
        let expires = (state == Expired).then(|| instant(START_MS + 2 * GRACE_MS));
        let job = with(send(state.as_str(), number as u64), json!({"on_doubt": "resend", "expires_at": expires}));
        planned(store, job).await;
    }
    let sending = courier.send(&sender).await;
    for one in &sending {
        courier.settle(one, Outcome::in_doubt("no answer came")).await;
    }
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.settle_doubts(10).await.unwrap().resent, 3);
    store.cancel_reminder(TENANT, Cancelled.as_str(), "paid").await.unwrap();
    store.block(TENANT, &phone(2), Channel::Whatsapp, "asked by phone").await.unwrap();
    ledger.clock().advance_ms(GRACE_MS);
    assert_eq!(store.expire_messages(10).await.unwrap(), 1);
    let ended: Vec<_> = ENDS.into_iter().zip(sending).collect();
    for (end, one) in &ended {
        assert_eq!(state(store, one.id).await, *end);
    }
    ended
}

async fn a_receipt_tells_of_what_ended_while_it_was_believed_absent(ledger: TestLedger) {
    let store = ledger.store();
    for (end, sending) in believed_absent_and_ended(&ledger).await {
        let applied = receive(store, [receipt(&sending, ReceiptStatus::Sent, LATER)]).await;
        let after = story(store, sending.id).await;
        assert_eq!((after.state, after.reason), (Sent, None), "it was {end}");
        assert!(applied.sent_twice.is_empty(), "it was sent once");
        receive(store, [receipt(&sending, ReceiptStatus::Delivered, LATER)]).await;
        assert_eq!(state(store, sending.id).await, Delivered);
    }
    assert_adds_up(store).await;
}

async fn a_failure_of_what_ended_while_it_was_believed_absent_is_told_and_not_tried_again(ledger: TestLedger) {
    let store = ledger.store();
    for (end, sending) in believed_absent_and_ended(&ledger).await {
        let failed = |decision| Receipt {
            outcome: Some(outcome(decision, Scope::Message)),
            ..receipt(&sending, ReceiptStatus::Failed, LATER)
        };
        receive(store, [failed(Decision::Retry)]).await;
        assert_eq!(state(store, sending.id).await, end);
    }
    assert_adds_up(store).await;
}

async fn a_late_answer_tells_of_what_ended_while_it_was_believed_absent(ledger: TestLedger) {
    let ended = believed_absent_and_ended(&ledger).await;
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    for (end, sending) in ended {
        courier.accept(&sending).await;
        assert_eq!(state(store, sending.id).await, Accepted, "it was {end}");
    }
    assert_adds_up(store).await;
}

async fn a_receipt_for_what_was_sent_again_is_told_of_once(ledger: TestLedger) {
    let sending = believed_absent(&ledger).await;
    let store = ledger.store();
    let sender = store.sender(TENANT, "default").await.unwrap();
    let courier = Courier::of(store).await;
    let again = courier.send_one(&sender).await;
    courier.accept(&again).await;
    let failed = receipt(&sending, ReceiptStatus::Failed, LATER);
    assert!(receive(store, [failed]).await.sent_twice.is_empty(), "then only one arrived");
    let late = [receipt(&sending, ReceiptStatus::Sent, LATER), receipt(&sending, ReceiptStatus::Delivered, LATER)];
    assert_eq!(receive(store, late.clone()).await.sent_twice, [sending.id]);
    assert!(receive(store, late).await.sent_twice.is_empty());
    assert_eq!(state(store, sending.id).await, Accepted);
}

/// A secret of one sender speaks for that sender, also where the message is not known yet.
async fn a_kept_receipt_settles_no_other_senders_message(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let early = Receipt { opaque: None, ..receipt(&sending, ReceiptStatus::Delivered, LATER) };
    let foreign = Receipt {
        sender_address: "elsewhere".to_owned(),
        opaque: None,
        ..receipt(&sending, ReceiptStatus::Failed, LATER)
    };
    assert_eq!(receive(store, [foreign.clone()]).await.unmatched, 1);
    courier.accept(&sending).await;
    assert_eq!(store.apply_kept_receipts(0, 10, &policy(), |_| None).await.unwrap(), 1);
    assert_eq!(state(store, sending.id).await, Accepted);
    assert_eq!(receive(store, [foreign]).await.receipts, 1);
    assert_eq!(state(store, sending.id).await, Accepted);
    receive(store, [early]).await;
    assert_eq!(state(store, sending.id).await, Delivered);
}

async fn a_kept_failure_ends_its_message_with_a_reason(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    let early = Receipt {
        opaque: None,
        outcome: Some(Outcome { code: Some(7), ..outcome(Decision::Failed, Scope::Message) }),
        ..receipt(&sending, ReceiptStatus::Failed, LATER)
    };
    receive(store, [early]).await;
    courier.accept(&sending).await;
    assert_eq!(store.apply_kept_receipts(0, 10, &policy(), |_| None).await.unwrap(), 1);
    let after = story(store, sending.id).await;
    assert_eq!((after.state, after.attempts[0].code), (Failed, Some(7)));
    assert!(after.reason.unwrap().contains("will not arrive"));
}

/// Whatever the error table says of a code holds for failed receipts as it does for answers.
async fn each_decision_about_a_failed_receipt_has_its_effect(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    for (number, (decision, scope, expected, sender_is)) in [
        (Decision::Throttled, Scope::Sender, Queued, "parked"),
        (Decision::Throttled, Scope::Pair, Queued, "active"),
        (Decision::Retry, Scope::Message, Queued, "active"),
        (Decision::Failed, Scope::Message, Failed, "active"),
        (Decision::Failed, Scope::Recipient, Failed, "active"),
        (Decision::Blocked, Scope::Recipient, Blocked, "active"),
        (Decision::OptedOut, Scope::Recipient, Failed, "active"),
        (Decision::TemplatePaused, Scope::Template, Queued, "active"),
        (Decision::TemplateDisabled, Scope::Template, Failed, "active"),
        (Decision::Halt, Scope::Sender, Queued, "halted"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("s{number}");
        let sender = store.add_sender(TENANT, &new_sender(&name, rate(20))).await.unwrap();
        let to = number as u64;
        planned(store, with(send(&name, to), json!({"sender": name}))).await;
        let sending = courier.send_one(&sender).await;
        courier.accept(&sending).await;
        let failed = Receipt {
            sender_address: format!("address-{name}"),
            outcome: Some(outcome(decision, scope)),
            ..receipt(&sending, ReceiptStatus::Failed, LATER)
        };
        receive(store, [failed]).await;
        let what = format!("{decision:?} for the {scope:?}");
        let after = story(store, sending.id).await;
        assert_eq!(after.state, expected, "{what}");
        assert_eq!(after.attempts[0].failed_at, Some(LATER), "{what}");
        let status = store.status(TENANT).await.unwrap().senders;
        assert_eq!(status.iter().find(|sender| sender.name == name).unwrap().state, sender_is, "{what}");
        let person = store.recipient(TENANT, &phone(to)).await.unwrap();
        let effects = (!person.blocks.is_empty(), !person.opt_outs.is_empty(), person.unreachable_at.is_some());
        let expected = match (decision, scope) {
            (Decision::Blocked, _) => (true, false, false),
            (Decision::OptedOut, _) => (false, true, false),
            (Decision::Failed, Scope::Recipient) => (false, false, true),
            _ => (false, false, false),
        };
        assert_eq!(effects, expected, "{what}");
    }
    assert_adds_up(store).await;
}

async fn codes_of_failures_are_counted(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    courier.accept(&sending).await;
    let failed = Receipt { outcome: Some(window_closed()), ..receipt(&sending, ReceiptStatus::Failed, LATER) };
    let applied = receive(ledger.store(), [failed, receipt(&sending, ReceiptStatus::Sent, LATER)]).await;
    assert_eq!(applied.codes, [(PROVIDER.to_owned(), 131_047)]);
}

async fn a_failure_calls_back_what_was_believed_absent(ledger: TestLedger) {
    let sending = believed_absent(&ledger).await;
    let store = ledger.store();
    let failed = Receipt { outcome: Some(window_closed()), ..receipt(&sending, ReceiptStatus::Failed, LATER) };
    receive(store, [failed]).await;
    assert_eq!(state(store, sending.id).await, Blocked);
    assert_eq!(store.recipient(TENANT, &phone(0)).await.unwrap().blocks.len(), 1);
    assert_adds_up(store).await;
}

async fn a_receipt_of_an_older_attempt_is_kept_on_it(ledger: TestLedger) {
    let first = believed_absent(&ledger).await;
    let store = ledger.store();
    let courier = Courier::of(store).await;
    let second = courier.send_one(&store.sender(TENANT, "default").await.unwrap()).await;
    receive(store, [receipt(&first, ReceiptStatus::Read, LATER)]).await;
    let after = story(store, first.id).await;
    assert_eq!((after.state, after.attempts[0].read_at, after.attempts[1].read_at), (InSending, Some(LATER), None));
    courier.accept(&second).await;
    assert_eq!(state(store, second.id).await, Accepted);
}

async fn events_are_applied_once(ledger: TestLedger) {
    const EVENTS: usize = 60;
    let stores = [ledger.store().clone(), another(&ledger).await];
    for number in 0..EVENTS {
        stores[0].append_event(PROVIDER, &number.to_string(), None).await.unwrap();
    }
    let seen = std::sync::Mutex::new(Vec::new());
    let apply = async |store: &kabar_store::Store| {
        for _ in 0..EVENTS {
            let read = |event: &kabar_store::NewEvent| {
                seen.lock().unwrap().push(event.body.parse::<usize>().unwrap());
                Ok(Vec::new())
            };
            store.apply_events(5, &policy(), read).await.unwrap();
        }
    };
    tokio::join!(apply(&stores[0]), apply(&stores[1]));
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..EVENTS).collect::<Vec<_>>());
}

async fn an_unreadable_event_stops_nothing(ledger: TestLedger) {
    let store = ledger.store();
    for body in ["bad", "good"] {
        store.append_event(PROVIDER, body, None).await.unwrap();
    }
    let notice =
        Report::Notice(Notice { account: "A".to_owned(), kind: "quality".to_owned(), detail: "low".to_owned() });
    let applied = store
        .apply_events(10, &policy(), |event| match event.body.as_str() {
            "good" => Ok(vec![notice.clone()]),
            _ => Err("no JSON\0".to_owned()),
        })
        .await
        .unwrap();
    assert_eq!((applied.events, applied.unreadable, applied.notices), (2, 1, vec!["quality: low".to_owned()]));
    assert_eq!(store.apply_events(10, &policy(), |_| Ok(Vec::new())).await.unwrap().events, 0);
    assert_eq!(raw_texts(&ledger, "select body from events where state = 'unreadable'").await, ["bad"]);
}

async fn a_signature_speaks_for_its_own_senders_alone(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.accept(&sending).await;
    let reports =
        vec![Report::Receipt(receipt(&sending, ReceiptStatus::Read, LATER)), Report::Inbound(inbound("w1", LATER))];
    let allowed = ["another address".to_owned()];
    store.append_event(PROVIDER, "{}", Some(&allowed)).await.unwrap();
    let applied = store.apply_events(10, &policy(), |_| Ok(reports.clone())).await.unwrap();
    assert_eq!((applied.receipts, applied.inbound, applied.notices.len()), (0, 0, 2));
    assert_eq!(state(store, sending.id).await, Accepted);
    let allowed = ["address-default".to_owned()];
    store.append_event(PROVIDER, "{}", Some(&allowed)).await.unwrap();
    let read = |event: &kabar_store::NewEvent| {
        assert_eq!(event.allowed.as_deref(), Some(&allowed[..]));
        Ok(reports.clone())
    };
    let applied = store.apply_events(10, &policy(), read).await.unwrap();
    assert_eq!((applied.receipts, applied.inbound), (1, 1));
}

/// A message from the person with number 0.
pub(super) fn inbound(id: &str, at: i64) -> Inbound {
    Inbound {
        sender_address: "address-default".to_owned(),
        from: Some(phone(0)),
        provider_message_id: id.to_owned(),
        at: instant(at),
        kind: "text".to_owned(),
        text: Some("apa kabar".to_owned()),
    }
}

async fn an_inbound_message_is_kept_once(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    planned(store, send("s", 0)).await;
    let hidden = Inbound { from: None, ..inbound("w3", LATER) };
    let foreign = Inbound { sender_address: "elsewhere".to_owned(), ..inbound("w4", LATER) };
    let newer = inbound("w1", LATER);
    let older = inbound("w2", START_MS);
    let all = [newer.clone(), older, newer, hidden, foreign].map(Report::Inbound).to_vec();
    assert_eq!(report(store, all).await.inbound, 5);
    assert_eq!(raw_texts(&ledger, "select body from inbound").await.len(), 4);
    assert_eq!(store.recipient(TENANT, &phone(0)).await.unwrap().last_inbound_at, Some(LATER));
}

/// Anyone may write to us: one odd character must not hold up all events for ever.
async fn an_inbound_message_with_a_nul_stops_nothing(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let odd = Inbound { text: Some("a\0b".to_owned()), ..inbound("w\0", LATER) };
    assert_eq!(report(store, vec![Report::Inbound(odd)]).await.inbound, 1);
    let odd = Receipt {
        sender_address: "address-default".to_owned(),
        provider_message_id: "wamid\0".to_owned(),
        opaque: Some("\0".to_owned()),
        status: ReceiptStatus::Failed,
        at: instant(LATER),
        outcome: Some(Outcome { meaning: "\0".to_owned(), ..outcome(Decision::Failed, Scope::Message) }),
    };
    assert_eq!(receive(store, [odd]).await.unmatched, 1);
}

async fn a_template_change_is_noted(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let template = json!({"name": "departure", "language": "id", "components": [{"type": "BODY", "text": "Halo"}]});
    store.put_template(TENANT, &Template::parse(template).unwrap()).await.unwrap();
    let change = |account: &str| {
        Report::Template(TemplateChange {
            account: account.to_owned(),
            name: "departure".to_owned(),
            language: "id".to_owned(),
            status: "DISABLED".to_owned(),
        })
    };
    let status = async || store.find_template(TENANT, "", "departure", "id").await.unwrap().unwrap().template.status;
    report(store, vec![change("another account")]).await;
    assert_eq!(status().await, "APPROVED");
    let applied = report(store, vec![change(&sender.account)]).await;
    assert_eq!((status().await.as_str(), applied.notices.len()), ("DISABLED", 1));
}

/// What may come of one attempt, in any order: the answer to its request and receipts, some by the provider's id alone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Comes {
    Answer,
    Receipt { status: ReceiptStatus, named: bool },
}

fn comes() -> impl Strategy<Value = Vec<Comes>> {
    use ReceiptStatus::{Delivered, Failed, Read, Sent as WasSent};
    let status = proptest::sample::select(vec![WasSent, Delivered, Read, Failed]);
    let receipt = (status, any::<bool>()).prop_map(|(status, named)| Comes::Receipt { status, named });
    proptest::collection::vec(receipt, 0..8).prop_flat_map(|mut receipts| {
        receipts.push(Comes::Answer);
        Just(receipts).prop_shuffle()
    })
}

/// The state after all of it, in events of up to `together`.
async fn ends_as(comes: &[Comes], in_doubt: bool, together: usize) -> MessageState {
    let ledger = TestLedger::sqlite().await;
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    if in_doubt {
        courier.settle(&sending, Outcome::in_doubt("no answer came")).await;
    }
    for events in comes.chunks(together) {
        let receipts = events.iter().filter_map(|one| match *one {
            Comes::Receipt { status, named } => {
                let known = receipt(&sending, status, START_MS);
                Some(Receipt { opaque: known.opaque.clone().filter(|_| named), ..known })
            }
            Comes::Answer => None,
        });
        receive(store, receipts).await;
        if events.contains(&Comes::Answer) {
            courier.accept(&sending).await;
        }
        store.apply_kept_receipts(0, 100, &policy(), |_| None).await.unwrap();
        assert_adds_up(store).await;
    }
    state(store, sending.id).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Answer and receipts come in any order, repeated, one by one or together, before or after their message is known.
    #[test]
    fn whatever_the_order_it_comes_to_the_same(
        comes in comes(), again in comes(), in_doubt in any::<bool>(), together in 1..4_usize,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let told = |comes: &[Comes]| comes.iter().fold(MessageState::Accepted, |state, one| match one {
            Comes::Receipt { status, .. } => state.after_receipt(*status).unwrap_or(state),
            Comes::Answer => state,
        });
        let all: Vec<Comes> = comes.iter().chain(&again).copied().collect();
        let expected = told(&all);
        prop_assert_eq!(runtime.block_on(ends_as(&all, in_doubt, together)), expected);
    }
}
