//! What a whole run logs when everything is logged, libraries included: JSON with ids, and nothing of a person, a message or a
//! secret.

use kabar_domain::message::StateCounts;
use kabar_queue::Line;
use kabar_sandbox::signature;
use kabar_store::{DEFAULT_TENANT, Store};
use kabar_tests::{
    IdentityProvider, KabarProcess, LedgerKind, QueueKind, SharedQueue, TestLedger, Time, eventually,
    guests::{digits, phone},
    http,
    identity::SigningKey,
    sandbox::{self, ACCESS_TOKEN, APP_SECRET, PHONE_NUMBER_ID, VERIFY_TOKEN},
};
use serde_json::{Value, json};

use crate::support::{WITHIN, number, send, with};

const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What no line may hold, beside the secrets that are made in the test: whatever all numbers of it have in common, names,
/// values, texts and what people wrote.
const PERSONAL: [&str; 8] = [
    "8121000",
    "15550102",
    "15550101",
    "Siti-of-the-test",
    "Paket-of-the-test",
    "Halo-of-the-test",
    "Terima-kasih-of-the-test",
    "Jalan-of-the-test",
];

/// Everybody whom the test writes to: the sandbox refuses the last two, at once and later.
fn everybody() -> Vec<Value> {
    let numbers = (0..6).map(phone).chain(["+15550102".to_owned(), "+15550101".to_owned()]);
    let params = json!({"package": "Paket-of-the-test"});
    numbers.map(|to| json!({"to": to, "name": "Siti-of-the-test", "params": params})).collect()
}

fn content() -> Value {
    json!({"template": {"name": "departure_reminder", "language": "id", "params": ["{name}", "{package}"]}})
}

async fn a_run_logs_nothing_personal(ledger: LedgerKind, queue: QueueKind) {
    let sandbox = sandbox::start(|config| {
        config.faults.fail_codes.insert(digits(3), 132_000);
        config.faults.throttle_every = Some(5);
    })
    .await;
    let provider = IdentityProvider::start().await;
    let signer = SigningKey::new("first", "RS256");
    provider.list(&[&signer]);
    let ledger = TestLedger::open(ledger, Time::System).await;
    let queue = SharedQueue::make(queue).await;
    let home = queue
        .home()
        .on_ledger(&ledger)
        .on_sandbox(&sandbox)
        .with("KABAR_MASTER_KEY", MASTER_KEY)
        .with("KABAR_LOG", "trace")
        .with("KABAR_LOG_FORMAT", "json");
    let home = provider.environment().into_iter().fold(home, |home, (name, value)| home.with(name, value));
    assert_eq!(home.kabar(&["migrate"]).await.code, Some(0));
    let mut fleet = home.fleet().await;
    sandbox::report_to(&sandbox, fleet.address());

    let key = home.kabar(&["key", "add", "shop", "--scope", "admin"]).await.success().stdout.trim().to_owned();
    let token = signer.token(&provider.claims(&["admin"]));
    enqueue_over_http(&fleet, &key).await;
    ask_and_err(&fleet, &token).await;
    post_events(&fleet).await;
    let bad = json!({"type": "send", "id": "bad", "to": phone(4), "Siti-of-the-test": "Halo-of-the-test"});
    let lines = queue.open(ledger.store()).await;
    lines.publish(Line::Jobs, &[bad.to_string(), "Halo-of-the-test".to_owned()]).await.expect("it is published");
    let file = format!("phone,name,package\n{},Siti-of-the-test,Paket-of-the-test\n8121000,x,y\n", phone(5));
    home.write("guests.csv", &file);
    let commands = [
        home.kabar(&["recipient", "import", "guests.csv", "--json"]).await.success(),
        home.kabar(&["recipient", "show", &phone(5)]).await.success(),
        home.kabar(&["send", "--to", &phone(5), "--template", "x", "--language", "id", "--param", "Halo-of-the-test"])
            .await
            .success(),
        home.kabar(&["message", "list", "--json"]).await.success(),
    ];

    let store = ledger.store();
    eventually(WITHIN, async || all_ended(store).await).await;
    sandbox.send_inbound(&digits(0), "Terima-kasih-of-the-test").await;
    eventually(WITHIN, async || {
        let found = store.recipient(DEFAULT_TENANT, &number(&phone(0))).await.map_err(|error| error.to_string())?;
        found.last_inbound_at.map(drop).ok_or_else(|| "what they wrote has not come in".to_owned())
    })
    .await;
    fleet.signal("TERM").await;
    assert!(fleet.wait(WITHIN).await.success());

    let secrets = [&key, &token, ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, MASTER_KEY];
    let forbidden: Vec<&str> = PERSONAL.into_iter().chain(secrets).collect();
    judge(&fleet.log(), &forbidden, true);
    // What commands say to people is on standard error, too; their log is JSON.
    for command in &commands {
        let log: String = command.stderr.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>().join("\n");
        judge(&log, &forbidden, false);
    }
    sandbox.shutdown().await;
}

