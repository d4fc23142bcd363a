//! Broadcasts to the people of a file, uploaded in one request.

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, NewApiKey};
use kabar_tests::{LedgerKind, eventually, guests, http::Response};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Api, assert_problem, bearer, on_both_ledgers};
use crate::support::WITHIN;

on_both_ledgers!(
    the_people_of_a_file_are_told_once_and_bad_rows_are_named,
    an_upload_that_breaks_off_leaves_nothing_and_goes_on_when_sent_again,
    an_upload_counts_against_the_limit_of_its_key,
    people_come_as_json_objects_a_line_too,
);

const BOUNDARY: &str = "kabar-test-boundary";

fn job(id: &str) -> Value {
    json!({"id": id, "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["{name}"]}}})
}

fn form(job: &str, file: &[u8]) -> Vec<u8> {
    let part = |name: &str, kind: &str| {
        format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n")
    };
    [
        part("job", "application/json").as_bytes(),
        job.as_bytes(),
        b"\r\n",
        part("file", "text/csv").as_bytes(),
        file,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat()
}

async fn upload(api: &Api, key: &str, job: &Value, file: &[u8]) -> Response {
    post(api, key, form(&job.to_string(), file)).await
}

async fn post(api: &Api, key: &str, body: Vec<u8>) -> Response {
    let (authorization, kind) = (bearer(key), format!("multipart/form-data; boundary={BOUNDARY}"));
    let headers = [("authorization", authorization.as_str()), ("content-type", kind.as_str())];
    api.call("POST", "/v1/broadcasts", &headers, body).await
}

/// Waits until all messages of a broadcast are planned; how many.
async fn planned(api: &Api, id: &str) -> i64 {
    let store = api.ledger.store();
    eventually(WITHIN, async || {
        let told = |error: kabar_store::StoreError| error.to_string();
        let (job, _) = store.job_summary(DEFAULT_TENANT, id, Some("broadcast")).await.map_err(told)?;
        if !store.job_is_planned(job).await.map_err(told)? {
            return Err("not planned".to_owned());
        }
        Ok(store.job_summary(DEFAULT_TENANT, id, None).await.map_err(told)?.1.audience)
    })
    .await
}

async fn the_people_of_a_file_are_told_once_and_bad_rows_are_named(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let mut file = guests::csv(2_500);
    file.push_str("nobody,X\n");
    file.push_str(&format!("{},Again\n", guests::phone(7)));
    for _ in 0..2 {
        let answer = upload(&api, &key, &job("dep"), file.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["id"], &told["file"]["recipients"]), (&json!("dep"), &json!(2_500)));
        assert_eq!((&told["file"]["repeated_rows"], &told["file"]["bad_rows"][0]["line"]), (&json!(1), &json!(2_502)));
        assert_eq!(planned(&api, "dep").await, 2_500);
    }
    let other = upload(&api, &key, &job("dep"), guests::csv(3).as_bytes()).await;
    assert_problem(&other, 409, "id-taken");
    // An id is made where there is none.
    let mut unnamed = job("x");
    unnamed.as_object_mut().expect("an object").remove("id");
    let made = upload(&api, &key, &unnamed, guests::csv(3).as_bytes()).await.json();
    assert!(made["id"].as_str().is_some_and(|id| id.starts_with("broadcast-")), "{made}");
    assert!(!api.process.log().contains(&guests::digits(7)), "a number is in the log");
}

async fn an_upload_that_breaks_off_leaves_nothing_and_goes_on_when_sent_again(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let body = form(&job("dep").to_string(), guests::csv(3_000).as_bytes());
    let head = format!(
        "POST /v1/broadcasts HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\
         content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        bearer(&key),
        body.len()
    );
    let mut cut = TcpStream::connect(api.process.address()).await.expect("it listens");
    cut.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat()).await.expect("half of it is taken");
    drop(cut);
    // A whole one is answered after it: by then nothing was made of the half.
    assert_eq!(upload(&api, &key, &job("other"), guests::csv(1).as_bytes()).await.status, 202);
    assert!(api.ledger.store().job_id(DEFAULT_TENANT, "dep").await.expect("the ledger is there").is_none());
    assert_eq!(post(&api, &key, body).await.status, 202);
    assert_eq!(planned(&api, "dep").await, 3_000);
}

async fn an_upload_counts_against_the_limit_of_its_key(api: Api) {
    let limited = NewApiKey {
        name: "limited".to_owned(),
        scopes: vec![Scope::Enqueue],
        messages_per_minute: Some(100),
        expires_at: None,
    };
    let key = api.made(DEFAULT_TENANT, limited).await;
    assert_eq!(upload(&api, &key, &job("one"), guests::csv(100).as_bytes()).await.status, 202);
    let refusal = upload(&api, &key, &job("two"), guests::csv(50).as_bytes()).await;
    assert_problem(&refusal, 429, "over-limit");
    assert_eq!(upload(&api, &key, &job("one"), guests::csv(100).as_bytes()).await.status, 202, "it is there already");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_files_that_are_none_are_refused_with_the_reason() {
    let small = |home: kabar_tests::Home| home.with("KABAR_GATEWAY_UPLOAD_LIMIT_BYTES", "1048576");
    let api = Api::start_with(LedgerKind::Sqlite, small).await;
    let key = api.key(&[Scope::Enqueue]).await;
    let good = guests::csv(2);
    let mut fields = job("a");
    fields["content"]["template"]["params"] = json!(["{package}"]);
    let grouped = json!({"id": "a", "audience": {"group": "g"}, "content": {"text": "x"}});
    let refused: [(&Value, &[u8], &str, &str); 6] = [
        (&fields, good.as_bytes(), "job.content", "no column \"package\""),
        (&grouped, good.as_bytes(), "job.audience", "leave this field out"),
        (&json!({"type": "send", "content": {"text": "x"}}), good.as_bytes(), "job.type", "broadcast"),
        (&json!({"id": "a b", "content": {"text": "x"}}), good.as_bytes(), "job.id", "is not an id"),
        (&job("a"), b"fone,name\n+6281234567890,Siti\n", "file", "\"phone\""),
        (&job("a"), b"phone\nnobody\n", "file", "line 2"),
    ];
    for (job, file, field, words) in refused {
        let problem = assert_problem(&upload(&api, &key, job, file).await, 422, "invalid");
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{words}: {problem}");
    }
    assert_problem(&post(&api, &key, form("{", b"phone\n")).await, 400, "malformed-body");
    assert_problem(&post(&api, &key, b"no form at all".to_vec()).await, 400, "malformed-body");
    let large = guests::csv(60_000);
    assert!(large.len() > 1 << 20);
    assert_problem(&upload(&api, &key, &job("a"), large.as_bytes()).await, 413, "body-too-large");
    assert_problem(&api.post(&key, "/v1/broadcasts", &job("a")).await, 415, "unsupported-type");
}

async fn people_come_as_json_objects_a_line_too(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let mut file: String =
        (0..1_500).map(|index| format!("{}\n", json!({"to": guests::phone(index), "name": "Siti"}))).collect();
    file.push_str("{\"to\": \"nobody\"}\n\n{\"to\": ");
    let mut told = Vec::new();
    for _ in 0..2 {
        let answer = upload(&api, &key, &job("dep"), file.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        told.push(answer.json());
        assert_eq!(planned(&api, "dep").await, 1_500);
    }
    assert_eq!(told[0], told[1]);
    let lines: Vec<_> = told[0]["file"]["bad_rows"].as_array().into_iter().flatten().map(|row| &row["line"]).collect();
    assert_eq!(lines, [&json!(1_501), &json!(1_503)], "{}", told[0]);
    // The same people in the other form are the same broadcast.
    let csv: String = (0..1_500).map(|index| format!("{},Siti\n", guests::phone(index))).collect();
    let again = upload(&api, &key, &job("dep"), format!("phone,name\n{csv}").as_bytes()).await;
    assert_eq!(again.status, 202, "{again:?}");
    let other = upload(&api, &key, &job("dep"), &file.as_bytes()[..5_000]).await;
    assert_problem(&other, 409, "id-taken");
}

/// What the gateway may hold of a file beyond what it holds anyway.
const MOST_GROWTH_BYTES: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_not_held_in_memory() {
    let api = Api::start(LedgerKind::Sqlite).await;
    let key = api.key(&[Scope::Enqueue]).await;
    let note = "x".repeat(400);
    let file: String = (0..100_000)
        .map(|index| format!("{{\"to\": \"{}\", \"params\": {{\"note\": \"{note}\"}}}}\n", guests::phone(index)))
        .collect();
    assert!(file.len() as u64 > MOST_GROWTH_BYTES + (16 << 20), "held, it would show");
    // Whatever is made once at the first upload is there already.
    let mut text = job("small");
    text["content"] = json!({"text": "Halo"});
    let small = file[..100_000].rsplit_once('\n').map_or("", |(whole, _)| whole);
    assert_eq!(upload(&api, &key, &text, small.as_bytes()).await.status, 202);
    let before = api.process.peak_memory();
    text["id"] = json!("large");
    let answer = upload(&api, &key, &text, file.as_bytes()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["file"]["recipients"], 100_000);
    let growth = api.process.peak_memory() - before;
    assert!(growth < MOST_GROWTH_BYTES, "it grew by {} MiB for a file of {} MiB", growth >> 20, file.len() >> 20);
}
