//! Tickets and jobs on Amazon SQS: purged, doubled, malformed, and with the server away.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use aws_sdk_sqs::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use kabar_queue::Line;
use kabar_sandbox::Sandbox;
use kabar_tests::{
    Home, KabarProcess, LedgerKind, Relay, TestLedger, TestSqs, Time, eventually,
    guests::{assert_each_accepted_once, csv},
    http, sandbox,
};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
const GUESTS: usize = 150;

/// A home whose fleet sends to the sandbox, `rate` a second, with its queues made.
async fn home(sqs: &TestSqs, sandbox: &Sandbox, rate: u32) -> Home {
    let home = sqs.home().on_sandbox(sandbox).with("KABAR_PACE_DEFAULT_RATE", rate.to_string());
    assert!(home.kabar(&["migrate"]).await.success().stdout.contains("up to date"));
    home
}

async fn reported_fleet(home: &Home, sandbox: &Sandbox) -> KabarProcess {
    let fleet = home.fleet().await;
    sandbox::report_to(sandbox, fleet.address());
    fleet
}

async fn start_broadcast(home: &Home) {
    home.write("guests.csv", &csv(GUESTS));
    let start = ["broadcast", "start", "--file", "guests.csv", "--template", "news", "--language", "id", "--id=dep-1"];
    assert!(home.kabar(&start).await.success().stdout.contains("dep-1"));
}

async fn accepted(sandbox: &Sandbox, count: u64) {
    eventually(WITHIN, async || {
        let accepted = sandbox.counters().accepted;
        (accepted >= count).then_some(()).ok_or_else(|| format!("{accepted} of {count} accepted"))
    })
    .await;
}

