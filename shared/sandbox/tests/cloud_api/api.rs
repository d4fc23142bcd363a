//! What the Cloud API answers when nothing is wrong with the platform.

use crate::support::client::{NUMBER, Session, read, template, text};
use kabar_sandbox::SandboxConfig;
use serde_json::json;

#[tokio::test]
async fn a_text_is_accepted_in_the_platforms_words() {
    let session = Session::start(SandboxConfig { record_arrivals: true, ..SandboxConfig::default() }).await;
    let mut body = text("+62 812-3456-789");
    body["biz_opaque_callback_data"] = json!("attempt-1");
    let (status, answer) = session.post(&body).await;
    assert_eq!(status, 200);
    assert_eq!(answer["messaging_product"], "whatsapp");
    assert_eq!(answer["contacts"], json!([{"input": "+62 812-3456-789", "wa_id": "628123456789"}]));
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    assert!(wamid.starts_with("wamid."));
    assert!(answer["messages"][0].get("message_status").is_none());

    let arrivals = session.sandbox.arrivals();
    assert_eq!(arrivals.len(), 1);
    assert_eq!(arrivals[0].phone_number_id, NUMBER);
    assert_eq!(arrivals[0].to, "628123456789");
    assert_eq!(arrivals[0].opaque.as_deref(), Some("attempt-1"));
    assert_eq!(arrivals[0].wamid.as_deref(), Some(wamid));
    assert_eq!(arrivals[0].body.as_ref(), Some(&body));
    assert!(arrivals[0].accepted && arrivals[0].code.is_none());
    assert_eq!(session.sandbox.counters().accepted, 1);
    assert_eq!(session.sandbox.worst_window(), 1);
    session.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_template_is_accepted_with_its_status() {
    let session = Session::start(SandboxConfig::default()).await;
    let (status, answer) = session.post(&template("+1 555-0100", "anything", &["a"])).await;
    assert_eq!(status, 200);
    assert_eq!(answer["messages"][0]["message_status"], "accepted");
    assert!(session.sandbox.arrivals()[0].body.is_none());
}

#[tokio::test]
async fn the_test_numbers_behave_as_documented() {
    let session = Session::start(SandboxConfig::default()).await;
    for to in ["+1 555-0100", "15550101", "+1 555 555 0100", "+1 (555) 555-0101"] {
        assert_eq!(session.send_text(to).await.0, 200, "{to}");
    }
    for to in ["+1 555-0102", "+15555550102"] {
        let (status, answer) = session.send_text(to).await;
        assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (400, Some(131_047)), "{to}");
    }
}

#[tokio::test]
async fn a_read_receipt_is_no_send() {
    let session = Session::start(SandboxConfig::default()).await;
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.X"});
    assert_eq!(session.post(&body).await.1, json!({"success": true}));
    assert!(session.sandbox.arrivals().is_empty());
    assert_eq!(session.sandbox.counters().received, 0);
}

#[tokio::test]
async fn tokens_and_numbers_are_checked() {
    let config = SandboxConfig {
        access_tokens: vec!["token".to_owned()],
        phone_number_ids: vec![NUMBER.to_owned()],
        ..SandboxConfig::default()
    };
    let session = Session::start(config).await;
    let url = session.url(&format!("/v23.0/{NUMBER}/messages"));
    let body = text("15550100").to_string();

    let (status, answer) = read(session.http.post(&url).body(body.clone()).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (401, Some(104)));
    let wrong = session.http.post(&url).bearer_auth("wrong").body(body.clone()).send().await.unwrap();
    let (status, answer) = read(wrong).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (401, Some(190)));
    assert_eq!(answer["error"]["type"], "OAuthException");

    let other = session.url("/v23.0/1/messages");
    let (status, answer) = read(session.http.post(&other).bearer_auth("token").body(body).send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["code"], 100);
    assert_eq!(answer["error"]["error_subcode"], 33);

    assert_eq!(session.get(&format!("/v23.0/{NUMBER}")).await.0, 200);
    let unauthorized = session.http.get(session.url(&format!("/v23.0/{NUMBER}"))).bearer_auth("wrong").send().await;
    assert_eq!(read(unauthorized.unwrap()).await.1["error"]["code"], 190);
    assert_eq!(session.get("/v23.0/1").await.1["error"]["error_subcode"], 33);
    let codes: Vec<Option<i64>> = session.sandbox.arrivals().iter().map(|arrival| arrival.code).collect();
    assert_eq!(codes, [Some(104), Some(190), Some(100)]);
    assert_eq!(session.sandbox.counters().failed, 3);
}

