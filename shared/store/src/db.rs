//! One way to run a statement on either database.
//!
//! Statements are constant text that serves both; where they must differ, `dialect` holds the pair with its reason.
//! Values go in as [`Arg`]s and lists of rows as one JSON text, so every statement is prepared once, whatever the number
//! of rows.

use sqlx::{AssertSqlSafe, FromRow, Postgres, Sqlite, SqlitePool, Transaction, postgres::PgRow, sqlite::SqliteRow};

use crate::{
    error::{StoreError, StoreResult},
    postgres::{Rules, Server},
};

/// The two databases, each with its native driver.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    /// One file; a single writing connection, so writers queue in this process instead of colliding in the file.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    /// A server for many processes.
    Postgres(Server),
}

/// A statement's text on each database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A value for a statement.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::from(value.to_owned())
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::from(Some(value))
    }
}

/// Postgres takes no NUL in a text, and texts come from anywhere: one such inbound message must not hold up all events.
impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(|text| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::from(value.map(str::to_owned))
    }
}

/// Values in the order of a statement's `$1`, `$2` ….
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::db::Arg::from($value)),*] };
}
pub(crate) use args;

/// Declares a module's statements, and the list by which a test prepares every one of them.
macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$about])* const $name: &str = $text;)*
        /// This module's statements by name.
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use statements;

