//! The ledger: the truth about every job, message, attempt and event, and when each may next be acted on.
//!
//! The only crate that knows SQL. One [`Store`] serves SQLite and Postgres: statements are one text for both, those few
//! that must differ lie in `dialect`, and one conformance suite calls every public function on both.
//!
//! One file per noun. The life of a message goes through `jobs` (enqueued), `plan` (planned), `lanes` and `claims`
//! (claimed, started), `outcomes` (settled), `receipts` (vouched for) and `doubts` (settled later).

use std::{path::PathBuf, sync::Arc, time::Duration};

use kabar_domain::people_rules::PeopleRules;
use ring::hmac;
use sqlx::{
    ConnectOptions, Connection as _,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

mod allowances;
mod attempts;
mod audience;
mod audit;
mod backlog;
mod blocks;
mod broadcasts;
mod budgets;
mod claims;
mod clock;
mod db;
mod dead_letters;
mod dialect;
mod doubts;
mod error;
mod events;
mod groups;
mod jobs;
mod keys;
mod lanes;
mod leases;
mod lines;
mod messages;
mod migrations;
mod notice;
mod opaque;
mod outcomes;
mod pace;
mod pairs;
mod plan;
mod postgres;
mod quiet_hours;
mod receipts;
mod recipients;
mod reminders;
mod repair;
mod schedules;
mod seal;
mod senders;
mod shared_commit;
mod status;
mod story;
mod templates;
mod tenants;
mod trace_seeds;
mod wake;
mod wishes;
mod writer;

pub use audience::{AudienceRow, FileBroadcast};
pub use audit::{Actor, AuditEntry};
pub use backlog::{Backlog, LaneBacklog, SenderBacklog};
pub use blocks::Block;
pub use broadcasts::{Broadcast, BroadcastState, ExportRow, Forecast};
pub use budgets::Budget;
pub use claims::{Claimed, Shares, StartRequest, Started};
use clock::LedgerClock;
pub use clock::{Clock, ManualClock, SystemClock};
pub use dead_letters::{DeadLetter, DeadLetterFilter, NewDeadLetter};
use dialect::READ_CLOCK;
pub use doubts::DoubtsSettled;
pub use error::{StoreError, StoreResult};
pub use events::{Applied, Heard, NewEvent};
pub use groups::Group;
pub use jobs::{Enqueued, JobContent, JobSummary, RefusedJob};
pub use keys::{ApiKey, KeyId, KeyText, NewApiKey};
pub use lanes::{DueSender, LANE_JOB_MASK};
pub use leases::{Lease, LeaseId};
pub use lines::LineItem;
pub use messages::{ListedMessage, MessageFilter};
pub use outcomes::{SettlePolicy, Settled, Settlement};
pub use pace::{PaceView, Parking, Reservation, SlotRequest};
pub use plan::Planned;
pub use recipients::{Consent, Imported, NewConsent, NewRecipient, Recipient};
pub use reminders::MovedReminder;
pub use repair::{Gap, Repaired};
pub use schedules::{NewSchedule, Schedule};
pub use senders::{NewSender, Sender, SenderChange};
pub use status::{SenderStatus, Status};
pub use story::{AttemptStory, MessageStory, MessageSummary};
pub use templates::{StatusChange, StoredTemplate, SyncDue, TemplatesSynced};
pub use tenants::Tenant;
pub use trace_seeds::Traced;
pub use wake::{Topic, Wake};
pub use wishes::OptOut;
pub use writer::{Writer, WriterHandle};

/// The tenant of everything on one machine.
pub const DEFAULT_TENANT: TenantId = TenantId(1);

/// Who owns senders, recipients, templates and jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantId(pub i64);

/// Where the ledger is and how to open it.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database.
    pub place: Place,
    /// Seals credentials and contents; none stores them as they are.
    pub master_key: Option<[u8; 32]>,
    /// The most connections that this process holds (Postgres, at least 4) or reads with (SQLite).
    pub max_connections: u32,
    /// Whether a pooler in transaction mode stands before Postgres: nothing is left in a session then, at the price of a
    /// few round trips.
    pub pooler: bool,
    /// How long a statement may take on Postgres before the server ends it.
    pub statement_timeout: Duration,
    /// How long to wait for a connection, or for another process's write to end.
    pub connect_timeout: Duration,
    /// How pace and budget are divided between priorities.
    pub shares: Shares,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where the ledger is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A SQLite file; made where it is absent.
    File(PathBuf),
    /// A Postgres address, with its credentials.
    Postgres(String),
}

