//! A recipient who may not be sent to: known from an answer or a receipt, kept from then on, lifted when they write.

use kabar_domain::message::MessageState;
use kabar_store::{Clock, DEFAULT_TENANT, SystemClock};
use kabar_tests::{
    FleetOptions, Home, TestFleet, eventually,
    guests::{accepted, digits, phone},
    sandbox::PHONE_NUMBER_ID,
};
use serde_json::json;

use crate::support::{WITHIN, all_with_provider, message_is, number, send, with};

/// The sandbox answers 131047 to whatever is for this number.
const BLOCKED: &str = "+15550102";
/// The sandbox takes over what is for this number, and reports later that it failed with 131026.
const UNDELIVERABLE: &str = "+15550101";

/// A job that is due long after the test.
fn later(id: &str, to: &str) -> serde_json::Value {
    with(send(id, to), &[("send_at", json!("2099-01-01T00:00:00Z"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_131047_blocks_the_recipient_and_skips_what_waits_for_them() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let waiting = fleet.enqueue(later("waits", BLOCKED)).await;
    message_is(&fleet, waiting, &[MessageState::Queued]).await;
    let job = fleet.enqueue(send("meets", BLOCKED)).await;
    let story = message_is(&fleet, job, &[MessageState::Blocked]).await;
    assert_eq!(story.attempts.last().and_then(|attempt| attempt.code), Some(131_047), "{story:?}");
    let skipped = message_is(&fleet, waiting, &[MessageState::Skipped]).await;
    assert_eq!(skipped.reason.as_deref(), Some("recipient_blocked"));
    let next = fleet.enqueue(send("comes-after", BLOCKED)).await;
    let next = message_is(&fleet, next, &[MessageState::Skipped]).await;
    assert!(next.attempts.is_empty(), "{next:?}");
    assert_eq!(fleet.sandbox.counters().received, 1, "the provider is asked once");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_why_and_since_when_somebody_is_blocked() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let job = fleet.enqueue(send("meets", BLOCKED)).await;
    message_is(&fleet, job, &[MessageState::Blocked]).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let shown = home.kabar(&["recipient", "show", BLOCKED]).await.success().stdout;
    assert!(shown.contains("131047") && shown.contains("blocked") && shown.contains("20"), "{shown}");
    let shown = home.kabar(&["recipient", "show", BLOCKED, "--json"]).await.success().json();
    let block = shown.pointer("/blocks/0").unwrap_or_else(|| panic!("no block in {shown}"));
    assert_eq!(block["code"], 131_047, "{shown}");
    assert!(block["reason"].as_str().is_some_and(|reason| reason.contains("24-hour")), "{shown}");
    assert!(block["blocked_at"].as_str().is_some_and(|since| since.contains('T')), "{shown}");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_131047_blocks_the_recipient_too() {
    let fleet = TestFleet::start(FleetOptions { receipts: false, ..FleetOptions::default() }, |_| {}).await;
    let waiting = fleet.enqueue(later("waits", &phone(0))).await;
    let job = fleet.enqueue(send("meets", &phone(0))).await;
    message_is(&fleet, job, &[MessageState::Accepted]).await;
    let arrival = fleet.sandbox.arrivals().remove(0);
    let event = json!({"object": "whatsapp_business_account", "entry": [{"id": "100000000000001", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550000000", "phone_number_id": PHONE_NUMBER_ID},
            "statuses": [{"id": arrival.wamid, "status": "failed", "recipient_id": digits(0),
                "timestamp": seconds().to_string(), "biz_opaque_callback_data": arrival.opaque,
                "errors": [{"code": 131_047, "title": "Re-engagement message"}]}]}}]}]});
    fleet.store().append_event("whatsapp_cloud", &event.to_string(), None).await.unwrap();
    message_is(&fleet, job, &[MessageState::Blocked]).await;
    let skipped = message_is(&fleet, waiting, &[MessageState::Skipped]).await;
    assert_eq!(skipped.reason.as_deref(), Some("recipient_blocked"));
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_131026_fails_the_message_and_blocks_nobody() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let job = fleet.enqueue(send("lost", UNDELIVERABLE)).await;
    let story = message_is(&fleet, job, &[MessageState::Failed]).await;
    assert!(story.reason.as_deref().unwrap_or_default().contains("delivered"), "{story:?}");
    let recipient = fleet.store().recipient(DEFAULT_TENANT, &number(UNDELIVERABLE)).await.unwrap();
    assert!(recipient.blocks.is_empty() && recipient.unreachable_at.is_some(), "{recipient:?}");
    assert_eq!(accepted(&fleet.sandbox.arrivals()).len(), 1);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbound_message_lifts_the_block() {
    let fleet = TestFleet::start(FleetOptions { receipts: false, ..FleetOptions::default() }, |config| {
        config.faults.fail_codes.insert(digits(0), 131_047);
    })
    .await;
    let job = fleet.enqueue(send("meets", &phone(0))).await;
    message_is(&fleet, job, &[MessageState::Blocked]).await;
    kabar_tests::sandbox::report_to(&fleet.sandbox, &fleet.gateway());
    fleet.sandbox.set_faults(kabar_sandbox::Faults::default());
    let blocks = async || fleet.store().recipient(DEFAULT_TENANT, &number(&phone(0))).await.unwrap().blocks;
    let since = blocks().await.first().map(|block| block.blocked_at).unwrap();
    // Webhooks tell time in whole seconds, and only a newer message lifts.
    eventually(WITHIN, async || seconds() * 1_000 > since).await;
    fleet.sandbox.send_inbound(&digits(0), "Ya?").await;
    eventually(WITHIN, async || blocks().await.is_empty()).await;
    let again = fleet.enqueue(send("again", &phone(0))).await;
    all_with_provider(&fleet, again, 1).await;
    fleet.shutdown().await;
}

fn seconds() -> i64 {
    SystemClock.now_ms() / 1_000
}
