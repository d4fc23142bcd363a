//! What callers get wrong, and bytes that no caller should send: each is answered with a problem that says what and where.

use kabar_domain::scope::Scope;
use kabar_tests::{LedgerKind, guests::phone, http::Response};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer};
use crate::support::{send, with};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn posted(api: &Api, key: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
    let authorization = bearer(key);
    api.call("POST", "/v1/jobs", &[&[("authorization", authorization.as_str())], headers].concat(), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_good_json_are_refused_with_the_reason() {
    let api = Api::start(LedgerKind::Sqlite).await;
    let key = api.key(&[Scope::Enqueue]).await;
    let deep = "[".repeat(100_000);
    let deep_object = r#"{"a":"#.repeat(1_000);
    let malformed: [(&[u8], &str); 9] = [
        (b"", "EOF"),
        (b"{", "EOF"),
        (b"{\"type\": \"send\",}", "trailing comma"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8: byte 0"),
        (b"{\"to\": \"\xc3\x28\"}", "not UTF-8: byte 8"),
        (br#"{"type": "send", "id": "a", "id": "b"}"#, "\"id\" is there twice"),
        (br#"{"content": {"text": {"body": "a", "body": "b"}}}"#, "\"body\" is there twice"),
        (deep.as_bytes(), "recursion limit"),
        (deep_object.as_bytes(), "recursion limit"),
    ];
    for (body, words) in malformed {
        let problem = assert_problem(&posted(&api, &key, &[JSON], body).await, 400, "malformed-body");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{words}: {problem}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"] {
        let answer = posted(&api, &key, &[("content-type", kind)], "{}").await;
        assert_eq!(assert_problem(&answer, 415, "unsupported-type")["field"], "content-type");
    }
    assert_problem(&posted(&api, &key, &[], "{}").await, 415, "unsupported-type");
    let large = json!({"jobs": ["x".repeat(4 << 20)]}).to_string();
    assert_problem(&posted(&api, &key, &[JSON], large).await, 413, "body-too-large");
    assert!(api.get(&api.key(&[Scope::Read]).await, "/v1/stats").await.status == 200, "it is as well as ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_be_are_refused_with_field_and_value() {
    let api = Api::start(LedgerKind::Sqlite).await;
    let key = api.key(&[Scope::Enqueue]).await;
    let good = || send("a", &phone(1));
    let refused: [(Value, &str, Value); 8] = [
        (json!([]), "", json!(null)),
        (json!({"jobs": []}), "jobs", json!(null)),
        (with(good(), &[("to", json!("0812"))]), "to", json!("0812")),
        (with(good(), &[("id", json!("a b"))]), "id", json!("a b")),
        (with(good(), &[("type", json!("sned"))]), "type", json!("sned")),
        (with(good(), &[("sender", json!("nobody"))]), "sender", json!("nobody")),
        (with(good(), &[("priority", json!("soon"))]), "priority", json!("soon")),
        (
            json!({"type": "broadcast", "audience": {"group": "none"}, "content": {"text": "x"}}),
            "audience.group",
            json!("none"),
        ),
    ];
    for (body, field, value) in refused {
        let problem = assert_problem(&posted(&api, &key, &[JSON], body.to_string()).await, 422, "invalid");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{problem}");
        assert_eq!(problem.get("value").cloned().unwrap_or_default(), value, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_none_are_told_of() {
    let api = Api::start(LedgerKind::Sqlite).await;
    for path in ["/v1", "/v1/", "/v1/nothing", "/nothing", "/v1/jobs/a/b"] {
        assert_problem(&api.call("GET", path, &[], "").await, 404, "not-found");
    }
    let answer = api.call("DELETE", "/v1/jobs", &[], "").await;
    assert_problem(&answer, 405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("POST"), "{answer:?}");
    let key = api.key(&[Scope::Read]).await;
    assert_problem(&api.get(&key, "/v1/jobs/%ff").await, 400, "invalid-parameter");
    assert_problem(&api.get(&key, "/v1/jobs/%00").await, 404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_an_id_in_its_answer_and_in_the_log() {
    let api = Api::start_with(LedgerKind::Sqlite, |home| home.with("KABAR_LOG", "info,kabar=debug")).await;
    let own = api.call("GET", "/v1/stats", &[("x-request-id", "shop-17")], "").await;
    assert_eq!(own.header("x-request-id"), Some("shop-17"));
    api.process.logged("shop-17").await;
    let ids: Vec<String> = [api.call("GET", "/v1/stats", &[], "").await, api.call("GET", "/v1/stats", &[], "").await]
        .iter()
        .map(|answer| answer.header("x-request-id").unwrap_or_default().to_owned())
        .collect();
    assert!(ids[0] != ids[1] && ids[0].len() == 32, "{ids:?}");
    let odd = api.call("GET", "/v1/stats", &[("x-request-id", "a b\tc")], "").await;
    assert_ne!(odd.header("x-request-id"), Some("a b\tc"), "nothing that a log would suffer from");
    let metrics = api.call("GET", "/metrics", &[], "").await.body;
    assert!(
        metrics.contains("kabar_http_requests_total{method=\"GET\",route=\"/v1/stats\",status=\"401\"}"),
        "{metrics}"
    );
}

/// What the program `gzip` makes of `bytes`.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("body");
    std::fs::write(&file, bytes).expect("the body can be written");
    let output = std::process::Command::new("gzip").arg("--stdout").arg(&file).output().expect("gzip runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_bodies_are_unpacked_up_to_the_bound() {
    let api = Api::start(LedgerKind::Sqlite).await;
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let gzip = ("content-encoding", "gzip");
    let good = packed(send("a", &phone(1)).to_string().as_bytes());
    assert_eq!(posted(&api, &key, &[JSON, gzip], &good).await.status, 202);
    // A few kilobytes that would be many megabytes.
    let bomb = packed(&vec![b' '; 32 << 20]);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    assert_problem(&posted(&api, &key, &[JSON, gzip], &bomb).await, 413, "body-too-large");
    assert_problem(&posted(&api, &key, &[JSON, gzip], &good[..good.len() / 2]).await, 400, "malformed-body");
    assert_problem(&posted(&api, &key, &[JSON, gzip], "no gzip").await, 400, "malformed-body");
    assert_problem(&posted(&api, &key, &[JSON, ("content-encoding", "br")], "x").await, 415, "unsupported-type");
    let authorization = bearer(&key);
    let headers = [("authorization", authorization.as_str()), ("accept-encoding", "gzip")];
    let answer = api.call("GET", "/v1/stats", &headers, "").await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")), "{answer:?}");
}
