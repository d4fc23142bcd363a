//! Whether a message costs more the more of them wait: the same number sent out of backlogs of different sizes, on two
//! processes with Postgres and the ledger's queue, without a rate.
//!
//! `tests/run bench backlog` takes how many messages are sent out of each and the backlogs, else 20,000 out of 10 thousand, 1
//! million and 5 million. Each is measured twice, in turns, so that what the machine does meanwhile shows.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::time::Duration;

use kabar_domain::pace::Rate;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{Home, LedgerKind, TestLedger, Time};

mod cost;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod filled;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use cost::{Cost, Meter};
use filled::Messages;
use support::{Provider, ProviderOptions, named_sender, until};

/// How many are sent out of each backlog.
const SENT: usize = 20_000;

/// What still waits when they are sent.
const BACKLOGS: [usize; 3] = [10_000, 1_000_000, 5_000_000];

const ROUNDS: usize = 2;
const PROCESSES: usize = 2;
const SENDER: &str = "sender-0";

/// How often it is looked whether enough are sent.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn main() {
    support::main(async || {
        let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
        let (sent, backlogs) = match numbers.split_first() {
            Some((sent, [])) => (*sent, &BACKLOGS[..]),
            Some((sent, backlogs)) => (*sent, backlogs),
            None => (SENT, &BACKLOGS[..]),
        };
        println!(
            "backlog: {sent} messages out of each, {PROCESSES} processes, Postgres with the ledger's queue, no rate"
        );
        println!(
            "{:>9} {:>9} {:>15} {:>10} {:>9} {:>22}",
            "backlog", "a second", "CPU s per 1,000", "statements", "WAL bytes", "CPU to the first's"
        );
        for _ in 0..ROUNDS {
            let mut first = None;
            for backlog in backlogs {
                let of_each = measure(*backlog, sent).await;
                let first = *first.get_or_insert(of_each.cpu_seconds);
                of_each.print(*backlog, first);
            }
        }
    });
}

/// What a message cost.
struct OfEach {
    a_second: f64,
    /// For 1,000 of them.
    cpu_seconds: f64,
    statements: f64,
    wal_bytes: f64,
}

impl OfEach {
    fn of(cost: &Cost, sent: f64) -> Self {
        Self {
            a_second: sent / cost.elapsed.as_secs_f64(),
            cpu_seconds: cost.cpu_seconds / sent * 1_000.0,
            statements: cost.statements as f64 / sent,
            wal_bytes: cost.wal_bytes as f64 / sent,
        }
    }

    fn print(&self, backlog: usize, first: f64) {
        println!(
            "{backlog:>9} {:>9.0} {:>15.3} {:>10.2} {:>9.0} {:>21.1}%",
            self.a_second,
            self.cpu_seconds,
            self.statements,
            self.wal_bytes,
            self.cpu_seconds / first * 100.0,
        );
    }
}

async fn measure(backlog: usize, sent: usize) -> OfEach {
    let provider = Provider::start(&ProviderOptions::default());
    let ledger = TestLedger::empty(LedgerKind::Postgres, Time::System).await;
    let home = Home::new().on_ledger(&ledger).with("KABAR_WHATSAPP_ALLOW_PLAIN_HTTP", "true").with("KABAR_LOG", "warn");
    let _ = home.kabar(&["migrate"]).await.success();
    let store = ledger.reopen().await;
    let sender = named_sender(SENDER, "106540352242922", &provider, Rate::Unlimited);
    store.add_sender(DEFAULT_TENANT, &sender).await.expect("the sender can be added");
    store.pause_sender(DEFAULT_TENANT, SENDER, "until all is there").await.expect("the sender can be paused");
    filled::fill(&store, &ledger.direct_place(), SENDER, backlog + sent, Messages::Waiting).await;
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(home.fleet().await);
    }
    let meter = Meter::start(&provider, &ledger).await;
    store.resume_sender(DEFAULT_TENANT, SENDER).await.expect("the sender can be resumed");
    let mut accepted = 0;
    until(LOOK_EVERY, async || {
        accepted = provider.accepted().await;
        accepted >= sent as u64
    })
    .await;
    let cost = meter.read().await;
    store.pause_sender(DEFAULT_TENANT, SENDER, "enough was sent").await.expect("the sender can be paused");
    for process in processes {
        process.stop().await;
    }
    OfEach::of(&cost, accepted as f64)
}
