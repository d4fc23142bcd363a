//! People who say STOP and START: in their own words, by a button, in their settings, or through somebody who writes it down.

use kabar_domain::message::MessageState;
use kabar_store::{Clock, DEFAULT_TENANT, SystemClock};
use kabar_tests::{
    FleetOptions, Home, TestFleet, eventually,
    guests::{digits, phone},
    sandbox::PHONE_NUMBER_ID,
};
use serde_json::{Value, json};

use crate::support::{WITHIN, all_with_provider, broadcast, message_is, number, send, with};

async fn opt_outs(fleet: &TestFleet, index: usize) -> usize {
    let recipient = fleet.store().recipient(DEFAULT_TENANT, &number(&phone(index))).await;
    recipient.map_or(0, |recipient| recipient.opt_outs.len())
}

/// A broadcast that is due long after the test.
fn later(id: &str, count: usize) -> Value {
    with(broadcast(id, count), &[("send_at", json!("2099-01-01T00:00:00Z"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_marketing_at_once_and_start_brings_it_back() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let waiting = fleet.enqueue(later("waits", 2)).await;
    fleet.counts_where(waiting, WITHIN, |counts| counts.get(MessageState::Queued) == 2).await;
    fleet.sandbox.send_inbound(&digits(0), " Berhenti! ").await;
    fleet.counts_where(waiting, WITHIN, |counts| counts.get(MessageState::Skipped) == 1).await;
    let next = fleet.enqueue(broadcast("next", 2)).await;
    all_with_provider(&fleet, next, 1).await;
    let reminder = fleet.enqueue(send("reminder", &phone(0))).await;
    all_with_provider(&fleet, reminder, 1).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let shown = home.kabar(&["recipient", "show", &phone(0)]).await.success().stdout;
    assert!(shown.contains("of marketing on whatsapp") && shown.contains("their message"), "{shown}");
    let skipped = fleet.store().messages_of_job(waiting, 0, 2).await.unwrap().remove(0);
    let shown = home.kabar(&["message", "show", &skipped.id.to_string()]).await.success().stdout;
    assert!(shown.contains("the person opted out"), "{shown}");

    // Webhooks tell time in whole seconds, and of one second the opt-out counts.
    let said = SystemClock.now_ms();
    eventually(WITHIN, async || SystemClock.now_ms() / 1_000 > said / 1_000).await;
    fleet.sandbox.send_inbound(&digits(0), "mulai").await;
    eventually(WITHIN, async || opt_outs(&fleet, 0).await == 0).await;
    let again = fleet.enqueue(broadcast("again", 2)).await;
    all_with_provider(&fleet, again, 2).await;
    fleet.shutdown().await;
}

/// An event of one inbound message or one preference, as the platform posts it.
fn event(field: &str, list: &str, piece: Value) -> String {
    let mut value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550000000", "phone_number_id": PHONE_NUMBER_ID}});
    value[list] = json!([piece]);
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": "100000000000001", "changes": [{"field": field, "value": value}]}]})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_list_entries_and_settings_of_the_chat_count_too() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let interactive = |kind: &str| {
        let mut reply = json!({"type": kind});
        reply[kind] = json!({"id": "x", "title": "Stop promotions"});
        reply
    };
    for (index, (kind, content)) in [
        ("button", json!({"payload": "x", "text": "STOP"})),
        ("interactive", interactive("button_reply")),
        ("interactive", interactive("list_reply")),
        ("image", json!({"id": "1", "caption": "STOP"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = json!({"id": format!("wamid.{index}"), "from": digits(index), "timestamp": "1796083200",
            "type": kind});
        message[kind] = content;
        fleet.store().append_event("whatsapp_cloud", &event("messages", "messages", message), None).await.unwrap();
    }
    for (index, (value, at)) in [("stop", 100), ("resume", 200), ("stop", 150)].into_iter().enumerate() {
        let preference = json!({"wa_id": digits(9), "category": "marketing_messages", "value": value,
            "timestamp": 1_796_083_200 + at, "detail": format!("{index}")});
        let event = event("user_preferences", "user_preferences", preference);
        fleet.store().append_event("whatsapp_cloud", &event, None).await.unwrap();
    }
    let stop =
        json!({"wa_id": digits(8), "category": "marketing_messages", "value": "stop", "timestamp": 1_796_083_200});
    let event = event("user_preferences", "user_preferences", stop);
    fleet.store().append_event("whatsapp_cloud", &event, None).await.unwrap();
    // Events are applied in their order: once the last is, all are.
    eventually(WITHIN, async || opt_outs(&fleet, 8).await == 1).await;
    let mut found = Vec::new();
    for index in [0, 1, 2, 3, 9] {
        found.push(opt_outs(&fleet, index).await);
    }
    assert_eq!(found, [1, 1, 1, 0, 0]);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_opted_out_and_in_on_the_command_line() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let to = phone(0);
    let said = home.kabar(&["recipient", "opt-out", &to, "--all", "--reason", "asked by mail"]).await.success().stdout;
    assert!(said.contains("of everything"), "{said}");
    let refused = fleet.enqueue(send("refused", &to)).await;
    let story = message_is(&fleet, refused, &[MessageState::Skipped]).await;
    assert_eq!(story.reason.as_deref(), Some("opted_out"));
    let shown = home.kabar(&["recipient", "show", &to, "--json"]).await.success().json();
    assert_eq!(
        (&shown["opt_outs"][0]["covers"], &shown["opt_outs"][0]["source"]),
        (&json!("all"), &json!("asked by mail"))
    );
    let said = home.kabar(&["recipient", "opt-in", &to, "--json"]).await.success().json();
    assert_eq!(said["lifted"], true, "{said}");
    let sent = fleet.enqueue(send("sent", &to)).await;
    all_with_provider(&fleet, sent, 1).await;
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_and_what_they_cover_are_settings() {
    let settings = vec![("people.stop_words", "GENUG".to_owned()), ("people.stop_words_cover", "all".to_owned())];
    let fleet = TestFleet::start(FleetOptions { settings, ..FleetOptions::default() }, |_| {}).await;
    fleet.sandbox.send_inbound(&digits(1), "STOP").await;
    fleet.sandbox.send_inbound(&digits(0), "Genug!").await;
    eventually(WITHIN, async || opt_outs(&fleet, 0).await == 1).await;
    let refused = fleet.enqueue(send("refused", &phone(0))).await;
    message_is(&fleet, refused, &[MessageState::Skipped]).await;
    let sent = fleet.enqueue(broadcast("sent", 2)).await;
    all_with_provider(&fleet, sent, 1).await;
    assert_eq!(opt_outs(&fleet, 1).await, 0);
    fleet.shutdown().await;
}
