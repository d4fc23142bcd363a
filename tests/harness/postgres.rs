//! A fresh database on the test server, gone at the end.

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor,
    postgres::{PgConnectOptions, PgConnection},
};

/// Names the server, with a role that may create databases. `tests/run` sets it.
const SERVER: &str = "KABAR_TEST_POSTGRES_URL";

/// Names the pooler before it. `tests/run` sets it.
const POOLER: &str = "KABAR_TEST_POOLER_URL";

/// A database of its own; dropped with this value.
#[derive(Debug)]
pub(crate) struct FreshDatabase {
    server: Box<PgConnectOptions>,
    name: String,
}

impl FreshDatabase {
    /// Makes it.
    pub(crate) async fn make() -> Self {
        let server = address(SERVER);
        let name = format!("kabar_test_{:016x}", fastrand::u64(..));
        let made = Self { server: Box::new(server), name };
        run(&made.server, format!("create database {}", made.name)).await.expect("a database can be created");
        made
    }

    /// Its address, with credentials.
    pub(crate) fn url(&self) -> String {
        PgConnectOptions::clone(&self.server).database(&self.name).to_url_lossy().to_string()
    }

    /// Its address by way of the pooler.
    pub(crate) fn pooled_url(&self) -> String {
        address(POOLER).database(&self.name).to_url_lossy().to_string()
    }
}

fn address(variable: &str) -> PgConnectOptions {
    let url = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run tests/run"));
    url.parse().unwrap_or_else(|error| panic!("{variable} is no address of a PostgreSQL server: {error}"))
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("drop database if exists {} with (force)", self.name));
        // On a thread of its own, since a runtime may not wait inside another. At worst the database stays until the
        // server goes.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(run(&server, statement)).ok()
        });
        drop(dropping.join());
    }
}

async fn run(server: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(server).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}
