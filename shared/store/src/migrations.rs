//! Bringing the tables up to date.

use std::{borrow::Cow, sync::LazyLock};

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{
    Store,
    db::{Db, args},
    error::{StoreError, StoreResult},
};

mod postgres;

/// Every migration: its number, what it is about, and its text on SQLite and on Postgres. A new one is a line here.
macro_rules! migrations {
    ($($number:literal $about:literal $file:literal;)*) => {
        static SQLITE: LazyLock<Migrator> = LazyLock::new(|| {
            Migrator::with_migrations(vec![$(migration(
                $number, $about, include_str!(concat!("../../../migrations/sqlite/", $file)),
            )),*])
        });
        static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| {
            Migrator::with_migrations(vec![$(migration(
                $number, $about, include_str!(concat!("../../../migrations/postgres/", $file)),
            )),*])
        });
    };
}

migrations! {
    1 "ledger" "0001_ledger.sql";
}

fn migration(number: i64, about: &'static str, text: &'static str) -> Migration {
    let alone = text.starts_with("-- no-transaction");
    Migration::new(number, Cow::Borrowed(about), MigrationType::Simple, text.into_sql_str(), alone)
}

impl Store {
    /// Applies the migrations that are missing, under a lock, so that any number of processes may start at once.
    ///
    /// # Errors
    /// When a migration fails; what was applied before it stays.
    pub async fn migrate(&self) -> StoreResult<()> {
        let failed = |error| StoreError::Migrate(Box::new(error));
        match &self.db {
            Db::Sqlite { writer, .. } => migrate_sqlite(writer).await.map_err(failed)?,
            Db::Postgres(server) => postgres::migrate(server, &POSTGRES).await.map_err(failed)?,
        }
        self.ensure_opaque_key().await
    }

    /// Whether the tables are those of this program.
    ///
    /// # Errors
    /// [`StoreError::NotMigrated`] where they are not.
    pub async fn check_migrated(&self) -> StoreResult<()> {
        let newest = SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0);
        let applied: Option<(i64,)> =
            self.db.optional("select max(version) from _sqlx_migrations where success", args![]).await.ok().flatten();
        match applied {
            Some((version,)) if version >= newest => self.ensure_opaque_key().await,
            _ => Err(StoreError::NotMigrated),
        }
    }
}

/// SQLite has no advisory lock; the migrator's own table is made under the database's write lock, and a process that
/// lost the race tries again and finds the work done.
async fn migrate_sqlite(writer: &sqlx::SqlitePool) -> Result<(), sqlx::migrate::MigrateError> {
    const MOST_TRIES: u32 = 5;
    let mut tries = 1;
    loop {
        match SQLITE.run(writer).await {
            Err(_) if tries < MOST_TRIES => tries += 1,
            result => return result,
        }
    }
}