/// Jobs of each kind, good ones and bad ones.
async fn enqueue_over_http(fleet: &KabarProcess, key: &str) {
    let text = |body: &str| json!({"text": {"body": body}});
    let jobs = json!({"jobs": [
        {"type": "broadcast", "id": "b", "audience": {"recipients": everybody()}, "content": content()},
        with(send("s", &phone(1)), &[("content", text("Halo-of-the-test"))]),
        with(send("again", "+15550102"), &[("content", text("Halo-of-the-test"))]),
        {"type": "reminder", "id": "r", "to": phone(2), "due": "2099-12-12", "content": text("Halo-of-the-test")},
    ]});
    assert_eq!(posted(fleet, key, "/v1/jobs", &jobs).await, 202);
    for (bad, status) in [
        (with(send("x", "08121000"), &[("content", text("Halo-of-the-test"))]), 422),
        (with(send("x", &phone(1)), &[("Siti-of-the-test", json!("Siti-of-the-test"))]), 422),
        (with(send("s", &phone(2)), &[("content", text("Halo-of-the-test"))]), 409),
        (with(send("x", &phone(1)), &[("content", json!({"text": {"body": {"Halo-of-the-test": 1}}}))]), 422),
        (with(send("x", &phone(1)), &[("sender", json!("Siti-of-the-test"))]), 422),
    ] {
        assert_eq!(posted(fleet, key, "/v1/jobs", &bad).await, status, "{bad}");
    }
}

async fn posted(fleet: &KabarProcess, key: &str, path: &str, body: &Value) -> u16 {
    let authorization = format!("Bearer {key}");
    let answer = http::post(fleet.address(), path, &[("authorization", &authorization)], body).await;
    answer.unwrap_or_else(|error| panic!("POST {path}: {error}")).status
}

/// Looks at people by their numbers, blocks one, and asks for what is not there, by a token and by worthless ones.
async fn ask_and_err(fleet: &KabarProcess, token: &str) {
    let path = format!("/v1/recipients/%2B{}", digits(1));
    let block = format!("{path}/block");
    let ask = async |method: &str, path: &str, token: &str, body: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let answer = http::request(fleet.address(), method, path, &headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}")).status
    };
    assert_eq!(ask("PUT", &block, token, "{\"reason\": \"Jalan-of-the-test\"}").await, 200);
    assert_eq!(ask("GET", &path, token, "").await, 200);
    assert_eq!(ask("DELETE", &block, token, "").await, 200);
    assert_eq!(ask("GET", &format!("{path}x"), token, "").await, 400);
    assert_eq!(ask("GET", &format!("/v1/messages/{}", digits(1)), token, "").await, 404);
    assert_eq!(ask("POST", "/v1/jobs", token, "{\"to\": \"Siti-of-the-test").await, 400);
    assert_eq!(ask("GET", &path, &token[..token.len() - 4], "").await, 401);
    assert_eq!(ask("GET", &path, "Siti-of-the-test", "").await, 401);
}

