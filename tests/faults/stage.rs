//! What faults of many processes happen on: a ledger in Postgres, a queue, a simulated provider, and real processes.

use std::time::Duration;

use kabar_domain::{
    job::{Door, Job},
    message::{MessageState, StateCounts},
};
use kabar_queue::Queue;
use kabar_sandbox::Sandbox;
use kabar_store::{DEFAULT_TENANT, Place, Store, StoreOptions};
use kabar_tests::{
    Home, KabarProcess, LedgerKind, PostgresServer, QueueKind, SharedQueue, TestLedger, Time, eventually,
    guests::{assert_each_accepted_once, phone},
    sandbox,
};
use serde_json::{Value, json};

/// How long anything here may take on a machine that builds other things meanwhile. Nothing waits for so long in vain.
pub(crate) const WITHIN: Duration = Duration::from_secs(90);

/// How long a process may take to end once it has been told to or has to.
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(40);

/// A ledger and a queue that are used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Both in one file.
    Sqlite,
    /// Both in Postgres.
    Postgres,
    /// The ledger in Postgres.
    RabbitMq,
    /// The ledger in Postgres.
    Sqs,
}

impl Backend {
    pub(crate) const fn ledger(self) -> LedgerKind {
        match self {
            Self::Sqlite => LedgerKind::Sqlite,
            Self::Postgres | Self::RabbitMq | Self::Sqs => LedgerKind::Postgres,
        }
    }

    pub(crate) const fn queue(self) -> QueueKind {
        match self {
            Self::Sqlite | Self::Postgres => QueueKind::Database,
            Self::RabbitMq => QueueKind::RabbitMq,
            Self::Sqs => QueueKind::Sqs,
        }
    }
}

/// Makes a test for each queue of functions that take a [`QueueKind`].
macro_rules! on_every_queue {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: run tests/run"]
            async fn database() {
                super::$name(kabar_tests::QueueKind::Database).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL and RabbitMQ: run tests/run"]
            async fn rabbitmq() {
                super::$name(kabar_tests::QueueKind::RabbitMq).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL and a server for Amazon SQS: run tests/run"]
            async fn sqs() {
                super::$name(kabar_tests::QueueKind::Sqs).await;
            }
        })+
    };
}
pub(crate) use on_every_queue;

/// Makes a test for each [`Backend`] of functions that take one.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs the program: run tests/run"]
            async fn sqlite() {
                super::$name($crate::stage::Backend::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: run tests/run"]
            async fn postgres() {
                super::$name($crate::stage::Backend::Postgres).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL and RabbitMQ: run tests/run"]
            async fn rabbitmq() {
                super::$name($crate::stage::Backend::RabbitMq).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL and a server for Amazon SQS: run tests/run"]
            async fn sqs() {
                super::$name($crate::stage::Backend::Sqs).await;
            }
        })+
    };
}
pub(crate) use on_every_backend;

/// Everything that processes share. The sender `default` sends to the sandbox.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) queue: SharedQueue,
    url: String,
    /// The database, as long as the stage.
    _ledger: Option<TestLedger>,
}

impl Stage {
    /// On a database of its own; the sender's rate and other settings as variables of the environment.
    pub(crate) async fn open(queue: QueueKind, rate: u32, settings: &[(&str, &str)]) -> Self {
        Self::on_ledger(queue, rate, settings, TestLedger::open(LedgerKind::Postgres, Time::System).await).await
    }

    /// On a ledger and a queue of its own.
    pub(crate) async fn on_backend(backend: Backend, rate: u32, settings: &[(&str, &str)]) -> Self {
        let ledger = TestLedger::open(backend.ledger(), Time::System).await;
        Self::on_ledger(backend.queue(), rate, settings, ledger).await
    }

    /// The same, on this ledger.
    pub(crate) async fn on_ledger(queue: QueueKind, rate: u32, settings: &[(&str, &str)], ledger: TestLedger) -> Self {
        let (store, queue) = (ledger.reopen().await, SharedQueue::make(queue).await);
        let home = queue.home().on_ledger(&ledger);
        let url = ledger.url();
        Self { _ledger: Some(ledger), ..Self::set(queue, rate, settings, home, store, url).await }
    }

    /// On a server of the test's own.
    pub(crate) async fn on_server(server: &PostgresServer, rate: u32, settings: &[(&str, &str)]) -> Self {
        Self::by_way_of(server, server.address(), SharedQueue::Database, rate, settings).await
    }

