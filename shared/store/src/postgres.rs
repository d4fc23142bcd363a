//! The Postgres server behind a ledger: its connections, how long they may be silent, and what may rest on a session.
//!
//! Behind a pooler in transaction mode, such as PgBouncer, each transaction of a connection may run in another session of
//! the server. Nothing is left in a session then: every statement runs inside an explicit transaction, is parsed there
//! without a name, and its time limit ends with the transaction. That costs round trips, so [`StoreOptions::pooler`] asks
//! for it. Connecting sends nothing that PgBouncer refuses, in either case.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Error, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
};
use tokio::time::{Instant, timeout};

use crate::StoreOptions;

/// A connection that nobody has used for this long is asked whether it still lives before it is given out. One that was
/// used lately was asked when it came back, and a round trip for each transaction is saved.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// A transaction that waits for its process longer than this is undone by the server, and its locks with it: the process
/// stands still, or its host is gone. Between two statements of a transaction nothing here waits for anything, and the
/// messages of a process that died are to be rescued within 30 seconds of its lease.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);

/// How many connections the ledger writer has to itself. It does one transaction at a time; the second is there while the
/// first comes back to its pool, which asks the server whether it lives, without a limit of time.
const WRITER_CONNECTIONS: u32 = 2;

/// The writer takes rows by their keys, a few of many. A plan that it made while a table was small would otherwise walk
/// through all of it until the server has counted it anew, a minute of sending later.
const BY_KEYS: [&str; 3] = ["enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off"];

/// How long a connection may take to say that it lives.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The server ends a statement at its time limit. This much later it is taken for gone: a host that vanished in a
/// failover says nothing at all, and the system would wait a quarter of an hour for it.
const SILENCE_BEYOND: Duration = Duration::from_secs(5);

/// After a statement without an answer, connections are asked for this long whether they live as they come back.
const SUSPECT_FOR: Duration = Duration::from_secs(30);

/// The connections to a server, and by which rules they are used.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    others: Connections,
    /// The ledger writer's. What a session plans and looks up in the catalogue stays in it, and the writer's statements are
    /// most of what runs: in a pool's turns each of its sessions would do all of that again.
    writer: Connections,
    rules: Rules,
}

/// Connections for one kind of work, and what begins a transaction on them.
#[derive(Clone, Debug)]
struct Connections {
    pool: PgPool,
    begin: Arc<str>,
}

/// What holds for each statement.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Whether what is prepared in a session is there the next time.
    keeps_sessions: bool,
    /// How long a statement may go without an answer.
    silence: Duration,
    silences: Arc<Silences>,
}

/// When a statement last went without an answer.
#[derive(Debug)]
struct Silences {
    start: Instant,
    /// Milliseconds since `start`; 0 for never.
    latest_ms: AtomicU64,
}

impl Server {
    /// Connects to the server at `url`.
    pub(crate) async fn open(url: &str, options: &StoreOptions) -> Result<Self, Error> {
        let connect = url
            .parse::<PgConnectOptions>()?
            .application_name("kabar")
            // PgBouncer refuses what it cannot keep apart for its clients, this and `options` among it. The ledger holds
            // no floating-point numbers.
            .extra_float_digits(None)
            .disable_statement_logging();
        let silences = Arc::new(Silences { start: Instant::now(), latest_ms: AtomicU64::new(0) });
        let suspects = silences.clone();
        let pool = PgPoolOptions::new()
            .acquire_timeout(options.connect_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, kept| {
                Box::pin(async move { Ok(kept.idle_for < ASK_AFTER || lives(connection).await) })
            })
            .after_release(move |connection, _| {
                let suspect = suspects.lately();
                Box::pin(async move { Ok(!suspect || lives(connection).await) })
            });
        let usual = settings(options.statement_timeout);
        // One that holds the lock of migrations and one that migrates, at least.
        let most = options.max_connections.saturating_sub(WRITER_CONNECTIONS).max(2);
        let (others, begin) = keeping(&usual, pool.clone().max_connections(most), options.pooler);
        let others = Connections { pool: others.connect_with(connect.clone()).await?, begin };
        let by_keys: Vec<String> = usual.into_iter().chain(BY_KEYS.map(str::to_owned)).collect();
        let (writer, begin) = keeping(&by_keys, pool.max_connections(WRITER_CONNECTIONS), options.pooler);
        let writer = Connections { pool: writer.connect_lazy_with(connect), begin };
        let rules =
            Rules { keeps_sessions: !options.pooler, silence: options.statement_timeout + SILENCE_BEYOND, silences };
        Ok(Self { others, writer, rules })
    }

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A connection without a transaction; behind a pooler it keeps nothing from one statement to the next.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.others.pool.acquire().await
    }

    /// Where one statement outside any transaction may run. Behind a pooler that is a transaction of its own: only within
    /// it are the messages of one statement sure to reach the same session.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        Ok(if self.rules.keeps_sessions {
            Session::Kept(self.connection().await?)
        } else {
            Session::Lent(self.begin().await?)
        })
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_on(&self.others).await
    }

    /// Begins a transaction of the ledger writer.
    pub(crate) async fn begin_writing(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_on(&self.writer).await
    }

    async fn begin_on(&self, connections: &Connections) -> Result<Transaction<'static, Postgres>, Error> {
        let beginning = connections.pool.begin_with(AssertSqlSafe(connections.begin.clone()));
        // Waiting for a connection has a limit of its own.
        let limit = self.rules.silence + connections.pool.options().get_acquire_timeout();
        self.rules.answer_within(limit, beginning).await
    }

    /// Closes every connection once what runs has ended.
    pub(crate) async fn close(&self) {
        self.writer.pool.close().await;
        self.others.pool.close().await;
    }
}