impl StoreOptions {
    /// The usual options for `place`.
    #[must_use]
    pub fn at(place: Place) -> Self {
        Self {
            place,
            master_key: None,
            max_connections: 10,
            pooler: false,
            statement_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            shares: Shares::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// The ledger. Cheap to clone; all clones share connections and bells.
#[derive(Clone, Debug)]
pub struct Store {
    db: db::Db,
    clock: Arc<LedgerClock>,
    wake: Wake,
    sealer: Arc<seal::Sealer>,
    shares: Shares,
    opaque_key: Arc<tokio::sync::OnceCell<hmac::Key>>,
    /// Events that come in at once.
    arrivals: Arc<shared_commit::SharedCommit<events::AppendedEvent>>,
    /// Who changes things through this handle; none: the workers.
    actor: Option<Arc<Actor>>,
    /// What is kept to towards people.
    rules: Arc<PeopleRules>,
    /// How often one person is written to.
    pairs: Arc<pairs::Pairs>,
    /// Who need not be looked at again at once.
    seen_due: Arc<lanes::SeenDue>,
}

impl Store {
    /// Opens the ledger. The tables are as they are: see [`Store::migrate`].
    ///
    /// # Errors
    /// When the place cannot be reached, opened or written.
    pub async fn open(options: &StoreOptions) -> StoreResult<Self> {
        let db = match &options.place {
            Place::File(path) => {
                let open = |source| StoreError::Open { place: path.display().to_string(), source };
                open_sqlite(path, options).await.map_err(open)?
            }
            Place::Postgres(url) => {
                let place = url.rsplit_once('@').map_or("postgres", |(_, place)| place).to_owned();
                let server = postgres::Server::open(url, options).await;
                db::Db::Postgres(server.map_err(|source| StoreError::Open { place, source })?)
            }
        };
        let store = Self {
            db,
            clock: Arc::new(LedgerClock::new(options.clock.clone())),
            wake: Wake::default(),
            sealer: Arc::new(seal::Sealer::new(options.master_key.as_ref())?),
            shares: options.shares,
            opaque_key: Arc::default(),
            arrivals: Arc::default(),
            actor: None,
            rules: Arc::default(),
            pairs: Arc::default(),
            seen_due: Arc::default(),
        };
        store.set_clock().await?;
        Ok(store)
    }

    /// The same ledger, keeping to these rules towards people in what is planned through it; without, it keeps to none.
    #[must_use]
    pub fn with_rules(&self, rules: PeopleRules) -> Self {
        Self { rules: Arc::new(rules), ..self.clone() }
    }

    /// What is kept to towards people.
    #[must_use]
    pub fn rules(&self) -> &PeopleRules {
        &self.rules
    }

    /// Puts this process's clock right by the database's, as far as the ledger goes by it. On SQLite they are the same.
    pub(crate) async fn set_clock(&self) -> StoreResult<()> {
        if matches!(self.db, db::Db::Sqlite { .. }) || !self.clock.may_be_wrong() {
            return Ok(());
        }
        let asked_us = self.clock.own_us();
        let told: Option<(i64,)> = self.db.optional(READ_CLOCK, db::args![asked_us]).await?;
        if let Some((ledger_us,)) = told {
            self.clock.learn(asked_us, ledger_us, self.clock.own_us());
        }
        Ok(())
    }

    /// Closes every connection once what runs has ended.
    pub async fn close(&self) {
        match &self.db {
            db::Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            db::Db::Postgres(server) => server.close().await,
        }
    }

    /// The bells of this process.
    #[must_use]
    pub const fn wake(&self) -> &Wake {
        &self.wake
    }

    /// The time that the ledger goes by, in Unix milliseconds: this process's clock, on Postgres put right by the server's
    /// when the ledger is opened and with each renewal of a lease.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Copies a SQLite ledger's log back into its file beside the writer, so that no commit has to wait for it. Nothing on
    /// Postgres, which does so by itself.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn checkpoint(&self) -> StoreResult<()> {
        let db::Db::Sqlite { readers, .. } = &self.db else { return Ok(()) };
        const STATEMENT: &str = "pragma wal_checkpoint(passive)";
        sqlx::query(STATEMENT).execute(readers).await.map_err(|source| StoreError::statement(STATEMENT, source))?;
        Ok(())
    }

    /// Prepares every statement against the tables as they are.
    ///
    /// # Errors
    /// The first statement that does not fit.
    pub async fn check_statements(&self) -> StoreResult<usize> {
        let modules = [
            allowances::STATEMENTS,
            attempts::STATEMENTS,
            audience::STATEMENTS,
            audit::STATEMENTS,
            backlog::STATEMENTS,
            blocks::STATEMENTS,
            broadcasts::STATEMENTS,
            broadcasts::FORESEEN_STATEMENTS,
            budgets::STATEMENTS,
            claims::STATEMENTS,
            claims::PUT_OFF_STATEMENTS,
            dead_letters::STATEMENTS,
            doubts::STATEMENTS,
            events::STATEMENTS,
            groups::STATEMENTS,
            jobs::STATEMENTS,
            jobs::ENQUEUE_STATEMENTS,
            keys::STATEMENTS,
            lanes::STATEMENTS,
            leases::STATEMENTS,
            lines::STATEMENTS,
            messages::STATEMENTS,
            notice::STATEMENTS,
            opaque::STATEMENTS,
            outcomes::STATEMENTS,
            pace::STATEMENTS,
            pairs::STATEMENTS,
            plan::STATEMENTS,
            plan::COURTESY_STATEMENTS,
            quiet_hours::STATEMENTS,
            receipts::STATEMENTS,
            recipients::STATEMENTS,
            reminders::STATEMENTS,
            repair::STATEMENTS,
            repair::CLOCK_STATEMENTS,
            repair::JOB_STATEMENTS,
            repair::MESSAGE_STATEMENTS,
            schedules::STATEMENTS,
            senders::STATEMENTS,
            status::STATEMENTS,
            story::STATEMENTS,
            templates::STATEMENTS,
            templates::HOLD_STATEMENTS,
            tenants::STATEMENTS,
            wishes::STATEMENTS,
        ];
        let mut count = 0;
        for (_, text) in modules.into_iter().flatten() {
            self.db.prepare(*text).await?;
            count += 1;
        }
        for (_, sql) in dialect::STATEMENTS {
            self.db.prepare(*sql).await?;
            count += 1;
        }
        Ok(count)
    }
}

async fn open_sqlite(path: &std::path::Path, options: &StoreOptions) -> Result<db::Db, sqlx::Error> {
    make_private(path).map_err(sqlx::Error::Io)?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With WAL, NORMAL survives a killed process but not a power cut, which would forget that a message was sent.
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .foreign_keys(false)
        .busy_timeout(options.connect_timeout)
        .pragma("cache_size", "-16000")
        // Rows are handed from the database's thread to ours; it does not wait for each few to be taken.
        .row_buffer_size(1_024)
        .pragma("temp_store", "memory")
        // The fleet copies the log back beside the writer (see `Store::checkpoint`); this many pages (64 MiB) are the limit
        // at which a commit does it itself.
        .pragma("wal_autocheckpoint", "16000")
        .disable_statement_logging();
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.connect_timeout * 6)
        .idle_timeout(None)
        .max_lifetime(None)
        // Where a write fails for want of room, SQLite ends the transaction by itself; sqlx, whose rollback then fails,
        // counts it as open for ever and begins no other on the connection. Another one takes its place.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .connect_with(connect.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.max_connections.clamp(2, 8))
        .acquire_timeout(options.connect_timeout * 3)
        .connect_with(connect.pragma("cache_size", "-4000").read_only(false))
        .await?;
    Ok(db::Db::Sqlite { writer, readers })
}

/// A new ledger may be read by its owner alone: it holds credentials. Files that SQLite puts beside it follow it.
#[cfg(unix)]
fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn make_private(_: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}
