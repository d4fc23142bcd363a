//! The control endpoints of a sandbox that runs as a process of its own.

use std::time::Duration;

use crate::support::client::{NUMBER, Session, read};
use crate::support::receiver::Receiver;
use kabar_sandbox::{Faults, SandboxConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn put_faults(session: &Session, faults: &Value) -> (StatusCode, Value) {
    let request = session.http.put(session.url("/sandbox/faults")).body(faults.to_string());
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn arrivals_and_counters_can_be_read() {
    let session = Session::start(SandboxConfig::default()).await;
    for to in ["15550100", "15550102", "15550100"] {
        session.send_text(to).await;
    }
    let (_, body) = session.get("/sandbox/arrivals").await;
    let arrivals = body["arrivals"].as_array().unwrap();
    assert_eq!(arrivals.len(), 3);
    assert_eq!(arrivals[0]["phone_number_id"], NUMBER);
    assert_eq!(arrivals[1]["code"], 131_047);
    assert!(arrivals[2]["wamid"].is_string());
    assert!(arrivals[0]["at_us"].as_u64() <= arrivals[2]["at_us"].as_u64());
    assert_eq!(session.get("/sandbox/arrivals?limit=1").await.1["arrivals"].as_array().unwrap().len(), 1);

    let (_, counters) = session.get("/sandbox/counters").await;
    assert_eq!(counters["received"], 3);
    assert_eq!(counters["accepted"], 2);
    assert_eq!(counters["failed"], 1);
    assert_eq!(counters["worst_window"].as_u64(), Some(session.sandbox.worst_window() as u64));
}

#[tokio::test]
async fn faults_can_be_set_and_mistakes_are_told() {
    let session = Session::start(SandboxConfig::default()).await;
    let (status, set) = put_faults(&session, &json!({"down": true, "latency_ms": 5})).await;
    assert_eq!((status, &set["throttle_code"]), (StatusCode::OK, &json!(130_429)));
    let expected = Faults { down: true, latency: Duration::from_millis(5), ..Faults::default() };
    assert_eq!(session.sandbox.faults(), expected);
    assert_eq!(session.send_text("15550100").await.0, 503);
    assert_eq!(session.get("/sandbox/faults").await.1, set);

    for (wrong, named) in [
        (json!({"downn": true}), "downn"),
        (json!({"html_share": 2}), "html_share"),
        (json!({"fail_codes": {"+15550100": 131_026}}), "fail_codes"),
    ] {
        let (status, answer) = put_faults(&session, &wrong).await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(named), "{answer}");
    }
    assert_eq!(session.sandbox.faults(), expected);
    put_faults(&session, &json!({})).await;
    assert_eq!(session.send_text("15550100").await.0, 200);
}

#[tokio::test]
async fn an_inbound_text_can_be_asked_for() {
    let receiver = Receiver::start(0).await;
    let webhook = Some(receiver.target(Duration::ZERO, 0.0));
    let phone_number_ids = vec![NUMBER.to_owned()];
    let session = Session::start(SandboxConfig { webhook, phone_number_ids, ..SandboxConfig::default() }).await;
    let post = |body: Value| session.http.post(session.url("/sandbox/inbound")).body(body.to_string()).send();
    let (status, answer) = read(post(json!({"from": "+15550100", "text": "hi"})).await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(receiver.messages()[0]["id"], answer["id"]);
    assert_eq!(receiver.values()[0]["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(read(post(json!({"from": "someone", "text": "hi"})).await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let session = Session::start(SandboxConfig::default()).await;
    let listen = session.sandbox.address();
    let config = SandboxConfig { listen, ..SandboxConfig::default() };
    let error = kabar_sandbox::Sandbox::start(config).await.err().unwrap();
    assert!(error.to_string().contains(&listen.to_string()));
}
