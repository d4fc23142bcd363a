//! What a run costs the machine and the database server.

use std::time::{Duration, Instant};

use kabar_tests::TestLedger;
use sqlx::{Connection, PgConnection, Row};

use crate::support::{self, Provider};

/// The log of the server in bytes, and the statements that it has run in this database: what the bench itself asks is a few
/// among many.
const READ: &str = "select cast(pg_current_wal_insert_lsn() - '0/0' as bigint), cast(coalesce((select sum(calls)
from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())), 0) as bigint)";

/// What was spent while a run lasted.
pub struct Cost {
    pub elapsed: Duration,
    /// Of the whole machine but the provider and the bench itself: the fleet, its database and its broker. Right only
    /// where nothing else runs.
    pub cpu_seconds: f64,
    /// Statements run in the ledger's database.
    pub statements: i64,
    /// What the database server wrote to its log.
    pub wal_bytes: i64,
}

/// Reads what is spent from when it was started.
pub struct Meter<'a> {
    provider: &'a Provider,
    ledger: &'a TestLedger,
    began: Instant,
    cpu_seconds: f64,
    server: (i64, i64),
}

impl<'a> Meter<'a> {
    pub async fn start(provider: &'a Provider, ledger: &'a TestLedger) -> Self {
        let server = read(ledger).await;
        Self { provider, ledger, began: Instant::now(), cpu_seconds: busy(provider), server }
    }

    pub async fn read(self) -> Cost {
        let (elapsed, cpu_seconds) = (self.began.elapsed(), busy(self.provider) - self.cpu_seconds);
        let (wal, statements) = read(self.ledger).await;
        Cost { elapsed, cpu_seconds, statements: statements - self.server.1, wal_bytes: wal - self.server.0 }
    }
}

fn busy(provider: &Provider) -> f64 {
    support::machine_cpu_seconds() - support::cpu_seconds() - provider.cpu_seconds()
}

async fn read(ledger: &TestLedger) -> (i64, i64) {
    let mut connection = PgConnection::connect(&ledger.url()).await.expect("the server answers");
    let counting = sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&mut connection).await;
    counting.expect("the server counts statements, as `tests/run bench` starts it");
    let row = sqlx::query(READ).fetch_one(&mut connection).await.expect("the server tells");
    (row.get(0), row.get(1))
}
