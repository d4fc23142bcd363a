//! Ledgers for tests: one SQLite file or one Postgres database each, with a clock that the test holds.

use std::{path::PathBuf, sync::Arc};

use kabar_store::{Clock, ManualClock, Place, Store, StoreOptions, SystemClock};

use crate::postgres::FreshDatabase;

/// Where the manual clock stands at first: 2026-12-01T00:00:00Z.
pub const START_MS: i64 = 1_796_083_200_000;

/// The databases that a ledger may live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerKind {
    /// A file in a temporary folder.
    Sqlite,
    /// A database of its own on the server that `tests/run` starts.
    Postgres,
    /// The same by way of a PgBouncer in transaction mode.
    Pooled,
}

/// Whose time a ledger goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// It stands still at [`START_MS`] until the test moves it.
    Manual,
    /// The machine's.
    System,
}

/// A migrated ledger of a test's own; gone when it is dropped.
#[derive(Debug)]
pub struct TestLedger {
    store: Store,
    options: StoreOptions,
    clock: Arc<ManualClock>,
    home: LedgerHome,
}

#[derive(Debug)]
enum LedgerHome {
    Folder(tempfile::TempDir),
    Database(FreshDatabase),
    PooledDatabase(FreshDatabase),
}

impl TestLedger {
    /// A SQLite ledger with a manual clock.
    pub async fn sqlite() -> Self {
        Self::open(LedgerKind::Sqlite, Time::Manual).await
    }

    /// A Postgres ledger with a manual clock.
    pub async fn postgres() -> Self {
        Self::open(LedgerKind::Postgres, Time::Manual).await
    }

    /// A ledger of either kind.
    ///
    /// # Panics
    /// When it cannot be made; for Postgres also when no server is named, which `tests/run` does.
    pub async fn open(kind: LedgerKind, time: Time) -> Self {
        let ledger = Self::empty(kind, time).await;
        ledger.store.migrate().await.expect("the ledger can be migrated");
        ledger
    }

    /// A place for a ledger that has no tables yet.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn empty(kind: LedgerKind, time: Time) -> Self {
        let home = match kind {
            LedgerKind::Sqlite => LedgerHome::Folder(tempfile::tempdir().expect("a temporary folder can be made")),
            LedgerKind::Postgres => LedgerHome::Database(FreshDatabase::make().await),
            LedgerKind::Pooled => LedgerHome::PooledDatabase(FreshDatabase::make().await),
        };
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let shown: Arc<dyn Clock> = match time {
            Time::Manual => clock.clone(),
            Time::System => Arc::new(SystemClock),
        };
        let pooler = kind == LedgerKind::Pooled;
        let options = StoreOptions { clock: shown, pooler, ..StoreOptions::at(home.place()) };
        let store = Store::open(&options).await.expect("the ledger opens");
        Self { store, options, clock, home }
    }

    /// The ledger. Clones of it share connections and bells.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The same ledger as another process sees it: other connections, other bells, the same clock.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn reopen(&self) -> Store {
        let store = Store::open(&self.options).await.expect("the ledger opens again");
        store.check_migrated().await.expect("the ledger is up to date");
        store
    }

    /// How it was opened.
    #[must_use]
    pub const fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The manual clock. It moves nothing in a ledger that goes by [`Time::System`].
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Where its database is reached without a pooler.
    #[must_use]
    pub fn direct_place(&self) -> Place {
        match &self.home {
            LedgerHome::PooledDatabase(database) => Place::Postgres(database.url()),
            home => home.place(),
        }
    }

    /// What `KABAR_DATABASE_URL` must be for a process to use this ledger.
    #[must_use]
    pub fn url(&self) -> String {
        match self.home.place() {
            Place::File(path) => format!("sqlite://{}", path.display()),
            Place::Postgres(url) => url,
        }
    }
}

impl LedgerHome {
    fn place(&self) -> Place {
        match self {
            Self::Folder(folder) => Place::File(PathBuf::from(folder.path()).join("kabar.db")),
            Self::Database(database) => Place::Postgres(database.url()),
            Self::PooledDatabase(database) => Place::Postgres(database.pooled_url()),
        }
    }
}

/// Runs one check on a new ledger of this kind; [`on_both_ledgers!`](crate::on_both_ledgers) calls it.
///
/// # Panics
/// When the check does.
pub fn check(kind: LedgerKind, check: impl AsyncFnOnce(TestLedger)) {
    // More than one thread, so that what may run at once does.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(async { check(TestLedger::open(kind, Time::Manual).await).await });
}

/// Makes tests of a check on both databases: `name::sqlite`, and `name::postgres` and `name::pooled` (the same by way of a
/// pooler), which only `tests/run` runs.
///
/// The names are those of functions that take a [`TestLedger`]:
///
/// ```
/// # use kabar_tests::{TestLedger, on_both_ledgers};
/// on_both_ledgers!(a_new_ledger_has_no_items, lines_are_apart);
///
/// async fn a_new_ledger_has_no_items(ledger: TestLedger) {
///     assert_eq!(ledger.store().items_ready("jobs").await.unwrap(), 0);
/// }
/// # async fn lines_are_apart(_: TestLedger) {}
/// ```
///
/// The ledger has a manual clock; use [`TestLedger::open`] in a test of your own where it must be the machine's.
#[macro_export]
macro_rules! on_both_ledgers {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn sqlite() {
                $crate::ledger::check($crate::LedgerKind::Sqlite, super::$name);
            }

            #[test]
            #[ignore = "needs PostgreSQL: run tests/run"]
            fn postgres() {
                $crate::ledger::check($crate::LedgerKind::Postgres, super::$name);
            }

            #[test]
            #[ignore = "needs PostgreSQL and PgBouncer: run tests/run"]
            fn pooled() {
                $crate::ledger::check($crate::LedgerKind::Pooled, super::$name);
            }
        })+
    };
}

#[cfg(test)]
mod tests {
    use super::TestLedger;

    on_both_ledgers!(ledgers_are_apart, a_reopened_ledger_is_the_same);

    async fn ledgers_are_apart(ledger: TestLedger) {
        let kind = match ledger.home {
            super::LedgerHome::Folder(_) => super::LedgerKind::Sqlite,
            super::LedgerHome::Database(_) => super::LedgerKind::Postgres,
            super::LedgerHome::PooledDatabase(_) => super::LedgerKind::Pooled,
        };
        let other = TestLedger::open(kind, super::Time::System).await;
        ledger.store().put_items("jobs", &["item".to_owned()]).await.unwrap();
        assert_eq!(other.store().items_ready("jobs").await.unwrap(), 0);
        assert_ne!(ledger.url(), other.url());
    }

    async fn a_reopened_ledger_is_the_same(ledger: TestLedger) {
        ledger.store().put_items("jobs", &["item".to_owned()]).await.unwrap();
        ledger.store().close().await;
        let again = ledger.reopen().await;
        assert_eq!(again.items_ready("jobs").await.unwrap(), 1);
        ledger.clock().advance_ms(1_500);
        assert_eq!(again.now_ms(), super::START_MS + 1_500);
    }
}