#[tokio::test]
async fn a_body_that_is_no_message_says_what_is_wrong() {
    let session = Session::start(SandboxConfig::default()).await;
    let url = session.url(&format!("/v23.0/{NUMBER}/messages"));
    let broken = session.http.post(&url).bearer_auth("token").body("{\"to\":").send().await.unwrap();
    assert_eq!(read(broken).await.1["error"]["code"], 100);
    let (status, answer) = session.post(&json!({"messaging_product": "whatsapp", "to": "15550100"})).await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["code"], 131_008);
    assert_eq!(answer["error"]["message"], "(#131008) Required parameter is missing");
    assert!(answer["error"]["error_data"]["details"].as_str().unwrap().contains("text"));
}

#[tokio::test]
async fn a_number_describes_itself() {
    let session = Session::start(SandboxConfig::default()).await;
    let (_, number) = session.get(&format!("/v23.0/{NUMBER}")).await;
    assert_eq!(number["id"], NUMBER);
    assert_eq!(number["status"], "CONNECTED");
    assert_eq!(number["quality_rating"], "GREEN");
    let (_, number) = session.get(&format!("/v23.0/{NUMBER}?fields=throughput%2Cverified_name")).await;
    assert_eq!(number, json!({"id": NUMBER, "throughput": {"level": "STANDARD"}, "verified_name": "Sandbox"}));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_the_graphs_shape() {
    let session = Session::start(SandboxConfig::default()).await;
    for path in ["/", "/latest/1/messages/x", "/v23.0/1/calls", "/sandbox/nothing"] {
        let (status, answer) = session.get(path).await;
        assert_eq!(status, 404, "{path}");
        assert_eq!(answer["error"]["code"], 2500, "{path}");
        assert!(answer["error"]["fbtrace_id"].is_string());
    }
    let (status, answer) = session.get(&format!("/v23.0/{NUMBER}/messages")).await;
    assert_eq!(status, 400);
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("Unsupported get request"));
}

#[tokio::test]
async fn a_number_has_its_own_throughput() {
    let session = Session::start(SandboxConfig { rate_per_second: Some(5), ..SandboxConfig::default() }).await;
    let mut accepted_at = Vec::new();
    let mut throttled = 0;
    for n in 0..40 {
        let (status, answer) = session.send_text(&format!("62812000{n:04}")).await;
        match session.sandbox.arrivals().last() {
            Some(arrival) if arrival.accepted => accepted_at.push(arrival.at),
            _ => {
                throttled += 1;
                assert_eq!(status, 400);
                assert_eq!(answer["error"]["message"], "(#130429) Rate limit hit");
            }
        }
    }
    assert!(throttled > 0, "40 sends in a row take less than a second");
    for start in &accepted_at {
        let within = accepted_at.iter().filter(|at| *at >= start && at.duration_since(*start).as_millis() < 1_000);
        assert!(within.count() <= 5);
    }
    let counters = session.sandbox.counters();
    assert_eq!((counters.received, counters.throttled), (40, throttled));
}

#[tokio::test]
async fn one_recipient_may_be_written_to_only_so_often() {
    let session = Session::start(SandboxConfig { pair_limit: true, ..SandboxConfig::default() }).await;
    for _ in 0..45 {
        assert_eq!(session.send_text("15550100").await.0, 200);
    }
    let (status, answer) = session.send_text("15550100").await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (400, Some(131_056)));
    assert_eq!(session.send_text("15550199").await.0, 200);
}
