//! What can go wrong with the ledger.

use kabar_domain::{content::CannotFill, job::JobId};

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// What went wrong with the ledger, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database could not be opened.
    #[error(
        "cannot open the ledger at {place}: check KABAR_DATABASE_URL and that the place can be reached and written"
    )]
    Open {
        /// Where, without credentials.
        place: String,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the ledger's tables up to date")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// The tables are not up to date.
    #[error("the ledger's tables are not up to date: run `kabar migrate`")]
    NotMigrated,
    /// A transaction could not begin.
    #[error("cannot begin a transaction in the ledger")]
    Begin(#[source] sqlx::Error),
    /// A statement failed.
    #[error("a statement of the ledger failed ({statement})")]
    Statement {
        /// How the statement begins.
        statement: String,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// A prepared statement was not where it was left, or stood where none was.
    #[error(
        "the database mixes up prepared statements, as a pooler in transaction mode does: set ledger.pooler = true \
         (KABAR_LEDGER_POOLER)"
    )]
    SessionLost(#[source] sqlx::Error),
    /// A transaction could not be made durable; whether it was is unknown.
    #[error("cannot commit to the ledger")]
    Commit(#[source] sqlx::Error),
    /// A sealed value cannot be read with the master key at hand.
    #[error("a sealed value cannot be read: set KABAR_MASTER_KEY to the key that the ledger was written with")]
    Sealed,
    /// The ledger holds something that this program does not understand.
    #[error("the ledger holds {what} that cannot be read: {problem}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// The same id was enqueued before with another body.
    #[error("job {0} exists already with other contents: use another id, or send it exactly as before")]
    DifferentJob(JobId),
    /// There is no such thing.
    #[error("there is no {what} {name:?}{hint}")]
    NotFound {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
        /// What to do, beginning with `: `; or empty.
        hint: String,
    },
    /// What was asked for cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// The key or token that acts has enqueued as much as it may for now.
    #[error("this caller may enqueue {per_minute} messages a minute: try again in {} s", .wait_ms.div_ceil(1_000))]
    OverLimit {
        /// How much it may enqueue.
        per_minute: i64,
        /// When it may again, in milliseconds from now.
        wait_ms: u64,
    },
    /// A recipient lacks a value.
    #[error(transparent)]
    Missing(#[from] CannotFill),
    /// The writer has ended, as it does at shutdown.
    #[error("the ledger's writer has ended")]
    WriterEnded,
    /// The commit that was to hold this, too, failed; whoever ran it knows why.
    #[error("the shared commit failed")]
    SharedCommit,
}

impl StoreError {
    pub(crate) fn statement(text: &'static str, source: sqlx::Error) -> Self {
        let code = source.as_database_error().and_then(|error| error.code());
        // Postgres: invalid_sql_statement_name and duplicate_prepared_statement.
        if code.is_some_and(|code| matches!(&*code, "26000" | "42P05")) {
            return Self::SessionLost(source);
        }
        let statement = text.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        Self::Statement { statement, source }
    }

    pub(crate) fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into(), hint: String::new() }
    }

    pub(crate) fn unreadable(what: &'static str, problem: impl ToString) -> Self {
        Self::Unreadable { what, problem: problem.to_string() }
    }

    /// Whether the same call may go through later: the database was busy, away, full or chose this transaction as the
    /// victim of a deadlock.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Begin(_) | Self::Commit(_) | Self::Statement { .. } | Self::SessionLost(_) | Self::Open { .. }
        )
    }

    /// Whether it says nothing of what was asked for: the ledger is away, or this process is not set up to use it. The same
    /// call goes through once that is mended, so nothing is to be given up for its sake.
    #[must_use]
    pub fn is_of_the_ledger(&self) -> bool {
        let unfit = matches!(
            self,
            Self::Migrate(_) | Self::NotMigrated | Self::Sealed | Self::WriterEnded | Self::SharedCommit
        );
        unfit || self.is_passing()
    }
}