/// Declares a row: a struct whose fields are read from the columns of their names, on either database.
///
/// The driver's own derive does the same, at the price of building the drivers a second time for the compiler's use.
macro_rules! row {
    ($(#[$about:meta])* $visibility:vis struct $name:ident {
        $($(#[$about_field:meta])* $visibility_field:vis $field:ident: $kind:ty),* $(,)?
    }) => {
        $(#[$about])*
        $visibility struct $name {
            $($(#[$about_field])* $visibility_field $field: $kind),*
        }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            for<'c> &'c str: sqlx::ColumnIndex<R>,
            $($kind: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> sqlx::Result<Self> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use row;

/// A row that both databases can give.
pub(crate) trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
            };
        }
        query
    }};
}

/// A transaction that may write. Dropped without [`Tx::commit`], it changes nothing.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>, Rules),
}

/// Runs the future `$body` with `$c` as the connection, `$text` as the statement's text of whichever database it is, and
/// `$named` saying whether it may be prepared under a name, for the next time.
macro_rules! on {
    ($tx:expr, $sql:expr, |$c:ident, $text:ident, $named:ident| $body:expr) => {{
        let sql: Sql = $sql.into();
        match $tx {
            Tx::Sqlite(tx) => {
                let ($c, $text, $named) = (&mut **tx, sql.sqlite, true);
                $body.await.map_err(|source| StoreError::statement($text, source))
            }
            Tx::Postgres(tx, rules) => {
                let ($c, $text, $named) = (&mut **tx, sql.postgres, rules.keeps_sessions());
                rules.answer($body).await.map_err(|source| StoreError::statement($text, source))
            }
        }
    }};
}

/// Reads on Postgres with the future `$body`, `$c` being the connection.
macro_rules! read {
    ($server:expr, |$c:ident| $body:expr) => {
        async {
            let server: &Server = $server;
            let mut session = server.session().await?;
            let $c = session.connection();
            let rows = server.rules().answer($body).await?;
            server.rules().answer(session.end()).await?;
            Ok(rows)
        }
        .await
    };
}

impl Tx {
    /// Runs a statement; the number of rows that it touched.
    pub(crate) async fn execute<const N: usize>(&mut self, sql: impl Into<Sql>, args: [Arg; N]) -> StoreResult<u64> {
        on!(self, sql, |connection, text, named| async {
            let done = bound!(sqlx::query(text).persistent(named), args).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }

    /// Every row of a statement; callers bound the number.
    pub(crate) async fn all<T: Row, const N: usize>(
        &mut self,
        sql: impl Into<Sql>,
        args: [Arg; N],
    ) -> StoreResult<Vec<T>> {
        on!(self, sql, |connection, text, named| bound!(sqlx::query_as(text).persistent(named), args)
            .fetch_all(connection))
    }

    /// The first row of a statement, if any.
    pub(crate) async fn optional<T: Row, const N: usize>(
        &mut self,
        sql: impl Into<Sql>,
        args: [Arg; N],
    ) -> StoreResult<Option<T>> {
        on!(self, sql, |connection, text, named| bound!(sqlx::query_as(text).persistent(named), args)
            .fetch_optional(connection))
    }

    /// The one row of a statement that always has one.
    pub(crate) async fn one<T: Row, const N: usize>(&mut self, sql: impl Into<Sql>, args: [Arg; N]) -> StoreResult<T> {
        on!(self, sql, |connection, text, named| bound!(sqlx::query_as(text).persistent(named), args)
            .fetch_one(connection))
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx, rules) => rules.answer(tx.commit()).await,
        }
        .map_err(StoreError::Commit)
    }
}

impl Db {
    /// Whether transactions run side by side and lock rows. SQLite has one writer at a time.
    pub(crate) const fn locks_rows(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Begins a transaction that may write.
    pub(crate) async fn begin(&self) -> StoreResult<Tx> {
        match self {
            // A deferred transaction that turns writer fails at once when another process writes; an immediate one waits.
            Self::Sqlite { writer, .. } => writer.begin_with("begin immediate").await.map(Tx::Sqlite),
            Self::Postgres(server) => server.begin().await.map(|tx| Tx::Postgres(tx, server.rules().clone())),
        }
        .map_err(StoreError::Begin)
    }

    /// Begins a transaction of the ledger writer, which has connections of its own where others share theirs.
    pub(crate) async fn begin_writing(&self) -> StoreResult<Tx> {
        match self {
            Self::Sqlite { .. } => self.begin().await,
            Self::Postgres(server) => {
                let begun = server.begin_writing().await.map_err(StoreError::Begin)?;
                Ok(Tx::Postgres(begun, server.rules().clone()))
            }
        }
    }

    /// Every row of a reading statement, outside any transaction.
    pub(crate) async fn all<T: Row, const N: usize>(&self, sql: impl Into<Sql>, args: [Arg; N]) -> StoreResult<Vec<T>> {
        let sql: Sql = sql.into();
        match self {
            Self::Sqlite { readers, .. } => bound!(sqlx::query_as(sql.sqlite), args).fetch_all(readers).await,
            Self::Postgres(server) => {
                let query = sqlx::query_as(sql.postgres).persistent(server.rules().keeps_sessions());
                read!(server, |connection| bound!(query, args).fetch_all(connection))
            }
        }
        .map_err(|source| StoreError::statement(sql.sqlite, source))
    }

    /// The first row of a reading statement, outside any transaction.
    pub(crate) async fn optional<T: Row, const N: usize>(
        &self,
        sql: impl Into<Sql>,
        args: [Arg; N],
    ) -> StoreResult<Option<T>> {
        let sql: Sql = sql.into();
        match self {
            Self::Sqlite { readers, .. } => bound!(sqlx::query_as(sql.sqlite), args).fetch_optional(readers).await,
            Self::Postgres(server) => {
                let query = sqlx::query_as(sql.postgres).persistent(server.rules().keeps_sessions());
                read!(server, |connection| bound!(query, args).fetch_optional(connection))
            }
        }
        .map_err(|source| StoreError::statement(sql.sqlite, source))
    }

    /// Prepares a statement without running it.
    pub(crate) async fn prepare(&self, sql: impl Into<Sql>) -> StoreResult<()> {
        use sqlx::{Executor, SqlSafeStr};
        let sql: Sql = sql.into();
        match self {
            Self::Sqlite { readers, .. } => readers.prepare(sql.sqlite.into_sql_str()).await.map(drop),
            Self::Postgres(server) => {
                // Both in one message, which one session answers, with or without a pooler.
                let text = format!("prepare kabar_check as {}; deallocate kabar_check", sql.postgres);
                read!(server, |connection| sqlx::raw_sql(AssertSqlSafe(text)).execute(connection)).map(drop)
            }
        }
        .map_err(|source| StoreError::statement(sql.sqlite, source))
    }
}
