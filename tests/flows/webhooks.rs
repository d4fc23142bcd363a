//! What is posted to the gateway: who may speak, for whom, and how much at once.

use std::io;

use kabar_domain::message::MessageState;
use kabar_sandbox::{Arrival, Faults, signature};
use kabar_store::{DEFAULT_TENANT, NewSender};
use kabar_tests::{
    FleetOptions, TestFleet, TestLedger, eventually, fleet,
    guests::{digits, phone},
    http,
    sandbox::{APP_SECRET, PHONE_NUMBER_ID},
};
use serde_json::{Value, json};

use crate::support::{WITHIN, all_with_provider, broadcast, message_is, number, send, sender_is, story};

/// The provider takes every message over and never says so, and reports nothing by itself.
async fn silent_fleet(faults: Faults) -> TestFleet {
    let options = FleetOptions { receipts: false, ..FleetOptions::default() };
    TestFleet::start(options, |config| config.faults = faults).await
}

/// One status of a message, as the platform writes it.
fn status(wamid: &str, status: &str, opaque: Option<&str>, code: Option<i64>) -> Value {
    let mut value = json!({"id": wamid, "status": status, "timestamp": "1796083200", "recipient_id": "6281200000000"});
    if let Some(opaque) = opaque {
        value["biz_opaque_callback_data"] = opaque.into();
    }
    if let Some(code) = code {
        value["errors"] = json!([{"code": code, "title": "an error"}]);
    }
    value
}

/// An event about one number with these changes, each a list of statuses.
fn event(number: &str, changes: &[Vec<Value>]) -> Value {
    let changes: Vec<Value> = changes
        .iter()
        .map(|statuses| {
            json!({"field": "messages", "value": {"messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550000000", "phone_number_id": number}, "statuses": statuses}})
        })
        .collect();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "100000000000001", "changes": changes}]})
}

/// Posts an event signed with `secret`; the gateway's status.
async fn post(fleet: &TestFleet, secret: &str, body: &str) -> u16 {
    try_post(fleet, secret, body).await.expect("the gateway answers")
}

async fn try_post(fleet: &TestFleet, secret: &str, body: &str) -> io::Result<u16> {
    let signed = signature(secret, body.as_bytes());
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", signed.as_str())];
    let answer = http::request(&fleet.gateway(), "POST", "/webhooks/whatsapp", &headers, body).await;
    answer.map(|answer| answer.status)
}

