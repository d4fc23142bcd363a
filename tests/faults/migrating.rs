//! Many processes bring the tables up to date at the same moment.

use kabar_tests::{Home, LedgerKind, TestLedger, Time};

/// As when a deployment starts all its processes together.
const PROCESSES: usize = 10;

async fn ten_processes_migrate_at_once(kind: LedgerKind) {
    let ledger = TestLedger::empty(kind, Time::System).await;
    let home = Home::new().on_ledger(&ledger);
    let mut started: Vec<_> = (0..PROCESSES).map(|_| home.start(&["migrate"])).collect();
    for process in &mut started {
        let status = process.wait(crate::stage::WITHIN).await;
        assert!(status.success(), "{status}: {}", process.log());
    }
    let store = ledger.reopen().await;
    assert!(store.check_statements().await.expect("every statement fits") > 100);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_migrate_a_file_at_once() {
    ten_processes_migrate_at_once(LedgerKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn ten_processes_migrate_a_server_at_once() {
    ten_processes_migrate_at_once(LedgerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer: run tests/run"]
async fn ten_processes_migrate_by_way_of_a_pooler_at_once() {
    ten_processes_migrate_at_once(LedgerKind::Pooled).await;
}
