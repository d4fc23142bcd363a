//! Templates that are registered with the sandbox, and messages held against them.

use crate::support::client::{Session, read, template};
use kabar_sandbox::SandboxConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};

fn list_path() -> String {
    format!("/v23.0/{}/message_templates", SandboxConfig::default().waba_id)
}

async fn register(session: &Session, template: &Value) -> (StatusCode, Value) {
    let request = session.http.post(session.url(&list_path())).bearer_auth("token").body(template.to_string());
    read(request.send().await.unwrap()).await
}

fn reminder(name: &str) -> Value {
    json!({"name": name, "language": "id", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "Halo {{1}}, tagihan {{2}}. Terima kasih, {{1}}."}
    ]})
}

#[tokio::test]
async fn messages_are_held_against_registered_templates() {
    let session = Session::start(SandboxConfig::default()).await;
    let (status, created) = register(&session, &reminder("payment_reminder")).await;
    assert_eq!(status, 200);
    assert_eq!(created["status"], "APPROVED");
    assert!(created["id"].is_string());

    assert_eq!(session.post(&template("15550100", "payment_reminder", &["Siti", "100"])).await.0, 200);
    let (status, answer) = session.post(&template("15550100", "payment_reminder", &["Siti"])).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (400, Some(132_000)));
    let (status, answer) = session.post(&template("15550100", "unknown", &[])).await;
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (404, Some(132_001)));
}

#[tokio::test]
async fn a_template_that_may_not_be_used_says_why() {
    let session = Session::start(SandboxConfig::default()).await;
    for (state, code) in [("PAUSED", 132_015), ("DISABLED", 132_016), ("PENDING", 132_001)] {
        let name = state.to_ascii_lowercase();
        let mut paused = reminder(&name);
        paused["status"] = json!(state);
        register(&session, &paused).await;
        let (_, answer) = session.post(&template("15550100", &name, &["a", "b"])).await;
        assert_eq!(answer["error"]["code"], code, "{state}");
    }
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let session = Session::start(SandboxConfig::default()).await;
    for name in ["a", "b", "c"] {
        register(&session, &reminder(name)).await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect()
    };
    let (_, first) = session.get(&format!("{}?limit=2", list_path())).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["data"][0]["parameter_format"], "POSITIONAL");
    assert!(first["paging"]["next"].is_string());
    let after = first["paging"]["cursors"]["after"].as_str().unwrap();
    let (_, second) = session.get(&format!("{}?limit=2&after={after}", list_path())).await;
    assert_eq!(names(&second), ["c"]);
    assert!(second["paging"].get("next").is_none());
    assert_eq!(names(&session.get(&format!("{}?name=b", list_path())).await.1), ["b"]);
}

#[tokio::test]
async fn a_template_in_disorder_is_refused() {
    let session = Session::start(SandboxConfig::default()).await;
    for field in ["name", "language", "category", "components"] {
        let mut lacking = reminder("x");
        lacking.as_object_mut().unwrap().remove(field);
        let (status, answer) = register(&session, &lacking).await;
        assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (400, Some(100)), "{field}");
    }
    assert_eq!(register(&session, &reminder("Not A Name")).await.0, 400);
    assert_eq!(register(&session, &reminder("twice")).await.0, 200);
    assert_eq!(register(&session, &reminder("twice")).await.0, 400);
}