    /// The same, with a queue, for processes that reach the server at another address; the test itself goes directly.
    pub(crate) async fn by_way_of(
        server: &PostgresServer,
        address: &str,
        queue: SharedQueue,
        rate: u32,
        settings: &[(&str, &str)],
    ) -> Self {
        let store = Store::open(&StoreOptions::at(Place::Postgres(server.url()))).await.expect("the ledger opens");
        store.migrate().await.expect("the ledger can be migrated");
        let home = queue.home().with("KABAR_DATABASE_URL", server.url().replace(server.address(), address));
        Self::set(queue, rate, settings, home, store, server.url()).await
    }

    async fn set(
        queue: SharedQueue,
        rate: u32,
        settings: &[(&str, &str)],
        home: Home,
        store: Store,
        url: String,
    ) -> Self {
        let sandbox = sandbox::start(|_| {}).await;
        let home = home.on_sandbox(&sandbox).with("KABAR_LOG", "info");
        let home = home.with("KABAR_PACE_DEFAULT_RATE", rate.to_string());
        let home = settings.iter().fold(home, |home, (name, value)| home.with(name, *value));
        let _ = home.kabar(&["migrate"]).await.success();
        // Any command makes the sender that the environment defines.
        let _ = home.kabar(&["status"]).await.success();
        Self { sandbox, home, store, queue, url, _ledger: None }
    }

    /// A process with every worker, ready.
    pub(crate) async fn process(&self) -> KabarProcess {
        self.home.fleet().await
    }

    /// A process with some workers, ready; the gateway is always among them, and tells so.
    pub(crate) async fn process_with(&self, workers: &str) -> KabarProcess {
        let mut process = self.home.start(&["run", "--only", &format!("gateway,{workers}")]);
        process.ready().await;
        process
    }

    /// Lets the sandbox report to this process from now on.
    pub(crate) fn report_to(&self, process: &KabarProcess) {
        sandbox::report_to(&self.sandbox, process.address());
    }

    /// Enqueues a job; the ledger's id of it.
    pub(crate) async fn enqueue(&self, job: Value) -> i64 {
        let job = Job::from_value(job, Door::default(), None).expect("the job is valid");
        self.store.enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued").job_id()
    }

    /// Enqueues a broadcast to so many guests.
    pub(crate) async fn broadcast(&self, id: &str, guests: std::ops::Range<usize>) -> i64 {
        let recipients: Vec<Value> = guests.map(|index| json!({"to": phone(index)})).collect();
        let content = json!({"text": {"body": "Halo"}});
        self.enqueue(json!({"type": "broadcast", "id": id, "audience": {"recipients": recipients}, "content": content}))
            .await
    }

    /// How many messages of a job are in each state, where the ledger can be read and all of it is planned.
    pub(crate) async fn counts(&self, job: i64) -> Result<StateCounts, String> {
        let planned = self.store.job_is_planned(job).await.map_err(|error| error.to_string())?;
        let counts = self.store.job_counts(job).await.map_err(|error| error.to_string())?;
        planned.then_some(counts).ok_or_else(|| "it is still being planned".to_owned())
    }

    /// Waits until a job's counts are as wished.
    pub(crate) async fn counts_where(&self, job: i64, wish: impl Fn(&StateCounts) -> bool) -> StateCounts {
        eventually(WITHIN, async || {
            let counts = self.counts(job).await?;
            if wish(&counts) { Ok(counts) } else { Err(serde_json::to_string(&counts).unwrap_or_default()) }
        })
        .await
    }

    /// Waits until every message of a job is done.
    pub(crate) async fn done(&self, job: i64) -> StateCounts {
        self.counts_where(job, StateCounts::all_done).await
    }

    /// Waits until the provider has accepted so many.
    pub(crate) async fn accepted(&self, count: u64) {
        eventually(WITHIN, async || {
            let accepted = self.sandbox.counters().accepted;
            (accepted >= count).then_some(()).ok_or_else(|| format!("{accepted} of {count} accepted"))
        })
        .await;
    }

    /// The queue as another process sees it.
    pub(crate) async fn open_queue(&self) -> Queue {
        self.queue.open(&self.store).await
    }

    /// Where the ledger is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Fails unless the provider accepted one message for each of `count` guests, and never more in a second than `rate`.
    #[track_caller]
    pub(crate) fn assert_each_once_within(&self, count: usize, rate: usize) {
        assert_each_accepted_once(&self.sandbox.arrivals(), count);
        sandbox::assert_pace(&self.sandbox, rate);
    }
}

/// How many messages a worker has in hand, or nobody knows of.
pub(crate) fn in_hand(counts: &StateCounts) -> u64 {
    [MessageState::Claimed, MessageState::Sending, MessageState::InDoubt]
        .into_iter()
        .map(|state| counts.get(state))
        .sum()
}

/// Fails if the process logged an error.
#[track_caller]
pub(crate) fn assert_no_errors(process: &KabarProcess) {
    let log = process.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