async fn completed(home: &Home) {
    eventually(WITHIN, async || {
        let shown = home.kabar(&["broadcast", "show", "dep-1", "--json"]).await.success().json();
        if shown["state"] == "completed" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server for Amazon SQS: run tests/run"]
async fn a_broadcast_whose_tickets_are_purged_ends_with_everybody_once() {
    let (sqs, sandbox) = (TestSqs::fresh(), sandbox::start(|_| {}).await);
    let home = home(&sqs, &sandbox, 50).await;
    let fleet = reported_fleet(&home, &sandbox).await;
    start_broadcast(&home).await;
    accepted(&sandbox, 30).await;
    let queue = sqs.open().await;
    queue.purge(Line::Batches).await.unwrap();
    accepted(&sandbox, 70).await;
    queue.purge(Line::Batches).await.unwrap();
    completed(&home).await;
    assert_each_accepted_once(&sandbox.arrivals(), GUESTS);
    fleet.stop().await;
}

/// Another service that enqueues jobs, with the SDK alone.
struct Producer {
    client: Client,
    url: String,
}

impl Producer {
    async fn new(sqs: &TestSqs) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&sqs.url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .build();
        let client = Client::from_conf(config);
        let found = client.get_queue_url().queue_name(format!("{}-jobs", sqs.prefix)).send().await.unwrap();
        Self { client, url: found.queue_url.unwrap() }
    }

    /// Sends a job and gives the id of its message.
    async fn send(&self, body: &str) -> String {
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
        sent.message_id.unwrap()
    }
}

fn job(to: &str) -> Value {
    json!({"type": "send", "to": to, "content": {"text": {"body": "Halo"}}})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server for Amazon SQS: run tests/run"]
async fn jobs_of_other_services_are_taken_in_once_by_their_id() {
    let (sqs, sandbox) = (TestSqs::fresh(), sandbox::start(|_| {}).await);
    let home = home(&sqs, &sandbox, 100).await;
    let producer = Producer::new(&sqs).await;
    let mut named = job("+628121000001");
    named["id"] = json!("invoice-1");
    producer.send(&named.to_string()).await;
    let nameless = producer.send(&job("+628121000002").to_string()).await;
    for malformed in ["no job at all", r#"{"type":"send","id":"invoice-2","to":"+628121000003"}"#] {
        producer.send(malformed).await;
    }
    producer.send(&named.to_string()).await;
    let fleet = reported_fleet(&home, &sandbox).await;
    accepted(&sandbox, 2).await;
    // The line has gone on behind what was malformed, and goes on.
    producer.send(&named.to_string()).await;
    named["id"] = json!("invoice-3");
    named["to"] = json!("+628121000004");
    producer.send(&named.to_string()).await;
    accepted(&sandbox, 3).await;
    let queue = sqs.open().await;
    eventually(WITHIN, async || {
        let ready = queue.ready(Line::Jobs).await.unwrap();
        if ready == 0 { Ok(()) } else { Err(format!("{ready} jobs are left")) }
    })
    .await;
    assert_each_accepted_once(&sandbox.arrivals(), 3);
    for id in ["invoice-1", &nameless] {
        let told = home.kabar(&["message", "show", id]).await.success().stdout;
        assert!(told.contains("default"), "{told}");
    }
    let dead = home.kabar(&["dead", "list", "--json"]).await.success().json();
    let dead = dead.as_array().unwrap();
    assert_eq!(dead.len(), 2, "{dead:?}");
    for letter in dead {
        let shown = home.kabar(&["dead", "show", &letter["id"].to_string(), "--json"]).await.success().json();
        assert_eq!(shown["line"], "jobs", "{shown}");
        assert!(shown["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shown}");
        let body = shown["body"].to_string();
        assert!(body.contains("no job at all") || body.contains("invoice-2"), "{shown}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server for Amazon SQS: run tests/run"]
async fn workers_go_on_by_themselves_when_the_server_is_back() {
    let (sqs, sandbox) = (TestSqs::fresh(), sandbox::start(|_| {}).await);
    let relay = Relay::to(sqs.url.strip_prefix("http://").unwrap()).await;
    let home = home(&sqs.at(format!("http://{}", relay.address())), &sandbox, 30).await;
    let mut fleet = reported_fleet(&home, &sandbox).await;
    start_broadcast(&home).await;
    accepted(&sandbox, 20).await;
    relay.cut();
    fleet.logged("tickets cannot be taken").await;
    fleet.logged("SQS cannot be reached").await;
    let not_ready = http::get(fleet.address(), "/readyz").await.unwrap();
    assert!(not_ready.status == 503 && not_ready.body.contains("queue"), "{not_ready:?}");
    assert!(fleet.ended().is_none(), "the process ended:\n{}", fleet.log());
    relay.mend();
    completed(&home).await;
    assert_each_accepted_once(&sandbox.arrivals(), GUESTS);
    fleet.ready().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and a server for Amazon SQS: run tests/run"]
async fn queues_that_are_missing_are_named_with_what_to_do() {
    let (sqs, ledger) = (TestSqs::fresh(), TestLedger::open(LedgerKind::Postgres, Time::System).await);
    let home = sqs.home().on_ledger(&ledger);
    let missing = format!("there is no queue {}-jobs: `kabar migrate` makes it", sqs.prefix);
    let doctor = home.kabar(&["doctor"]).await.code(1);
    assert!(doctor.stdout.contains(&missing), "{doctor:?}");
    let run = home.kabar(&["run"]).await.code(1);
    assert!(run.stderr.contains(&missing), "{run:?}");
    for _ in 0..2 {
        assert!(home.kabar(&["migrate"]).await.success().stdout.contains("up to date"));
    }
    let doctor = home.kabar(&["doctor"]).await;
    assert!(doctor.stdout.contains("✓ queue: 0 jobs ready"), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_region_and_missing_credentials_are_named_with_what_to_do() {
    let home = Home::new()
        .with("KABAR_QUEUE_URL", "sqs://kabar")
        .with("AWS_EC2_METADATA_DISABLED", "true")
        .with("AWS_CONFIG_FILE", "nothing-here")
        .with("AWS_SHARED_CREDENTIALS_FILE", "nothing-here");
    let doctor = home.kabar(&["doctor"]).await.code(1);
    assert!(doctor.stdout.contains("no AWS region is known: set AWS_REGION"), "{doctor:?}");
    let home = home.with("AWS_REGION", "ap-southeast-3");
    let doctor = home.kabar(&["doctor"]).await.code(1);
    assert!(doctor.stdout.contains("there are no usable AWS credentials"), "{doctor:?}");
    assert!(doctor.stdout.contains("AWS_ACCESS_KEY_ID"), "{doctor:?}");
}
