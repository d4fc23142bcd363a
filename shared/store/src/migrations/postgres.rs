//! Migrations on Postgres. The driver's own way keeps its lock in a session, which a pooler takes apart, and waits for it
//! inside a statement, for which `create index concurrently` would wait in turn. Its table is kept as it is.

use std::{collections::HashMap, time::Duration};

use sqlx::{
    Error, Postgres, Transaction,
    migrate::{MigrateError, Migration, Migrator},
};

use crate::postgres::Server;

/// How often a process looks whether another one has finished.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Names the lock among the advisory locks of the database: "kabar" in ASCII.
const LOCK: &str = "select pg_try_advisory_xact_lock(461195338098)";

/// The table of sqlx, whose migrator was here first.
const TABLE: &str = "create table if not exists _sqlx_migrations (
  version bigint primary key,
  description text not null,
  installed_on timestamptz not null default now(),
  success boolean not null,
  checksum bytea not null,
  execution_time bigint not null
)";
const APPLIED: &str = "select version, checksum from _sqlx_migrations";
const NOTE: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
values ($1, $2, true, $3, -1)";
/// Making an index may take longer than any other statement should, and the lock is held meanwhile without one.
const NO_LIMIT: &str = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";

/// Applies what is missing, each migration in a transaction of its own unless it says otherwise.
pub(super) async fn migrate(server: &Server, migrations: &Migrator) -> Result<(), MigrateError> {
    // Held by a transaction of its own, so that it ends with this process, whatever becomes of it.
    let lock = lock(server).await?;
    let applied = applied(server).await?;
    if let Some(unknown) = applied.keys().find(|version| !migrations.version_exists(**version)) {
        return Err(MigrateError::VersionMissing(*unknown));
    }
    for migration in migrations.iter() {
        match applied.get(&migration.version) {
            Some(checksum) if *checksum == *migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
            None => apply(server, migration).await?,
        }
    }
    lock.rollback().await?;
    Ok(())
}

/// Waits without a statement under way: what makes an index concurrently waits for every one that is.
async fn lock(server: &Server) -> Result<Transaction<'static, Postgres>, Error> {
    loop {
        let mut tx = server.begin().await?;
        if sqlx::query_scalar(LOCK).persistent(false).fetch_one(&mut *tx).await? {
            sqlx::raw_sql(NO_LIMIT).execute(&mut *tx).await?;
            return Ok(tx);
        }
        tx.rollback().await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn applied(server: &Server) -> Result<HashMap<i64, Vec<u8>>, Error> {
    let mut tx = server.begin().await?;
    sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(APPLIED).persistent(false).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(rows.into_iter().collect())
}

async fn apply(server: &Server, migration: &Migration) -> Result<(), MigrateError> {
    let failed = |error| MigrateError::ExecuteMigration(error, migration.version);
    if migration.no_tx {
        let mut connection = server.connection().await?;
        if server.rules().keeps_sessions() {
            sqlx::raw_sql("set statement_timeout = 0").execute(&mut *connection).await?;
        }
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *connection).await.map_err(failed)?;
        // It goes with the limit that it lacks.
        connection.close().await?;
    }
    let mut tx = server.begin().await?;
    if !migration.no_tx {
        sqlx::raw_sql(NO_LIMIT).execute(&mut *tx).await?;
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *tx).await.map_err(failed)?;
    }
    let note = sqlx::query(NOTE).bind(migration.version).bind(&*migration.description).bind(&*migration.checksum);
    note.persistent(false).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
