//! What a storm happens on: a stage whose ledger and queue can be struck.

use kabar_tests::{PostgresServer, QueueKind, Relay, SharedQueue};
use sqlx::{Connection, Executor, SqliteConnection, postgres::PgConnection};

use crate::stage::{Backend, Stage};

/// Short leases and retries, so that much happens in a minute. The grace of doubt is long beside any delay of receipts here,
/// as it is by default.
const SETTINGS: [(&str, &str); 12] = [
    ("KABAR_FLEET_LEASE", "4s"),
    ("KABAR_FLEET_SHUTDOWN_DEADLINE", "5s"),
    ("KABAR_DOUBT_GRACE", "20s"),
    ("KABAR_COURIER_REQUEST_TIMEOUT", "2s"),
    ("KABAR_COURIER_CONNECT_TIMEOUT", "1s"),
    ("KABAR_COURIER_MAX_TRIES", "100"),
    ("KABAR_COURIER_RETRY_FIRST", "200ms"),
    ("KABAR_COURIER_RETRY_MOST", "2s"),
    ("KABAR_COURIER_PARK_FIRST", "500ms"),
    ("KABAR_COURIER_PARK_MOST", "2s"),
    ("KABAR_LEDGER_STATEMENT_TIMEOUT", "2s"),
    ("KABAR_LEDGER_CONNECT_TIMEOUT", "2s"),
];

pub(super) struct Ground {
    pub(super) stage: Stage,
    /// Postgres, and the way to it.
    pub(super) server: Option<(PostgresServer, Relay)>,
    /// The way to the server for Amazon SQS.
    pub(super) to_sqs: Option<Relay>,
    /// Holds the only write lock of a ledger in a file, as another program might.
    pub(super) lock: Option<SqliteConnection>,
}

impl Ground {
    pub(super) async fn open(backend: Backend, rate: u32) -> Self {
        if backend == Backend::Sqlite {
            let stage = Stage::on_backend(backend, rate, &SETTINGS).await;
            return Self { stage, server: None, to_sqs: None, lock: None };
        }
        let server = PostgresServer::start().await;
        let relay = Relay::to(server.address()).await;
        let queue = SharedQueue::make(backend.queue()).await;
        let mut settings = SETTINGS.to_vec();
        let (mut to_sqs, mut address) = (None, String::new());
        if let SharedQueue::Sqs(sqs) = &queue {
            let relay = Relay::to(sqs.url.trim_start_matches("http://").trim_end_matches('/')).await;
            address = format!("http://{}", relay.address());
            to_sqs = Some(relay);
        }
        if backend.queue() == QueueKind::Sqs {
            settings.push(("AWS_ENDPOINT_URL_SQS", &address));
        }
        let stage = Stage::by_way_of(&server, &relay.address(), queue, rate, &settings).await;
        Self { stage, server: Some((server, relay)), to_sqs, lock: None }
    }

    /// Ends every session of a worker at the server, as an administrator might.
    pub(super) async fn end_sessions(&self) -> Result<(), sqlx::Error> {
        let mut person = PgConnection::connect(&self.stage.url()).await?;
        let ending = "select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = 'kabar' and pid <> pg_backend_pid()";
        person.execute(ending).await?;
        person.close().await
    }

    /// Takes the write lock of a ledger in a file, until it is dropped.
    pub(super) async fn take_lock(&mut self) -> Result<(), sqlx::Error> {
        let mut person = SqliteConnection::connect(&self.stage.url()).await?;
        person.execute("begin immediate").await?;
        self.lock = Some(person);
        Ok(())
    }
}
