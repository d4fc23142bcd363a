//! The programs in `deploy/examples`, as another service would run them: a job that is enqueued twice is one job.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kabar_domain::scope::Scope;
use kabar_queue::Line;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{
    Finished, Home, KabarProcess, LedgerKind, QueueKind, SharedQueue, TestLedger, Time, eventually, guests::phone,
};
use serde_json::Value;

use crate::{
    api::Api,
    support::{WITHIN, send},
};

/// The folder in which `tests/run` puts what the examples import.
const TOOLS: &str = "KABAR_TEST_EXAMPLE_TOOLS";

/// The job that comes with the examples, and one that is enqueued after it.
const JOB: &str = "job.json";
const LAST: &str = "last.json";

fn tools() -> PathBuf {
    std::env::var_os(TOOLS).unwrap_or_else(|| panic!("{TOOLS} is not set: run tests/run")).into()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples").join(name)
}

/// What an example finds in the folder that it runs in; the id of the job that comes with it.
fn set_out(home: &Home) -> String {
    let job = std::fs::read_to_string(example(JOB)).expect("the example's job is there");
    home.write(JOB, &job);
    home.write(LAST, &send("last", &phone(0)).to_string());
    let job: Value = serde_json::from_str(&job).expect("the job is JSON");
    job["id"].as_str().expect("it has an id").to_owned()
}

/// Fails unless the ledger took in the example's job once, whichever way it came, and the one after it.
async fn assert_taken_in_once(ledger: &TestLedger, id: &str) {
    let store = ledger.store();
    let jobs = store.jobs(DEFAULT_TENANT, "send", None, 10).await.expect("the jobs can be listed");
    let mut ids: Vec<&str> = jobs.iter().map(|(_, job)| job.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [id, "last"]);
    assert_eq!(store.count_dead_letters(DEFAULT_TENANT).await.expect("they can be counted"), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl and Python: run tests/run"]
async fn over_http() {
    for (program, script) in [("sh", "enqueue_http.sh"), ("python3", "enqueue_http.py")] {
        let api = Api::start(LedgerKind::Sqlite).await;
        let key = api.key(&[Scope::Enqueue]).await;
        let address = format!("http://{}", api.process.address());
        let home = Home::new().with("API_URL", address).with("API_KEY", key.as_str());
        let id = set_out(&home);
        let script = example(script).display().to_string();
        let ran = home.run(program.as_ref(), &[&script, JOB, JOB, LAST]).await.success();
        assert_eq!(ran.stdout.matches(&id).count(), 2, "{ran:?}");
        assert_taken_in_once(&api.ledger, &id).await;

        home.write(LAST, r#"{"type": "send", "id": "wrong", "to": "nobody", "content": {"text": {"body": "x"}}}"#);
        let refused = home.run(program.as_ref(), &[&script, LAST]).await;
        assert!(refused.code != Some(0), "{refused:?}");
        let told = format!("{}{}", refused.stdout, refused.stderr);
        assert!(told.contains("\"field\":\"to\"") && !told.contains(&key), "{refused:?}");
        api.process.stop().await;
    }
}

/// A fleet's intake on a queue of its own, and what producers run beside it.
struct Broker {
    ledger: TestLedger,
    queue: SharedQueue,
    home: Home,
    intake: KabarProcess,
    id: String,
}

impl Broker {
    async fn start(kind: QueueKind) -> Self {
        let ledger = TestLedger::open(LedgerKind::Sqlite, Time::System).await;
        let queue = SharedQueue::make(kind).await;
        let home = queue
            .home()
            .on_ledger(&ledger)
            .with("WHATSAPP_PHONE_NUMBER_ID", "106540352242922")
            .with("WHATSAPP_ACCESS_TOKEN", "test-access-token");
        let mut intake = home.start(&["run", "--only", "gateway,intake"]);
        intake.ready().await;
        let id = set_out(&home);
        Self { ledger, queue, home, intake, id }
    }

    /// Waits until all that was enqueued is taken in, and fails unless that is each job once.
    async fn finish(self, ran: Finished) {
        let ran = ran.success();
        assert_eq!(ran.stdout.matches(&self.id).count(), 2, "{ran:?}");
        let store = self.ledger.store();
        eventually(WITHIN, async || store.job_id(DEFAULT_TENANT, "last").await.expect("the ledger is there")).await;
        self.intake.stop().await;
        // What it had in hand when it stopped would lie in the queue again.
        let queue = self.queue.open(store).await;
        assert_eq!(queue.ready(Line::Jobs).await.expect("the queue can be asked"), 0);
        queue.close().await;
        assert_taken_in_once(&self.ledger, &self.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ, Python with pika: run tests/run"]
async fn over_rabbitmq_in_python() {
    let broker = on_rabbitmq().await;
    let script = example("enqueue_rabbitmq.py").display().to_string();
    let ran = broker.home.run(&tools().join("python/bin/python"), &[&script, JOB, JOB, LAST]).await;
    broker.finish(ran).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ, Node with amqplib: run tests/run"]
async fn over_rabbitmq_in_node() {
    let broker = on_rabbitmq().await;
    // A module imports what lies beside it.
    let script = "enqueue_rabbitmq.mjs";
    broker.home.write(script, &std::fs::read_to_string(example(script)).expect("the example is there"));
    symlink(tools().join("node/node_modules"), broker.home.path().join("node_modules")).expect("it can be linked");
    let ran = broker.home.run("node".as_ref(), &[script, JOB, JOB, LAST]).await;
    broker.finish(ran).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server for Amazon SQS, Python with boto3: run tests/run"]
async fn over_sqs_in_python() {
    let broker = Broker::start(QueueKind::Sqs).await;
    let SharedQueue::Sqs(sqs) = &broker.queue else { panic!("it is on SQS") };
    let script = example("enqueue_sqs.py").display().to_string();
    let arguments = [&script, &sqs.prefix, JOB, JOB, LAST];
    let ran = broker.home.run(&tools().join("python/bin/python"), &arguments).await;
    broker.finish(ran).await;
}

async fn on_rabbitmq() -> Broker {
    let mut broker = Broker::start(QueueKind::RabbitMq).await;
    let SharedQueue::RabbitMq(server) = &broker.queue else { panic!("it is on RabbitMQ") };
    let url = server.url();
    broker.home = broker.home.with("AMQP_URL", url);
    broker
}
