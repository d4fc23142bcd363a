//! Reminders that are moved to another due date.

use kabar_domain::{
    content::Params,
    message::MessageState::{Accepted, Cancelled, Expired, Queued},
    outcome::{Decision, Scope},
    reminder::Part,
};
use kabar_store::{Enqueued, StoreError};
use kabar_tests::{TestLedger, on_both_ledgers};
use serde_json::{Value, json};

use super::fixtures::*;

on_both_ledgers!(
    what_has_not_left_is_taken_back_and_the_new_date_planned,
    what_was_sent_before_the_move_stays_and_is_said_again,
    what_is_being_sent_during_a_move_does_not_come_back,
    the_identity_of_a_moved_reminder_stays,
    a_reminder_that_is_over_is_not_moved,
    a_reminder_that_is_not_planned_yet_is_planned_for_the_new_date,
    values_may_change_with_the_date,
    payment_after_a_move_takes_all_back,
);

fn date(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

/// At 09:00 UTC; the ledger's clock begins on 1 December.
fn invoice(params: Value) -> Value {
    json!({"type": "reminder", "id": "r", "to": phone(1), "due": "2026-12-05", "before": ["3d", "1d", "0d"],
        "content": template(params)})
}

async fn told(store: &kabar_store::Store, job_id: i64) -> Vec<(u32, u16, kabar_domain::message::MessageState)> {
    let messages = store.messages_of_job(job_id, 0, 100).await.unwrap();
    messages.iter().map(|one| (Part::of(one.part).moves, Part::of(one.part).before.0, one.state)).collect()
}

async fn what_has_not_left_is_taken_back_and_the_new_date_planned(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!([{"date": "{due}"}]))).await;
    let moved = store.move_reminder(TENANT, "r", date("2026-12-03"), None).await.unwrap();
    assert_eq!((moved.cancelled, moved.planned.len(), moved.reminder.due), (3, 2, date("2026-12-03")));
    let expected = [(0, 0, Cancelled), (0, 1, Cancelled), (0, 3, Cancelled), (1, 0, Queued), (1, 1, Queued)];
    assert_eq!(told(store, job_id).await, expected);
    assert_eq!(reasons(store, job_id).await[0].as_deref(), Some("moved"));
    let contents = store.job_contents(&[job_id]).await.unwrap();
    let said = serde_json::to_value(&*contents[0].1.content).unwrap();
    assert_eq!(said["template"]["params"], json!(["3 Des 2026"]), "dates follow");
    let again = store.move_reminder(TENANT, "r", date("2026-12-03"), None).await.unwrap();
    assert_eq!((again.cancelled, again.planned.len()), (0, 2), "it stands there already");
    assert_adds_up(store).await;
}

async fn what_was_sent_before_the_move_stays_and_is_said_again(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!([]))).await;
    ledger.clock().advance_ms(DAY_MS + 9 * 60 * MINUTE_MS);
    let courier = Courier::of(store).await;
    courier.accept(&courier.send_one(&sender).await).await;
    let moved = store.move_reminder(TENANT, "r", date("2026-12-20"), None).await.unwrap();
    assert_eq!((moved.cancelled, moved.planned.len()), (2, 3));
    let now = told(store, job_id).await;
    assert_eq!(now[..3], [(0, 0, Cancelled), (0, 1, Cancelled), (0, 3, Accepted)]);
    assert_eq!(now[3..], [(1, 0, Queued), (1, 1, Queued), (1, 3, Queued)]);
    assert_adds_up(store).await;
}

async fn what_is_being_sent_during_a_move_does_not_come_back(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!([]))).await;
    ledger.clock().advance_ms(DAY_MS + 9 * 60 * MINUTE_MS);
    let courier = Courier::of(store).await;
    let sending = courier.send_one(&sender).await;
    store.move_reminder(TENANT, "r", date("2026-12-20"), None).await.unwrap();
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
    ledger.clock().advance_ms(60 * MINUTE_MS);
    store.expire_messages(10).await.unwrap();
    assert_eq!(told(store, job_id).await[2], (0, 3, Expired));
    assert_adds_up(store).await;
}

async fn the_identity_of_a_moved_reminder_stays(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!([]))).await;
    store.move_reminder(TENANT, "r", date("2026-12-20"), None).await.unwrap();
    let redelivered = store.enqueue(TENANT, &job(invoice(json!([])))).await.unwrap();
    assert_eq!(redelivered, Enqueued::Same { job_id }, "a redelivery changes nothing");
    assert_eq!(store.messages_of_job(job_id, 0, 100).await.unwrap().len(), 6);
    let other = job(with(invoice(json!([])), json!({"due": "2026-12-20"})));
    assert!(matches!(store.enqueue(TENANT, &other).await, Err(StoreError::DifferentJob(_))));
}

async fn a_reminder_that_is_over_is_not_moved(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    planned(store, invoice(json!([]))).await;
    store.cancel_reminder(TENANT, "r", "paid").await.unwrap();
    let refused = store.move_reminder(TENANT, "r", date("2026-12-20"), None).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(text) if text.contains("kabar reminder show r")), "{refused}");
    planned(store, send("s", 1)).await;
    for id in ["s", "none"] {
        let missing = store.move_reminder(TENANT, id, date("2026-12-20"), None).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }), "{id}");
    }
}

async fn a_reminder_that_is_not_planned_yet_is_planned_for_the_new_date(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = enqueue(store, invoice(json!([]))).await;
    assert_eq!(store.move_reminder(TENANT, "r", date("2026-12-02"), None).await.unwrap().planned.len(), 2);
    plan_all(store).await;
    assert_eq!(told(store, job_id).await, [(0, 0, Queued), (0, 1, Queued)]);
    assert_adds_up(store).await;
}

async fn values_may_change_with_the_date(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!(["5 Des 2026"]))).await;
    let params = |values: Value| Some(serde_json::from_value::<Params>(values).unwrap());
    let refused = store.move_reminder(TENANT, "r", date("2026-12-20"), params(json!([{"date": "soon"}]))).await;
    assert!(matches!(refused, Err(StoreError::Refused(text)) if text.contains("params[0]: is not a date")));
    store.move_reminder(TENANT, "r", date("2026-12-20"), params(json!(["20 Des 2026"]))).await.unwrap();
    let contents = store.job_contents(&[job_id]).await.unwrap();
    let said = serde_json::to_value(&*contents[0].1.content).unwrap();
    assert_eq!(said["template"]["params"], json!(["20 Des 2026"]));
    assert_eq!(told(store, job_id).await.len(), 6);
}

async fn payment_after_a_move_takes_all_back(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, invoice(json!([]))).await;
    store.move_reminder(TENANT, "r", date("2026-12-20"), None).await.unwrap();
    store.move_reminder(TENANT, "r", date("2026-12-21"), None).await.unwrap();
    assert_eq!(store.cancel_reminder(TENANT, "r", "paid").await.unwrap(), 3);
    assert_eq!(states(store, job_id).await, [Cancelled; 9]);
    assert_adds_up(store).await;
}
