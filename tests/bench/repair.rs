//! What the walk of repair costs on a large ledger in which nothing is amiss: janitors take one step of it a second.
//!
//! `tests/run bench repair` takes the number of messages, a million where none is given.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::time::{Duration, Instant};

use kabar_domain::pace::Rate;
use kabar_store::{Place, SettlePolicy, Store};
use kabar_tests::{LedgerKind, TestLedger, Time};

#[expect(dead_code, reason = "each benchmark uses a part")]
mod filled;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use filled::Messages;
use support::{Provider, ProviderOptions, add_sender, machine_cpu_seconds, open};

const MESSAGES: usize = 1_000_000;

/// A walk that has ended does not begin again meanwhile.
const EVERY: Duration = Duration::from_secs(3_600);

fn main() {
    support::main(async || {
        let messages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
        println!("repair: a walk through {messages} delivered messages; janitors take one step a second");
        println!(
            "{:>9} {:>7} {:>13} {:>13} {:>13} {:>15} {:>15}",
            "ledger", "steps", "rows a second", "mean of steps", "longest step", "share of a core", "ledger's time"
        );
        let folder =
            tempfile::tempdir_in(std::env::current_dir().expect("a current folder")).expect("a folder on disk");
        walk("SQLite", &Place::File(folder.path().join("kabar.db")), messages).await;
        let database = TestLedger::empty(LedgerKind::Postgres, Time::System).await;
        walk("Postgres", &database.direct_place(), messages).await;
    });
}

async fn walk(name: &str, place: &Place, messages: usize) {
    let store = open(place).await;
    let provider = Provider::start(&ProviderOptions::default());
    add_sender(&store, &provider, Rate::default()).await;
    filled::fill(&store, place, "default", messages, Messages::Delivered).await;
    let (cpu, mut steps) = (machine_cpu_seconds(), Vec::new());
    while let Some(took) = step(&store).await {
        steps.push(took.as_secs_f64());
    }
    let cpu = machine_cpu_seconds() - cpu;
    let (count, took) = (steps.len() as f64, steps.iter().sum::<f64>());
    let longest = steps.iter().copied().fold(0.0, f64::max);
    // It looks at each message, and at each recipient of the broadcast.
    println!(
        "{name:>9} {count:>7} {:>13.0} {:>10.1} ms {:>10.1} ms {:>13.2} % {:>13.2} %",
        2.0 * messages as f64 / took,
        took / count * 1e3,
        longest * 1e3,
        cpu / count * 100.0,
        took / count * 100.0,
    );
    store.close().await;
}

/// One step of the walk; how long it took, or none at the walk's end.
async fn step(store: &Store) -> Option<Duration> {
    let began = Instant::now();
    let repaired = store.repair_step(EVERY, &SettlePolicy::default(), |_| None).await.expect("the ledger can be read");
    assert!(repaired.mended.is_empty(), "nothing was amiss: {repaired:?}");
    (!repaired.rests).then(|| began.elapsed())
}
