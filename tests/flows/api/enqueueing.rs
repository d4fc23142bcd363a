//! Jobs by HTTP: one or a thousand, once each, durable before the answer, within a key's limit.

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, NewApiKey};
use kabar_tests::{LedgerKind, eventually, guests::phone};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer, on_both_ledgers};
use crate::support::{WITHIN, send, with};

on_both_ledgers!(
    a_job_is_taken_in_once_and_answered_as_before,
    a_thousand_jobs_are_taken_in_together_or_not_at_all,
    what_was_answered_with_202_outlives_the_process,
    a_key_enqueues_no_more_than_its_limit,
);

async fn enqueued(api: &Api, id: &str) -> bool {
    api.ledger.store().job_id(DEFAULT_TENANT, id).await.expect("the ledger is there").is_some()
}

async fn a_job_is_taken_in_once_and_answered_as_before(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let job = send("invoice-1", &phone(1));
    for _ in 0..2 {
        let answer = api.post(&key, "/v1/jobs", &job).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"id": "invoice-1"})));
    }
    let another = with(job.clone(), &[("content", json!({"text": "another"}))]);
    let problem = assert_problem(&api.post(&key, "/v1/jobs", &another).await, 409, "id-taken");
    assert_eq!((&problem["field"], &problem["value"]), (&json!("id"), &json!("invoice-1")));
    // A missing id is made.
    let mut unnamed = job;
    unnamed.as_object_mut().expect("an object").remove("id");
    let (one, two) =
        (api.post(&key, "/v1/jobs", &unnamed).await.json(), api.post(&key, "/v1/jobs", &unnamed).await.json());
    assert!(one["id"].as_str().is_some_and(|id| id.starts_with("send-")) && one != two, "{one} {two}");
    let planned = eventually(WITHIN, async || {
        let shown = api.get(&key, "/v1/jobs/invoice-1").await.json();
        if shown["audience"] == 1 { Ok(shown) } else { Err(shown.to_string()) }
    })
    .await;
    assert_eq!(
        (&planned["type"], &planned["state"], &planned["counts"]["queued"]),
        (&json!("send"), &json!("planned"), &json!(1))
    );
    let entries = api.get(&api.key(&[Scope::Admin]).await, "/v1/audit").await.json();
    let enqueued: Vec<&Value> =
        entries["data"].as_array().expect("a list").iter().filter(|one| one["subject"] == "invoice-1").collect();
    assert_eq!(enqueued.len(), 1, "{entries}");
    assert!(enqueued[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("key:")), "{entries}");
}

async fn a_thousand_jobs_are_taken_in_together_or_not_at_all(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let mut jobs: Vec<Value> = (0..1_000).map(|index| send(&format!("s-{index}"), &phone(index))).collect();
    jobs[500]["to"] = json!("nobody");
    let problem = assert_problem(&api.post(&key, "/v1/jobs", &json!({"jobs": jobs})).await, 422, "invalid");
    assert_eq!((&problem["field"], &problem["value"]), (&json!("jobs[500].to"), &json!("nobody")));
    assert!(!enqueued(&api, "s-0").await);
    jobs[500]["to"] = json!(phone(500));
    for _ in 0..2 {
        let answer = api.post(&key, "/v1/jobs", &json!({"jobs": jobs})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let ids = answer.json();
        assert_eq!((ids["jobs"].as_array().map(Vec::len), &ids["jobs"][999]["id"]), (Some(1_000), &json!("s-999")));
    }
    assert!(enqueued(&api, "s-999").await);
    // One whose id is taken keeps the others out.
    let taken = with(send("s-7", &phone(7)), &[("priority", json!("urgent"))]);
    let problem = assert_problem(
        &api.post(&key, "/v1/jobs", &json!({"jobs": [send("new", &phone(1)), taken]})).await,
        409,
        "id-taken",
    );
    assert_eq!(problem["field"], "jobs[1].id");
    assert!(!enqueued(&api, "new").await);
    jobs.push(send("one-more", &phone(1)));
    assert_problem(&api.post(&key, "/v1/jobs", &json!({"jobs": jobs})).await, 422, "invalid");
}

async fn what_was_answered_with_202_outlives_the_process(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let answer = api.post(&key, "/v1/jobs", &send("kept", &phone(1))).await;
    let Api { process, ledger, .. } = api;
    process.kill().await;
    assert_eq!(answer.status, 202);
    assert!(ledger.store().job_id(DEFAULT_TENANT, "kept").await.expect("the ledger is there").is_some());
}

async fn a_key_enqueues_no_more_than_its_limit(api: Api) {
    let limited = NewApiKey {
        name: "limited".to_owned(),
        scopes: vec![Scope::Enqueue],
        messages_per_minute: Some(3),
        expires_at: None,
    };
    let key = api.made(DEFAULT_TENANT, limited).await;
    let jobs = json!({"jobs": [send("a", &phone(1)), send("b", &phone(2)), send("c", &phone(3))]});
    assert_eq!(api.post(&key, "/v1/jobs", &jobs).await.status, 202);
    let refusal = api.post(&key, "/v1/jobs", &send("d", &phone(4))).await;
    assert_problem(&refusal, 429, "over-limit");
    let wait: u64 = refusal.header("retry-after").expect("it says when").parse().expect("in seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    // What is there already costs nothing.
    assert_eq!(api.post(&key, "/v1/jobs", &jobs).await.status, 202);
}

/// The queue is not asked: jobs come in while the broker is away.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ's programs: run tests/run"]
async fn jobs_come_in_while_the_broker_is_away() {
    let mut broker = kabar_tests::PrivateBroker::start().await;
    let url = broker.url();
    let api = Api::start_with(LedgerKind::Sqlite, |home| home.with("KABAR_QUEUE_URL", url)).await;
    let key = api.key(&[Scope::Enqueue]).await;
    broker.kill().await;
    let answer = api.post(&key, "/v1/jobs", &send("kept", &phone(1))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(enqueued(&api, "kept").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked_on_the_command_line() {
    let api = Api::start(LedgerKind::Sqlite).await;
    let made = api.home.kabar(&["key", "add", "shop", "--scope", "enqueue", "--json"]).await.success().json();
    let key = made["key"].as_str().expect("it is shown").to_owned();
    assert_eq!(api.post(&key, "/v1/jobs", &send("a", &phone(1))).await.status, 202);
    let listed = api.home.kabar(&["key", "list", "--json"]).await.success().json();
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("shop"), &json!("valid")));
    assert!(!listed.to_string().contains(&key) && !listed[0]["last_used_at"].is_null(), "{listed}");
    let again = api.home.kabar(&["key", "add", "shop", "--scope", "read"]).await.code(1);
    assert!(again.stderr.contains("another name"), "{again:?}");
    let _ = api.home.kabar(&["key", "revoke", "shop"]).await.success();
    assert_problem(&api.post(&key, "/v1/jobs", &send("b", &phone(1))).await, 401, "unauthenticated");
    let told = api.home.kabar(&["audit", "--json"]).await.success().json();
    let actions: Vec<&str> = told.as_array().expect("a list").iter().filter_map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, ["key.revoke", "job.enqueue", "key.add"], "{told}");
    let wrong = api.home.kabar(&["key", "add", "x", "--scope", "everything"]).await.code(2);
    assert!(wrong.stderr.contains("enqueue, read, operate, admin"), "{wrong:?}");
    assert_eq!(api.call("GET", "/v1/stats", &[("authorization", &bearer(&key))], "").await.status, 401);
}