fn arrival(fleet: &TestFleet, index: usize) -> Arrival {
    let arrivals = fleet.sandbox.arrivals();
    arrivals.into_iter().find(|arrival| arrival.to == digits(index)).unwrap_or_else(|| panic!("nothing for {index}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_foreign_or_altered_settles_a_doubt() {
    let fleet = silent_fleet(Faults { drop_after_accept_share: 1.0, ..Faults::default() }).await;
    let other = NewSender {
        name: "other".to_owned(),
        address: "200000000000002".to_owned(),
        app_secret: Some("the other's own secret".to_owned()),
        ..fleet::sender(&fleet.sandbox, kabar_domain::pace::Rate::Unlimited)
    };
    fleet.store().add_sender(DEFAULT_TENANT, &other).await.expect("the sender can be added");
    let doubtful = fleet.enqueue(send("doubtful", &phone(0))).await;
    let last = fleet.enqueue(send("last", &phone(1))).await;
    for job in [doubtful, last] {
        message_is(&fleet, job, &[MessageState::InDoubt]).await;
    }
    let opaque = arrival(&fleet, 0).opaque.unwrap();
    let wamid = "wamid.unknown";
    let (name, mac) = opaque.rsplit_once('.').unwrap();
    let other_letter = if mac.starts_with('A') { "B" } else { "A" };
    let altered_mac = format!("{name}.{other_letter}{}", &mac[1..]);
    let mut parts: Vec<&str> = opaque.split('.').collect();
    let renamed = parts[1].parse::<i64>().unwrap() + 1;
    let renamed = renamed.to_string();
    parts[1] = &renamed;
    let (altered_message, shortened) = (parts.join("."), name.to_owned());
    // Another ledger's key makes other values for the same attempt.
    let foreign = TestLedger::sqlite().await;
    assert_eq!(foreign.store().attempt_of(&opaque), None);
    assert!(fleet.store().attempt_of(&opaque).is_some());

    let genuine = event(PHONE_NUMBER_ID, &[vec![status(wamid, "delivered", Some(&opaque), None)]]).to_string();
    assert_eq!(post(&fleet, "a guess", &genuine).await, 401);
    assert_eq!(http::post(&fleet.gateway(), "/webhooks/whatsapp", &[], &json!({})).await.unwrap().status, 401);
    for forged in [altered_mac.as_str(), &altered_message, &shortened, "k1.1.1.", "", "of another program"] {
        for kind in ["delivered", "failed"] {
            let forged = status(wamid, kind, Some(forged), Some(131_047));
            assert_eq!(post(&fleet, APP_SECRET, &event(PHONE_NUMBER_ID, &[vec![forged]]).to_string()).await, 200);
        }
    }
    // A sender's own secret speaks for that sender, whatever it says of others, and under whichever number.
    let own = other.app_secret.as_deref().unwrap();
    assert_eq!(post(&fleet, own, &genuine).await, 200);
    let under_its_own = event(&other.address, &[vec![status(wamid, "delivered", Some(&opaque), None)]]);
    assert_eq!(post(&fleet, own, &under_its_own.to_string()).await, 200);
    // Events are applied in their order: once this one is, those were.
    let end = status("wamid.last", "sent", arrival(&fleet, 1).opaque.as_deref(), None);
    assert_eq!(post(&fleet, APP_SECRET, &event(PHONE_NUMBER_ID, &[vec![end]]).to_string()).await, 200);
    message_is(&fleet, last, &[MessageState::Sent]).await;
    let untouched = story(fleet.store(), doubtful).await;
    assert_eq!(untouched.state, MessageState::InDoubt, "{untouched:?}");
    assert_eq!(untouched.attempts[0].provider_message_id, None, "{untouched:?}");
    assert!(fleet.store().recipient(DEFAULT_TENANT, &number(&phone(0))).await.unwrap().blocks.is_empty());

    assert_eq!(post(&fleet, APP_SECRET, &genuine).await, 200);
    message_is(&fleet, doubtful, &[MessageState::Delivered]).await;
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_updates_of_one_request_are_all_applied() {
    let fleet = silent_fleet(Faults::default()).await;
    let job = fleet.enqueue(broadcast("dep-1", 500)).await;
    all_with_provider(&fleet, job, 500).await;
    let mut statuses: Vec<Value> = fleet
        .sandbox
        .arrivals()
        .iter()
        .flat_map(|arrival| {
            // Every third comes without the value that names the attempt.
            let opaque = arrival.opaque.as_deref().filter(|_| !arrival.to.ends_with(['0', '3', '6']));
            ["sent", "delivered"].map(|kind| status(arrival.wamid.as_deref().unwrap(), kind, opaque, None))
        })
        .collect();
    assert_eq!(statuses.len(), 1_000);
    fastrand::shuffle(&mut statuses);
    let changes: Vec<Vec<Value>> = statuses.chunks(300).map(<[Value]>::to_vec).collect();
    let mut body = event(PHONE_NUMBER_ID, &changes);
    // Of several entries, changes and statuses not one is left out, beside pieces that say nothing.
    let second = body["entry"][0]["changes"].as_array_mut().unwrap().split_off(2);
    body["entry"].as_array_mut().unwrap().push(json!({"id": "100000000000001", "changes": second}));
    body["entry"].as_array_mut().unwrap().push(json!({"id": "1", "changes": [{"field": "flows", "value": {}}]}));
    assert_eq!(post(&fleet, APP_SECRET, &body.to_string()).await, 200);
    fleet.counts_where(job, WITHIN, |counts| counts.get(MessageState::Delivered) == 500).await;
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_of_the_platform_is_taken_and_a_larger_one_is_not() {
    let fleet = silent_fleet(Faults::default()).await;
    let of_size = |bytes: usize| json!({"object": "whatsapp_business_account", "entry": [], "pad": "x".repeat(bytes)});
    assert_eq!(post(&fleet, APP_SECRET, &of_size(3 << 20).to_string()).await, 200, "3 MB is what Meta posts at most");
    // It answers before it has read all of it, and closes: who still writes then may see nothing but that.
    let larger = try_post(&fleet, APP_SECRET, &of_size(4 << 20).to_string()).await;
    assert!(larger.as_ref().map_or(true, |status| *status == 413), "{larger:?}");
    assert_eq!(post(&fleet, APP_SECRET, &of_size(1).to_string()).await, 200, "and it goes on");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_status_does_what_its_code_says() {
    let fleet = silent_fleet(Faults::default()).await;
    let codes = [131_047, 131_026, 131_050, 132_015, 132_016, 131_049, 190];
    let job = fleet.enqueue(broadcast("dep-1", codes.len())).await;
    all_with_provider(&fleet, job, codes.len()).await;
    let statuses: Vec<Value> = codes
        .iter()
        .enumerate()
        .map(|(index, code)| {
            let arrival = arrival(&fleet, index);
            status(arrival.wamid.as_deref().unwrap(), "failed", arrival.opaque.as_deref(), Some(*code))
        })
        .collect();
    assert_eq!(post(&fleet, APP_SECRET, &event(PHONE_NUMBER_ID, &[statuses]).to_string()).await, 200);
    use MessageState::{Blocked, Failed, Queued};
    let expected = [Blocked, Failed, Failed, Queued, Failed, Failed, Queued];
    let states = eventually(WITHIN, async || {
        let messages = fleet.store().messages_of_job(job, 0, 10).await.unwrap();
        let states: Vec<MessageState> = messages.iter().map(|message| message.state).collect();
        if states.contains(&MessageState::Accepted) { Err(format!("{states:?}")) } else { Ok(states) }
    })
    .await;
    assert_eq!(states, expected);
    let person = async |index: usize| {
        fleet.store().recipient(DEFAULT_TENANT, &number(&phone(index))).await.expect("the person is known")
    };
    assert_eq!(person(0).await.blocks.first().and_then(|block| block.code), Some(131_047));
    assert!(person(1).await.unreachable_at.is_some(), "131026 marks unreachable");
    assert_eq!(person(2).await.opt_outs.len(), 1, "131050 opts out");
    let paused = fleet.store().messages_of_job(job, 0, 10).await.unwrap();
    assert!(paused[3].due_at > fleet.store().now_ms() + 3_600_000, "132015 has the broadcast wait for hours");
    let halted = sender_is(fleet.store(), "default", "halted").await;
    assert!(halted.reason.is_some_and(|reason| reason.contains("token")), "190 halts the sender");
    fleet.shutdown().await;
}
