//! What operators see and do by HTTP.

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, Store};
use kabar_tests::{LedgerKind, eventually, guests::phone};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer, on_both_ledgers};
use crate::support::{WITHIN, broadcast, send};

on_both_ledgers!(
    a_broadcast_is_seen_paused_resumed_and_cancelled,
    a_preview_says_what_a_broadcast_would_come_to,
    a_paid_reminder_ends,
    a_reminder_is_moved,
    schedules_are_added_paused_resumed_and_removed,
    a_broadcast_is_exported_and_its_failed_ones_retried,
    people_are_seen_blocked_and_unblocked,
    lists_are_given_a_page_at_a_time,
);

async fn planned(store: &Store, id: &str) {
    eventually(WITHIN, async || {
        let (job, _) = store.job_summary(DEFAULT_TENANT, id, None).await.map_err(|error| error.to_string())?;
        let planned = store.job_is_planned(job).await.map_err(|error| error.to_string())?;
        planned.then_some(()).ok_or_else(|| "not planned".to_owned())
    })
    .await;
}

async fn a_broadcast_is_seen_paused_resumed_and_cancelled(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read, Scope::Operate]).await;
    assert_eq!(api.post(&key, "/v1/jobs", &broadcast("dep", 3)).await.status, 202);
    planned(api.ledger.store(), "dep").await;
    let state = |answer: &kabar_tests::http::Response| answer.json()["state"].clone();
    let shown = api.get(&key, "/v1/broadcasts/dep").await;
    assert_eq!((state(&shown), &shown.json()["reasons"]), (json!("running"), &json!([])));
    let told = api.home.kabar(&["broadcast", "show", "dep", "--json"]).await.success().json();
    let without_eta = |mut value: Value| {
        value["eta"] = json!(null);
        value
    };
    assert_eq!(without_eta(told), without_eta(shown.json()), "the command line and the API say the same");
    for (verb, now) in [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        let answer = api.post(&key, &format!("/v1/broadcasts/dep/{verb}"), &json!({})).await;
        assert_eq!((answer.status, state(&answer)), (200, json!(now)), "{verb}");
    }
    assert_eq!(api.get(&key, "/v1/broadcasts/dep").await.json()["counts"]["cancelled"], 3);
    assert_problem(&api.post(&key, "/v1/broadcasts/dep/pause", &json!({})).await, 409, "not-possible");
    assert_problem(&api.post(&key, "/v1/broadcasts/none/pause", &json!({})).await, 404, "not-found");
    assert_eq!(api.get(&key, "/v1/broadcasts").await.json()["data"][0]["id"], "dep");
}

async fn a_preview_says_what_a_broadcast_would_come_to(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let content = json!({"template": {"name": "departure", "language": "id", "params": ["{name}"]}});
    let people = json!([{"to": phone(1), "name": "Siti"}, {"to": phone(2)}, {"to": phone(1), "name": "Siti"}]);
    let job = json!({"type": "broadcast", "id": "seen", "audience": {"recipients": people}, "content": content});
    let preview = api.post(&key, "/v1/broadcasts:preview", &job).await;
    assert_eq!(preview.status, 200, "{}", preview.body);
    let preview = preview.json();
    let counts = ["audience", "repeated", "missing_parameter", "to_send"].map(|name| preview[name].clone());
    assert_eq!(counts, [json!(2), json!(1), json!(1), json!(1)], "{preview}");
    assert_problem(&api.get(&key, "/v1/broadcasts/seen").await, 404, "not-found");
    assert_problem(&api.post(&key, "/v1/broadcasts:preview", &send("x", "+6281200000001")).await, 422, "invalid");
}

async fn a_paid_reminder_ends(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let reminder = |id: &str| json!({"type": "reminder", "id": id, "to": phone(1), "due": "2099-12-12", "content": {"text": "pay"}});
    for id in ["paid", "withdrawn"] {
        assert_eq!(api.post(&key, "/v1/jobs", &reminder(id)).await.status, 202);
        planned(api.ledger.store(), id).await;
    }
    let shown = api.get(&key, "/v1/reminders/paid").await.json();
    assert_eq!((&shown["messages"][0]["before"], &shown["messages"][3]["before"]), (&json!("7d"), &json!("0d")));
    let ended = api.post(&key, "/v1/reminders/paid/paid", &json!({})).await.json();
    assert_eq!(ended, json!({"id": "paid", "state": "cancelled", "reason": "paid", "messages": 4}));
    assert_eq!(api.post(&key, "/v1/reminders/paid/paid", &json!({})).await.json()["messages"], 0);
    assert_eq!(api.post(&key, "/v1/reminders/withdrawn/cancel", &json!({})).await.json()["reason"], "cancelled");
    let messages = api.get(&key, "/v1/messages?job=paid&state=cancelled").await.json();
    assert_eq!((messages["data"].as_array().map(Vec::len), &messages["data"][0]["reason"]), (Some(4), &json!("paid")));
    let id = messages["data"][0]["id"].to_string();
    assert_eq!(api.get(&key, &format!("/v1/messages/{id}")).await.json()["state"], "cancelled");
    assert_problem(&api.get(&key, "/v1/messages/paid").await, 409, "not-possible");
    let states: Vec<Value> = api.get(&key, "/v1/reminders").await.json()["data"].as_array().expect("a list").clone();
    assert!(states.iter().all(|one| one["state"] == "cancelled") && states.len() == 2, "{states:?}");
    assert_problem(&api.post(&key, "/v1/reminders/none/paid", &json!({})).await, 404, "not-found");
}