/// Events that are not signed, not readable, and about nobody we know.
async fn post_events(fleet: &KabarProcess) {
    let unknown = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
        {"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "6281210009", "phone_number_id": PHONE_NUMBER_ID},
            "contacts": [{"profile": {"name": "Siti-of-the-test"}, "wa_id": digits(0)}],
            "messages": [{"from": digits(0), "id": "wamid.x", "timestamp": "1", "type": "Jalan-of-the-test"}],
            "statuses": [{"id": "wamid.y", "status": "failed", "timestamp": "1", "recipient_id": digits(0),
                "errors": [{"code": 1, "title": "Siti-of-the-test", "message": "+62812-1000-001 is not there"}]}]}},
        {"field": "Jalan-of-the-test", "value": {"Siti-of-the-test": digits(0)}},
    ]}]});
    for (body, secret, status) in [
        (unknown.to_string(), APP_SECRET, 200),
        (unknown.to_string(), "another", 401),
        (format!("{{\"object\": \"Siti-of-the-test {}\"", digits(0)), APP_SECRET, 200),
        ("[\"Siti-of-the-test\"]".to_owned(), APP_SECRET, 200),
    ] {
        let signed = signature(secret, body.as_bytes());
        let headers = [("content-type", "application/json"), ("x-hub-signature-256", signed.as_str())];
        let answer = http::request(fleet.address(), "POST", "/webhooks/whatsapp", &headers, &body).await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("an event: {error}")).status, status, "{body}");
    }
}

/// Whether each message that is due has come to its end, and the dead letter is there.
async fn all_ended(store: &Store) -> Result<(), String> {
    let told = |error: kabar_store::StoreError| error.to_string();
    for id in ["b", "s", "again"] {
        let (job, _) = store.job_summary(DEFAULT_TENANT, id, None).await.map_err(told)?;
        let counts = store.job_counts(job).await.map_err(told)?;
        if !store.job_is_planned(job).await.map_err(told)? || !StateCounts::all_done(&counts) {
            return Err(format!("{id}: {}", serde_json::to_string(&counts).unwrap_or_default()));
        }
    }
    let dead = store.count_dead_letters(DEFAULT_TENANT).await.map_err(told)?;
    if dead < 2 { Err(format!("{dead} dead letters")) } else { Ok(()) }
}

/// Fails where a line is no JSON object, holds what is forbidden, or lacks the ids of what it tells of.
#[track_caller]
fn judge(log: &str, forbidden: &[&str], is_fleet: bool) {
    let (mut requests, mut sent, mut from_libraries) = (0, 0, 0);
    for line in log.lines() {
        for text in forbidden {
            assert!(!line.contains(text), "{text:?} is in the log: {line}");
        }
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        let said = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        assert!(!said("timestamp").is_empty() && !said("level").is_empty() && !said("target").is_empty(), "{line}");
        from_libraries += usize::from(!said("target").starts_with("kabar"));
        match (said("target").as_str(), said("message").as_str()) {
            ("kabar::gateway::api::observe", "answered") => {
                requests += 1;
                assert!(entry["span"]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
            }
            ("kabar::courier::sending", "sent") => {
                sent += 1;
                assert!(entry["message_id"].is_i64() && entry["sender"].is_i64(), "{line}");
            }
            _ => {}
        }
    }
    assert!(!is_fleet || (requests > 10 && sent > 5 && from_libraries > 20), "{requests} {sent} {from_libraries}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program: run tests/run"]
async fn a_run_logs_nothing_personal_on_sqlite() {
    Box::pin(a_run_logs_nothing_personal(LedgerKind::Sqlite, QueueKind::Database)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ: run tests/run"]
async fn a_run_logs_nothing_personal_on_postgres_and_rabbitmq() {
    Box::pin(a_run_logs_nothing_personal(LedgerKind::Postgres, QueueKind::RabbitMq)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and an SQS server: run tests/run"]
async fn a_run_logs_nothing_personal_on_postgres_and_sqs() {
    Box::pin(a_run_logs_nothing_personal(LedgerKind::Postgres, QueueKind::Sqs)).await;
}
