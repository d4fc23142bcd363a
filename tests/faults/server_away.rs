//! The ledger's server ends, crashes or falls silent in the middle of a broadcast, and comes back.

use std::time::{Duration, Instant};

use kabar_tests::{KabarProcess, PostgresServer, Stop, eventually};

use crate::stage::{ENDS_WITHIN, Stage, WITHIN};

const RATE: u32 = 60;
const GUESTS: usize = 300;

/// The server is away for less than a lease.
async fn processes_go_on_by_themselves_after(how: Stop) {
    let mut server = PostgresServer::start().await;
    let stage = Stage::on_server(&server, RATE, &[("KABAR_FLEET_LEASE", "60s"), ("KABAR_DOUBT_GRACE", "20s")]).await;
    let mut processes = [stage.process().await, stage.process().await];
    stage.report_to(&processes[0]);
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    for accepted in [60, 150] {
        stage.accepted(accepted).await;
        let failures: Vec<usize> = processes.iter().map(tries_again).collect();
        server.stop(how).await;
        eventually(WITHIN, async || {
            processes.iter().zip(&failures).all(|(process, before)| tries_again(process) > *before)
        })
        .await;
        server.resume().await;
    }
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, RATE as usize);
    for process in &mut processes {
        assert!(process.ended().is_none(), "it was to go on:\n{}", process.log());
    }
    for process in processes {
        process.stop().await;
    }
}

fn tries_again(process: &KabarProcess) -> usize {
    process.log().matches("trying again").count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn processes_go_on_by_themselves_after_a_restart() {
    processes_go_on_by_themselves_after(Stop::Fast).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn processes_go_on_by_themselves_after_a_crash() {
    processes_go_on_by_themselves_after(Stop::Immediate).await;
}

/// Waits until the lease of a process that could not renew it has ended.
async fn lease_over(lease: Duration) {
    let began = Instant::now();
    eventually(lease * 3, async || began.elapsed() > lease).await;
}

/// Each process ends, and what watches over it starts another; all is sent once.
async fn started_again_they_finish(stage: &Stage, processes: [KabarProcess; 2], job: i64) {
    for mut process in processes {
        let status = process.wait(ENDS_WITHIN).await;
        assert!(!status.success(), "whoever watches over it must see that it is to be started again");
        assert!(process.log().contains("lease had ended"), "{}", process.log());
    }
    let (first, second) = (stage.process().await, stage.process().await);
    stage.report_to(&second);
    stage.done(job).await;
    stage.assert_each_once_within(GUESTS, RATE as usize);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn processes_whose_lease_ended_meanwhile_end_and_others_take_over() {
    const LEASE: Duration = Duration::from_secs(3);
    let mut server = PostgresServer::start().await;
    let stage = Stage::on_server(&server, RATE, &[("KABAR_FLEET_LEASE", "3s"), ("KABAR_DOUBT_GRACE", "15s")]).await;
    let processes = [stage.process().await, stage.process().await];
    stage.report_to(&processes[0]);
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    stage.accepted(100).await;
    server.stop(Stop::Immediate).await;
    lease_over(LEASE * 2).await;
    server.resume().await;
    started_again_they_finish(&stage, processes, job).await;
}

/// Nothing is refused and nothing ends: only no answers come, as when a host vanishes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn processes_do_not_wait_for_ever_for_a_server_that_fell_silent() {
    const LEASE: Duration = Duration::from_secs(3);
    let server = PostgresServer::start().await;
    let settings = [
        ("KABAR_FLEET_LEASE", "3s"),
        ("KABAR_DOUBT_GRACE", "15s"),
        ("KABAR_LEDGER_STATEMENT_TIMEOUT", "500ms"),
        ("KABAR_LEDGER_CONNECT_TIMEOUT", "1s"),
    ];
    let stage = Stage::on_server(&server, RATE, &settings).await;
    let processes = [stage.process().await, stage.process().await];
    stage.report_to(&processes[0]);
    let job = stage.broadcast("dep-1", 0..GUESTS).await;
    stage.accepted(100).await;
    server.freeze().await;
    for process in &processes {
        process.logged("could not be renewed").await;
        process.logged("does not answer").await;
    }
    lease_over(LEASE).await;
    server.thaw().await;
    started_again_they_finish(&stage, processes, job).await;
}