async fn a_reminder_is_moved(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let reminder = json!({"type": "reminder", "id": "invoice", "to": phone(1), "due": "2099-12-12",
        "before": ["7d", "0d"], "content": {"text": "x"}});
    assert_eq!(api.post(&key, "/v1/jobs", &reminder).await.status, 202);
    planned(api.ledger.store(), "invoice").await;
    let moved = api.post(&key, "/v1/reminders/invoice/move", &json!({"due": "2099-12-20"})).await;
    assert_eq!((moved.status, &moved.json()["taken_back"]), (200, &json!(2)), "{}", moved.body);
    assert_eq!(moved.json()["preview"]["messages"][0]["at"], "2099-12-13T09:00:00Z");
    assert_eq!(api.get(&key, "/v1/reminders/invoice").await.json()["due"], "2099-12-20");
    for (body, field) in [(json!({}), "due"), (json!({"due": "2099-12-20", "when": 1}), "when")] {
        let refusal = api.post(&key, "/v1/reminders/invoice/move", &body).await;
        assert_eq!(assert_problem(&refusal, 422, "invalid")["field"], field);
    }
}

async fn schedules_are_added_paused_resumed_and_removed(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Operate, Scope::Read]).await;
    let job = json!({"type": "send", "id": "weekly", "to": phone(1), "content": {"text": "x"}});
    let schedule = json!({"cron": "0 9 * * 1", "timezone": "Asia/Jakarta", "missed": "catch_up:3", "job": job});
    let added = api.post(&key, "/v1/schedules", &schedule).await;
    assert_eq!((added.status, &added.json()["state"]), (201, &json!("active")), "{}", added.body);
    let path = format!("/v1/schedules/{}", added.json()["id"].as_str().unwrap_or_default());
    assert_eq!(api.get(&key, &path).await.json()["next"].as_array().map(Vec::len), Some(10));
    for (verb, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "active")] {
        assert_eq!(api.post(&key, &format!("{path}/{verb}"), &json!({})).await.json()["state"], state, "{verb}");
    }
    let bearer = bearer(&key);
    assert_eq!(api.call("DELETE", &path, &[("authorization", &bearer)], "").await.status, 204);
    assert_problem(&api.get(&key, &path).await, 404, "not-found");
    let wrong = |name: &str, value: Value| {
        let mut body = schedule.clone();
        body[name] = value;
        body
    };
    for (body, field) in [
        (wrong("cron", json!("99 * * * *")), "cron"),
        (wrong("timezone", json!("Jakarta")), "timezone"),
        (wrong("missed", json!("never")), "missed"),
        (wrong("job", json!({"type": "send", "to": "nobody", "content": {"text": "x"}})), "job.to"),
        (wrong("every", json!(1)), "every"),
    ] {
        let refusal = api.post(&key, "/v1/schedules", &body).await;
        assert_eq!(assert_problem(&refusal, 422, "invalid")["field"], field);
    }
}

async fn a_broadcast_is_exported_and_its_failed_ones_retried(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Operate, Scope::Read]).await;
    assert_eq!(api.post(&key, "/v1/jobs", &broadcast("dep", 3)).await.status, 202);
    planned(api.ledger.store(), "dep").await;
    let exported = api.get(&key, "/v1/broadcasts/dep/export").await;
    assert_eq!(exported.header("content-type"), Some("text/csv; charset=utf-8"));
    let told = api.home.kabar(&["broadcast", "export", "dep"]).await.success().stdout;
    let phones = |csv: &str| csv.lines().map(|line| line.split(',').next().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!((phones(&exported.body), exported.body.lines().count()), (phones(&told), 4));
    let retried = api.post(&key, "/v1/broadcasts/dep/retry", &json!({})).await;
    assert_eq!(retried.json(), json!({"retried": 0}), "none has failed");
}

