//! Each fault, as a client meets it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::client::{NUMBER, Session, text};
use kabar_sandbox::{Faults, SandboxConfig};

async fn with(faults: Faults) -> Session {
    Session::start(SandboxConfig { faults, ..SandboxConfig::default() }).await
}

#[tokio::test]
async fn a_connection_dropped_before_acceptance_leaves_nothing() {
    let session = with(Faults { drop_before_accept_share: 1.0, ..Faults::default() }).await;
    assert!(session.try_post(&text("15550100")).await.is_err());
    let arrivals = session.sandbox.arrivals();
    assert_eq!(arrivals.len(), 1);
    assert!(!arrivals[0].accepted && arrivals[0].wamid.is_none() && arrivals[0].code.is_none());
    let counters = session.sandbox.counters();
    assert_eq!((counters.received, counters.accepted, counters.dropped), (1, 0, 1));
}

#[tokio::test]
async fn a_connection_dropped_after_acceptance_leaves_a_message() {
    let session = with(Faults { drop_after_accept_share: 1.0, ..Faults::default() }).await;
    assert!(session.try_post(&text("15550100")).await.is_err());
    assert!(session.sandbox.arrivals()[0].wamid.is_some());
    let counters = session.sandbox.counters();
    assert_eq!((counters.accepted, counters.dropped, counters.dropped_after_accept), (1, 1, 1));
    session.sandbox.set_faults(Faults::default());
    assert_eq!(session.send_text("15550100").await.0, 200);
}

#[tokio::test]
async fn half_an_answer_breaks_off_in_its_body() {
    let session = with(Faults { half_answer_share: 1.0, ..Faults::default() }).await;
    let response = session.try_post(&text("15550100")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.content_length().is_some_and(|length| length > 0));
    assert!(response.text().await.is_err());
    assert!(session.sandbox.arrivals()[0].accepted);
}

#[tokio::test]
async fn a_proxys_page_is_no_json() {
    let session = with(Faults { html_share: 1.0, ..Faults::default() }).await;
    let response = session.try_post(&text("15550100")).await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.text().await.unwrap().starts_with("<html>"));
    assert!(!session.sandbox.arrivals()[0].accepted);
}

#[tokio::test]
async fn server_errors_are_in_the_platforms_shape() {
    let session = with(Faults { server_error_share: 1.0, ..Faults::default() }).await;
    for _ in 0..10 {
        let (status, answer) = session.send_text("15550100").await;
        assert!(status.is_server_error());
        assert!([2, 131_000, 131_016].contains(&answer["error"]["code"].as_i64().unwrap()));
    }
    assert_eq!(session.sandbox.counters().failed, 10);
}

#[tokio::test]
async fn faults_are_drawn_the_same_under_the_same_seed() {
    let mut courses = Vec::new();
    for seed in [7, 7, 8] {
        let faults = Faults { server_error_share: 0.5, ..Faults::default() };
        let session = Session::start(SandboxConfig { faults, seed, ..SandboxConfig::default() }).await;
        for _ in 0..64 {
            session.send_text("15550100").await;
        }
        courses.push(session.sandbox.arrivals().iter().map(|arrival| arrival.accepted).collect::<Vec<_>>());
    }
    assert_eq!(courses[0], courses[1]);
    assert_ne!(courses[0], courses[2]);
}

#[tokio::test]
async fn bursts_of_throttling_come_every_so_many_sends() {
    let faults = Faults {
        throttle_every: Some(4),
        throttle_burst: 2,
        retry_after: Some(Duration::from_millis(1_500)),
        ..Faults::default()
    };
    let session = with(faults).await;
    let mut course = Vec::new();
    for _ in 0..10 {
        let response = session.try_post(&text("15550100")).await.unwrap();
        if response.status() == 400 {
            assert_eq!(response.headers()["retry-after"], "2");
        }
        course.push(response.status().as_u16());
    }
    assert_eq!(course, [200, 200, 200, 400, 400, 200, 200, 200, 400, 400]);
    assert_eq!(session.sandbox.counters().throttled, 4);
}

#[tokio::test]
async fn a_burst_may_be_a_bare_429() {
    let session = with(Faults { throttle_every: Some(1), throttle_code: 429, ..Faults::default() }).await;
    let response = session.try_post(&text("15550100")).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.text().await.unwrap(), "");
    assert_eq!(session.sandbox.arrivals()[0].code, Some(429));
}

