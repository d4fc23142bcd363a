//! Workers in processes of their own: what one leaves in the ledger, another finds soon.

use std::time::{Duration, Instant};

use kabar_domain::job::{Door, Job};
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{
    Home, LedgerKind, TestLedger, Time, eventually,
    guests::{digits, phone},
    sandbox,
};

use crate::support::{WITHIN, send};

/// From a job that this process writes down to the request: past a planner and a dispatcher in one process and a courier
/// in another, with nothing else to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn a_single_message_leaves_soon_though_three_processes_have_a_hand_in_it() {
    const MESSAGES: usize = 21;
    const SOON: Duration = Duration::from_millis(400);
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = TestLedger::open(LedgerKind::Postgres, Time::System).await;
    let home = Home::new().on_ledger(&ledger).on_sandbox(&sandbox).with("KABAR_PACE_DEFAULT_RATE", "80");
    let _ = home.kabar(&["status"]).await.success();
    let mut processes = [
        home.start(&["run", "--only", "gateway,planner,dispatcher,recorder"]),
        home.start(&["run", "--only", "gateway,courier"]),
    ];
    for process in &mut processes {
        process.ready().await;
    }
    let mut took = vec![];
    for index in 0..MESSAGES {
        let job =
            Job::from_value(send(&format!("s-{index}"), &phone(index)), Door::default(), None).expect("it is valid");
        let began = Instant::now();
        ledger.store().enqueue(DEFAULT_TENANT, &job).await.expect("it is enqueued");
        let arrived = eventually(WITHIN, async || {
            sandbox.arrivals().iter().find(|arrival| arrival.to == digits(index)).map(|arrival| arrival.at)
        })
        .await;
        took.push(arrived.saturating_duration_since(began));
    }
    took.sort_unstable();
    let (median, longest) = (took[MESSAGES / 2], took[MESSAGES - 1]);
    println!("from the job to the request: median {median:?}, longest {longest:?}");
    assert!(median < SOON, "median {median:?}, longest {longest:?}");
    for process in processes {
        process.stop().await;
    }
}