/// Connections on which `settings` hold, with what begins a transaction: set once in each session, or behind a pooler in each
/// transaction.
fn keeping(settings: &[String], pool: PgPoolOptions, pooler: bool) -> (PgPoolOptions, Arc<str>) {
    if pooler {
        let begin = settings.iter().fold("begin".to_owned(), |begin, setting| format!("{begin}; set local {setting}"));
        return (pool, begin.into());
    }
    let settings: Vec<String> = settings.iter().map(|setting| format!("set {setting}")).collect();
    let settings: Arc<str> = settings.join("; ").into();
    let pool = pool.after_connect(move |connection, _| {
        let settings = settings.clone();
        Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop) })
    });
    (pool, "begin".into())
}

/// Where one statement runs.
pub(crate) enum Session {
    /// A connection's own.
    Kept(PoolConnection<Postgres>),
    /// The pooler's, until the transaction ends.
    Lent(Transaction<'static, Postgres>),
}

impl Session {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Kept(connection) => connection,
            Self::Lent(tx) => tx,
        }
    }

    /// Gives it back.
    pub(crate) async fn end(self) -> Result<(), Error> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Lent(tx) => tx.commit().await,
        }
    }
}

impl Rules {
    /// Whether what is prepared in a session is there the next time.
    pub(crate) const fn keeps_sessions(&self) -> bool {
        self.keeps_sessions
    }

    /// What a statement comes to, or an error where the server says nothing for too long.
    pub(crate) async fn answer<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.answer_within(self.silence, statement).await
    }

    async fn answer_within<T>(
        &self,
        limit: Duration,
        statement: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut unanswered = Unanswered { silences: &self.silences, answered: false };
        let answer = timeout(limit, statement).await;
        unanswered.answered = answer.is_ok();
        answer.map_err(silent)?
    }
}

/// Takes note of a statement whose answer nobody waits for any more, also where the caller gave it up: its connection may
/// lead nowhere.
struct Unanswered<'a> {
    silences: &'a Silences,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.silences.note();
        }
    }
}

impl Silences {
    fn note(&self) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest_ms.store(passed.max(1), Ordering::Release);
    }

    fn lately(&self) -> bool {
        match self.latest_ms.load(Ordering::Acquire) {
            0 => false,
            latest => self.start.elapsed().saturating_sub(Duration::from_millis(latest)) < SUSPECT_FOR,
        }
    }
}

/// What holds in each session, or each transaction behind a pooler.
fn settings(statement_timeout: Duration) -> [String; 4] {
    [
        format!("statement_timeout = {}", statement_timeout.as_millis()),
        format!("idle_in_transaction_session_timeout = {}", ABANDONED_AFTER.as_millis()),
        // Statements take a few rows of large tables, by lists whose length the server cannot know. It takes them for
        // long, and would compile for milliseconds what runs for one, or read a whole table for a hundred rows.
        "jit = off".to_owned(),
        "random_page_cost = 1.1".to_owned(),
    ]
}

async fn lives(connection: &mut PgConnection) -> bool {
    timeout(ANSWER_WITHIN, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}

fn silent(_: tokio::time::error::Elapsed) -> Error {
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database server does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let silences = Arc::new(Silences { start: Instant::now(), latest_ms: AtomicU64::new(0) });
        Rules { keeps_sessions: true, silence: Duration::from_secs(35), silences }
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_without_an_answer_ends_and_makes_connections_suspect_for_a_while() {
        let rules = rules();
        rules.answer(async { Ok(()) }).await.unwrap();
        assert!(!rules.silences.lately());
        let error = rules.answer(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
        assert!(rules.silences.lately());
        tokio::time::advance(SUSPECT_FOR).await;
        assert!(!rules.silences.lately());
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_its_caller_gave_up_counts_as_unanswered() {
        let rules = rules();
        tokio::time::advance(Duration::from_secs(1)).await;
        let given_up = timeout(Duration::from_secs(1), rules.answer(std::future::pending::<Result<(), Error>>())).await;
        assert!(given_up.is_err() && rules.silences.lately());
    }
}