#[tokio::test]
async fn a_token_expires_for_every_call_until_it_is_reset() {
    let session = with(Faults { token_expires_after: Some(2), ..Faults::default() }).await;
    assert_eq!(session.send_text("15550100").await.0, 200);
    assert_eq!(session.send_text("15550100").await.0, 200);
    for _ in 0..2 {
        let (status, answer) = session.send_text("15550100").await;
        assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (401, Some(190)));
    }
    assert_eq!(session.get(&format!("/v23.0/{NUMBER}")).await.1["error"]["code"], 190);
    session.sandbox.set_faults(session.sandbox.faults());
    assert_eq!(session.send_text("15550100").await.0, 200);
}

#[tokio::test]
async fn recipients_may_have_errors_of_their_own() {
    let fail_codes = BTreeMap::from([("628123456789".to_owned(), 131_049), ("15550102".to_owned(), 131_050)]);
    let session = with(Faults { fail_codes, ..Faults::default() }).await;
    assert_eq!(session.send_text("+62 812 3456 789").await.1["error"]["code"], 131_049);
    assert_eq!(session.send_text("15550102").await.1["error"]["code"], 131_050);
    assert_eq!(session.send_text("15550100").await.0, 200);
}

#[tokio::test]
async fn a_platform_that_is_down_answers_503_and_can_still_be_controlled() {
    let session = with(Faults { down: true, ..Faults::default() }).await;
    let (status, answer) = session.send_text("15550100").await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (503, Some(2)));
    assert_eq!(session.get(&format!("/v23.0/{NUMBER}")).await.0, 503);
    assert_eq!(session.get("/healthz").await.0, 200);
    session.sandbox.set_faults(Faults::default());
    assert_eq!(session.send_text("15550100").await.0, 200);
}

#[tokio::test]
async fn answers_take_their_time_after_the_message_was_accepted() {
    let latency = Duration::from_millis(60);
    let session = with(Faults { latency, ..Faults::default() }).await;
    let before = Instant::now();
    assert_eq!(session.send_text("15550100").await.0, 200);
    assert!(before.elapsed() >= latency);

    // A client that gives up has been served all the same.
    session.sandbox.set_faults(Faults { latency: Duration::from_secs(600), ..Faults::default() });
    let body = text("15550101");
    let waiting = session.try_post(&body);
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            _ = &mut waiting => panic!("the answer takes ten minutes"),
            () = tokio::task::yield_now() => {}
        }
        if session.sandbox.counters().accepted == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_slow_answers() {
    let session = with(Faults { latency: Duration::from_secs(600), ..Faults::default() }).await;
    let body = text("15550100");
    let Session { sandbox, http } = session;
    let url = format!("{}/v23.0/{NUMBER}/messages", sandbox.base_url());
    let sending = tokio::spawn(http.post(url).bearer_auth("token").body(body.to_string()).send());
    while sandbox.counters().accepted == 0 {
        tokio::task::yield_now().await;
    }
    sandbox.shutdown().await;
    assert!(sending.await.unwrap().is_err());
}

#[tokio::test]
async fn limits_on_calls_are_told_with_each_answer_and_kept() {
    let faults = Faults { app_calls_per_hour: Some(4), account_calls_per_hour: Some(3), ..Faults::default() };
    let session = with(faults).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        let response = session.try_post(&text("15550100")).await.unwrap();
        let header = |name: &str| serde_json::from_slice(response.headers()[name].as_bytes()).unwrap();
        let (app, accounts): (serde_json::Value, serde_json::Value) =
            (header("x-app-usage"), header("x-business-use-case-usage"));
        let account = accounts.as_object().unwrap().values().next().unwrap()[0].clone();
        assert_eq!(account["type"], "whatsapp");
        told.push((response.status().as_u16(), app["call_count"].clone(), account["call_count"].clone()));
    }
    let told: Vec<_> =
        told.iter().map(|(status, app, account)| (*status, app.as_u64().unwrap(), account.as_u64().unwrap())).collect();
    assert_eq!(told, [(200, 25, 33), (200, 50, 66), (200, 75, 100), (400, 100, 100), (400, 100, 100)]);
    let codes: Vec<_> = session.sandbox.arrivals().iter().map(|arrival| arrival.code).collect();
    assert_eq!(codes, [None, None, None, Some(80_007), Some(4)]);
    session.sandbox.set_faults(Faults::default());
    assert!(session.try_post(&text("15550100")).await.unwrap().headers().get("x-app-usage").is_none());
}