async fn people_are_seen_blocked_and_unblocked(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read, Scope::Operate]).await;
    assert_eq!(api.post(&key, "/v1/jobs", &send("s", &phone(1))).await.status, 202);
    planned(api.ledger.store(), "s").await;
    let path = format!("/v1/recipients/%2B{}", phone(1).trim_start_matches('+'));
    let block = format!("{path}/block");
    let authorization = bearer(&key);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let blocked = api.call("PUT", &block, &headers, r#"{"reason": "asked for it"}"#).await.json();
    assert_eq!(
        (&blocked["blocks"][0]["reason"], &blocked["blocks"][0]["channel"]),
        (&json!("asked for it"), &json!("whatsapp"))
    );
    assert_eq!(api.get(&key, "/v1/jobs/s").await.json()["counts"]["skipped"], 1);
    assert_eq!(api.call("PUT", &block, &headers[..1], "").await.status, 200, "the body may be left out");
    for _ in 0..2 {
        assert_eq!(api.call("DELETE", &block, &headers, "").await.json()["blocks"], json!([]));
    }
    assert_eq!(api.get(&key, &path).await.json()["phone"], phone(1));
    assert_problem(&api.get(&key, "/v1/recipients/%2B6281299999999").await, 404, "not-found");
    let problem = assert_problem(&api.get(&key, "/v1/recipients/nobody").await, 400, "invalid-parameter");
    assert_eq!((&problem["field"], &problem["value"]), (&json!("phone"), &json!("nobody")));
    assert_problem(&api.call("PUT", &block, &headers, r#"{"reason": 7}"#).await, 422, "invalid");
    let opt_out = format!("{path}/opt-out");
    let of_all = api.call("PUT", &opt_out, &headers, r#"{"covers": "all", "reason": "asked for it"}"#).await.json();
    assert_eq!(of_all["opt_outs"][0]["covers"], "all", "{of_all}");
    let both = api.call("PUT", &opt_out, &headers[..1], "").await.json();
    assert_eq!(both["opt_outs"][1]["covers"], "marketing", "the body may be left out: {both}");
    assert_eq!(api.call("DELETE", &opt_out, &headers, "").await.json()["opt_outs"], json!([]));
    assert_problem(&api.call("PUT", &opt_out, &headers, r#"{"covers": "utility"}"#).await, 422, "invalid");
    // Numbers are in no log.
    assert!(!api.process.log().contains(phone(1).trim_start_matches('+')), "a number is in the log");
    let entries = api.get(&api.key(&[Scope::Admin]).await, "/v1/audit").await;
    assert!(
        entries.body.contains("recipient.block")
            && entries.body.contains("recipient.opt_in")
            && !entries.body.contains(phone(1).trim_start_matches('+'))
    );
}

async fn lists_are_given_a_page_at_a_time(api: Api) {
    let key = api.key(&[Scope::Enqueue, Scope::Read]).await;
    let jobs: Vec<Value> = (0..5).map(|index| broadcast(&format!("b-{index}"), 1)).collect();
    assert_eq!(api.post(&key, "/v1/jobs", &json!({"jobs": jobs})).await.status, 202);
    let (mut seen, mut path) = (Vec::new(), "/v1/broadcasts?limit=2".to_owned());
    loop {
        let page = api.get(&key, &path).await.json();
        seen.extend(page["data"].as_array().expect("a list").iter().map(|one| one["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/broadcasts?limit=2&after={next}");
    }
    assert_eq!(seen, ["b-4", "b-3", "b-2", "b-1", "b-0"]);
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("after=x", "after"), ("state=lost", "state")] {
        let problem = assert_problem(&api.get(&key, &format!("/v1/messages?{query}")).await, 400, "invalid-parameter");
        assert_eq!(problem["field"], field, "{problem}");
    }
    assert_problem(&api.get(&key, "/v1/broadcasts?lim=1").await, 400, "invalid-parameter");
    for list in ["senders", "templates", "groups", "schedules"] {
        assert!(api.get(&key, &format!("/v1/{list}")).await.json()["data"].is_array(), "{list}");
    }
    let senders = api.get(&key, "/v1/senders").await;
    assert!(senders.body.contains("106540352242922") && !senders.body.contains("test-access-token"), "{senders:?}");
    assert_eq!(api.get(&key, "/v1/stats").await.json()["senders"][0]["name"], "default");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_may_call_only_where_the_settings_say_so() {
    let origin = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
    let api = Api::start(LedgerKind::Sqlite).await;
    let answer = api.call("OPTIONS", "/v1/jobs", &origin, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    let allowing = |home: kabar_tests::Home| home.with("KABAR_GATEWAY_CORS_ORIGINS", "https://app.example.com");
    let api = Api::start_with(LedgerKind::Sqlite, allowing).await;
    let answer = api.call("OPTIONS", "/v1/jobs", &origin, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"), "{answer:?}");
    let other = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    assert_eq!(api.call("OPTIONS", "/v1/jobs", &other, "").await.header("access-control-allow-origin"), None);
}
