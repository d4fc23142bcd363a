//! The same sends through apalis on Postgres, by the program in `apalis/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use kabar_tests::TestLedger;
use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};

use crate::support::Provider;

/// Builds the program, which no other build does.
pub async fn build() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = tests.join("../target/apalis");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--manifest-path"]).arg(tests.join("bench/apalis/Cargo.toml"));
    let built = cargo.arg("--target-dir").arg(&target).status().await.expect("cargo starts");
    assert!(built.success(), "the program that sends through apalis cannot be built");
    target.join("release/kabar-bench-apalis")
}

/// Enqueues `count` sends.
pub async fn enqueue(program: &Path, ledger: &TestLedger, count: usize) {
    let mut command = command(program, ledger);
    let enqueued = command.args(["enqueue", &count.to_string()]).status().await.expect("it starts");
    assert!(enqueued.success(), "the sends cannot be enqueued");
}

/// Starts a worker, which ends with what is given back.
pub fn work(program: &Path, ledger: &TestLedger, provider: &Provider) -> Child {
    let mut command = command(program, ledger);
    command.args(["work", &provider.base_url()]).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("it starts")
}

/// How many sends its table says are done.
pub async fn done(ledger: &TestLedger) -> i64 {
    let mut connection = PgConnection::connect(&ledger.url()).await.expect("the server answers");
    let counting = sqlx::query_scalar("select count(*) from apalis.jobs where status = 'Done'");
    counting.fetch_one(&mut connection).await.expect("the server tells")
}

fn command(program: &Path, ledger: &TestLedger) -> Command {
    let mut command = Command::new(program);
    command.env("DATABASE_URL", ledger.url()).stdin(Stdio::null());
    command
}
