//! Workers of every kind run several times over: what is to happen once happens once, and people see who works where.

use std::sync::Arc;

use chrono_tz::UTC;
use kabar_domain::{job::Door, schedule::Missed};
use kabar_store::{DEFAULT_TENANT, ManualClock, NewSchedule, Place, Store, StoreOptions};
use kabar_tests::{LedgerKind, QueueKind, TestLedger, Time, guests::phone};
use serde_json::json;

use crate::stage::{Stage, assert_no_errors, on_every_queue};

on_every_queue!(each_tick_fires_once_and_each_broadcast_is_planned_once, the_status_tells_who_works_where);

/// A year, in milliseconds.
const YEAR_MS: i64 = 366 * 86_400_000;

async fn each_tick_fires_once_and_each_broadcast_is_planned_once(queue: QueueKind) {
    const SCHEDULES: usize = 20;
    const BROADCASTS: usize = 10;
    const GUESTS: usize = 20;
    let stage = Stage::open(queue, 500, &[]).await;
    // Made as of a year ago: all are overdue when the processes start, and none falls due again for months.
    let past = ManualClock::at_ms(stage.store.now_ms() - YEAR_MS);
    let earlier = stage.store_by(Arc::new(past)).await;
    for index in 0..SCHEDULES {
        let job = json!({"type": "send", "to": phone(index), "content": {"text": "Halo"}});
        let new = NewSchedule { cron: "0 0 1 6 *", timezone: UTC, job: &job, missed: Missed::Coalesce };
        earlier.add_schedule(DEFAULT_TENANT, &new, Door::default()).await.expect("it is added");
    }
    let mut processes = vec![];
    for _ in 0..3 {
        processes.push(stage.home.start(&["run"]));
    }
    for process in &mut processes {
        process.ready().await;
    }
    let mut jobs = vec![];
    for index in 0..BROADCASTS {
        let first = SCHEDULES + index * GUESTS;
        jobs.push(stage.broadcast(&format!("dep-{index}"), first..first + GUESTS).await);
    }
    for job in jobs {
        let counts = stage.done(job).await;
        assert_eq!(counts.total(), GUESTS as u64);
    }
    let all = SCHEDULES + BROADCASTS * GUESTS;
    stage.accepted(all as u64).await;
    let fired = stage.store.jobs(DEFAULT_TENANT, "send", None, 1_000).await.expect("the jobs can be listed");
    assert_eq!(fired.len(), SCHEDULES, "each schedule fires once for all the ticks that it missed");
    stage.assert_each_once_within(all, 500);
    for process in processes {
        assert_no_errors(&process);
        process.stop().await;
    }
}

async fn the_status_tells_who_works_where(queue: QueueKind) {
    let stage = Stage::open(queue, 100, &[]).await;
    let processes = [
        stage.process_with("planner,scheduler").await,
        stage.process_with("courier").await,
        stage.process_with("dispatcher,recorder,janitor").await,
    ];
    let status = stage.home.kabar(&["status", "--json"]).await.success().json();
    let workers = status["workers"].as_array().expect("workers are a list");
    assert_eq!(workers.len(), 3, "{status}");
    for (process, kinds) in processes.iter().zip([2 + 1, 1 + 1, 3 + 1]) {
        let name = format!(":{}", process.id());
        let found = workers.iter().find(|worker| worker["process"].as_str().is_some_and(|text| text.ends_with(&name)));
        let found = found.unwrap_or_else(|| panic!("no process {name}: {status}"));
        assert_eq!(found["workers"].as_array().map(Vec::len), Some(kinds), "{status}");
        assert!(found["started_at"].is_string() && found["expires_at"].is_string(), "{status}");
    }
    let told = stage.home.kabar(&["status"]).await.success().stdout;
    assert!(told.contains(&format!(":{}: ", processes[1].id())) && told.contains("lease"), "{told}");
    for process in processes {
        process.stop().await;
    }
}

impl Stage {
    /// The ledger as a process with another clock sees it.
    async fn store_by(&self, clock: Arc<ManualClock>) -> Store {
        let options = StoreOptions { clock, ..StoreOptions::at(Place::Postgres(self.url())) };
        Store::open(&options).await.expect("the ledger opens")
    }
}

/// Unlike a test's own store, the program finds tables that others may be making just now.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer: run tests/run"]
async fn a_fleet_works_by_way_of_a_pooler() {
    let ledger = TestLedger::open(LedgerKind::Pooled, Time::System).await;
    let stage = Stage::on_ledger(QueueKind::Database, 100, &[], ledger).await;
    let (first, second) = (stage.process().await, stage.process().await);
    stage.report_to(&second);
    let job = stage.broadcast("dep-1", 0..200).await;
    let read = [kabar_domain::message::MessageState::Read, kabar_domain::message::MessageState::Delivered];
    stage.counts_where(job, |counts| read.into_iter().map(|state| counts.get(state)).sum::<u64>() == 200).await;
    stage.assert_each_once_within(200, 100);
    for process in [first, second] {
        assert_no_errors(&process);
        process.stop().await;
    }
}
