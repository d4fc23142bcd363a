//! Webhooks as a receiver gets them. The receiver of these tests checks every signature.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::client::{NUMBER, Session, template, text};
use crate::support::receiver::Receiver;
use kabar_sandbox::{Faults, SandboxConfig};
use serde_json::{Value, json};

async fn with(receiver: &Receiver, delay_ms: u64, faults: Faults) -> Session {
    let webhook = Some(receiver.target(Duration::from_millis(delay_ms), 1.0));
    Session::start(SandboxConfig { webhook, faults, ..SandboxConfig::default() }).await
}

/// The statuses of each message in the order in which they came.
fn courses(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut courses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for status in receiver.statuses() {
        let word = |field: &str| status[field].as_str().unwrap().to_owned();
        courses.entry(word("id")).or_default().push(word("status"));
    }
    courses
}

#[tokio::test]
async fn a_message_is_sent_delivered_and_read() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 5, Faults::default()).await;
    let mut body = template("+1 555-0100", "anything", &[]);
    body["biz_opaque_callback_data"] = json!("attempt-1");
    let (_, answer) = session.post(&body).await;
    session.sandbox.webhooks_idle().await;

    let statuses = receiver.statuses();
    let words: Vec<&str> = statuses.iter().map(|status| status["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["sent", "delivered", "read"]);
    for status in &statuses {
        assert_eq!(status["id"], answer["messages"][0]["id"]);
        assert_eq!(status["recipient_id"], "15550100");
        assert_eq!(status["biz_opaque_callback_data"], "attempt-1");
        assert!(status["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    }
    assert_eq!(statuses[0]["pricing"]["category"], "utility");
    let value = &receiver.values()[0];
    assert_eq!(value["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(receiver.bodies()[0]["entry"][0]["id"], SandboxConfig::default().waba_id);
    let counters = session.sandbox.counters();
    assert_eq!(counters.webhook_updates_posted, 3);
    assert_eq!(counters.webhooks_posted, receiver.bodies().len() as u64);
}

#[tokio::test]
async fn an_undeliverable_message_fails_later() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 0, Faults::default()).await;
    assert_eq!(session.send_text("+1 555-0101").await.0, 200);
    session.sandbox.webhooks_idle().await;
    let statuses = receiver.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0]["status"], "failed");
    assert_eq!(statuses[0]["errors"][0]["code"], 131_026);
    assert_eq!(statuses[0]["errors"][0]["title"], "Message undeliverable");
}

#[tokio::test]
async fn statuses_follow_a_message_whose_answer_was_withheld() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 0, Faults { drop_after_accept_share: 1.0, ..Faults::default() }).await;
    let mut body = text("15550100");
    body["biz_opaque_callback_data"] = json!("attempt-9");
    assert!(session.try_post(&body).await.is_err());
    session.sandbox.webhooks_idle().await;
    assert_eq!(receiver.statuses()[0]["biz_opaque_callback_data"], "attempt-9");
}

#[tokio::test]
async fn refused_posts_are_tried_again_and_keep_their_order() {
    let receiver = Receiver::start(3).await;
    let session = with(&receiver, 1, Faults::default()).await;
    for n in 0..20 {
        session.send_text(&format!("62812000{n:04}")).await;
    }
    session.sandbox.webhooks_idle().await;
    let courses = courses(&receiver);
    assert_eq!(courses.len(), 20);
    assert!(courses.values().all(|course| course == &["sent", "delivered", "read"]));
    let counters = session.sandbox.counters();
    assert_eq!((counters.webhook_posts_failed, counters.webhook_updates_posted), (3, 60));
}

#[tokio::test]
async fn what_piles_up_is_posted_in_batches() {
    let dead = Receiver::start(u32::MAX).await;
    let session = with(&dead, 0, Faults::default()).await;
    for n in 0..500 {
        assert_eq!(session.send_text(&format!("62812000{n:04}")).await.0, 200);
    }
    // All 1,500 updates wait behind the first post, which a new target lets go on.
    let alive = Receiver::start(0).await;
    session.sandbox.set_webhook(Some(alive.target(Duration::ZERO, 1.0)));
    session.sandbox.webhooks_idle().await;
    let sizes: Vec<usize> = alive.values().iter().map(|value| value["statuses"].as_array().unwrap().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1_500);
    assert!(sizes.iter().all(|size| *size <= 1_000) && sizes.contains(&1_000), "{sizes:?}");
    assert!(courses(&alive).values().all(|course| course == &["sent", "delivered", "read"]));
}

#[tokio::test]
async fn statuses_are_lost_and_doubled_as_told() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 0, Faults { webhook_loss_share: 1.0, ..Faults::default() }).await;
    session.send_text("15550100").await;
    session.sandbox.webhooks_idle().await;
    assert!(receiver.bodies().is_empty());
    assert_eq!(session.sandbox.counters().webhook_updates_lost, 3);

    session.sandbox.set_faults(Faults { webhook_duplicate_share: 1.0, ..Faults::default() });
    session.send_text("15550100").await;
    session.sandbox.webhooks_idle().await;
    assert_eq!(receiver.statuses().len(), 6);
}

#[tokio::test]
async fn messages_whose_statuses_came_are_known_by_their_ids() {
    let receiver = Receiver::start(0).await;
    let webhook = Some(receiver.target(Duration::ZERO, 1.0));
    let config = SandboxConfig { webhook, record_arrivals: true, ..SandboxConfig::default() };
    let session = Session::start(config).await;
    session.send_text("15550100").await;
    session.sandbox.webhooks_idle().await;
    session.sandbox.set_faults(Faults { webhook_loss_share: 1.0, ..Faults::default() });
    session.send_text("15550199").await;
    session.sandbox.webhooks_idle().await;
    let told = session.sandbox.arrivals()[0].wamid.clone().unwrap();
    assert_eq!(session.sandbox.reported().into_iter().collect::<Vec<_>>(), [told]);
}

#[tokio::test]
async fn shuffled_statuses_come_in_any_order() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 0, Faults { webhook_shuffle: true, ..Faults::default() }).await;
    for n in 0..50 {
        session.send_text(&format!("62812000{n:04}")).await;
    }
    session.sandbox.webhooks_idle().await;
    let courses = courses(&receiver);
    assert!(courses.values().all(|course| course.len() == 3));
    assert!(courses.values().any(|course| course != &["sent", "delivered", "read"]));
}

#[tokio::test]
async fn an_inbound_text_is_posted_before_the_call_returns() {
    let receiver = Receiver::start(1).await;
    let session = with(&receiver, 0, Faults { webhook_loss_share: 1.0, ..Faults::default() }).await;
    let id = session.sandbox.send_inbound_to("777", "+1 555-0100", "STOP").await;
    let messages = receiver.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["id"], id);
    assert_eq!(messages[0]["from"], "15550100");
    assert_eq!(messages[0]["type"], "text");
    assert_eq!(messages[0]["text"]["body"], "STOP");
    let value = &receiver.values()[0];
    assert_eq!(value["metadata"]["phone_number_id"], "777");
    assert_eq!(value["contacts"][0]["wa_id"], "15550100");

    session.send_text("15550100").await;
    session.sandbox.send_inbound("15550100", "hello").await;
    let numbers: Vec<Value> =
        receiver.values().iter().map(|value| value["metadata"]["phone_number_id"].clone()).collect();
    assert_eq!(numbers, ["777", NUMBER]);
}

#[tokio::test]
async fn without_a_target_nothing_waits() {
    let dead = Receiver::start(u32::MAX).await;
    let session = with(&dead, 600_000, Faults::default()).await;
    session.send_text("15550100").await;
    session.sandbox.set_webhook(None);
    session.sandbox.webhooks_idle().await;
    assert_eq!(session.sandbox.counters().webhook_updates_abandoned, 3);
    session.send_text("15550100").await;
    session.sandbox.send_inbound("15550100", "hello").await;
    session.sandbox.webhooks_idle().await;
    assert_eq!(session.sandbox.counters().webhook_updates_abandoned, 3);
}

#[tokio::test]
async fn each_status_takes_about_the_delay() {
    let receiver = Receiver::start(0).await;
    let session = with(&receiver, 40, Faults::default()).await;
    let before = Instant::now();
    session.send_text("15550100").await;
    session.sandbox.webhooks_idle().await;
    assert!(before.elapsed() >= Duration::from_millis(60), "three steps of at least half the delay");
    assert_eq!(receiver.statuses().len(), 3);
}
