//! Without a rate, against a provider that answers at once: how many messages a second, and what each costs.
//!
//! The ledger is a file on disk with full durability. The provider runs in a process of its own; the cost is that of the
//! fleet's process alone, its database included.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::time::{Duration, Instant};

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_store::DEFAULT_TENANT;
use kabar_tests::ports::free_address;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{BenchFleet, Provider, ProviderOptions, broadcast, cpu_seconds, until};

const MESSAGES: usize = 20_000;
const PER_JOB: usize = 10_000;

fn main() {
    support::main(async || {
        println!("unlimited: {MESSAGES} messages, ledger on disk, provider answers at once");
        println!("{:<14} {:>12} {:>22}", "receipts", "messages/s", "CPU s per 1,000");
        for receipts in [false, true] {
            run(receipts).await;
        }
    });
}

async fn run(receipts: bool) {
    let listen = free_address();
    let provider = Provider::start(&ProviderOptions { receipts_to: receipts.then_some(listen), ..Default::default() });
    let bench = BenchFleet::start(&provider, Rate::Unlimited, listen).await;
    let store = bench.store();
    // Planned ahead and held, so that only sending is measured.
    store.pause_sender(DEFAULT_TENANT, "default", "until all is planned").await.expect("the sender can be paused");
    let mut jobs = Vec::new();
    for part in 0..MESSAGES / PER_JOB {
        let job = broadcast(&format!("unlimited-{part}"), part * PER_JOB..(part + 1) * PER_JOB);
        jobs.push(store.enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued").job_id());
    }
    for job in &jobs {
        until(Duration::from_millis(20), async || store.job_is_planned(*job).await.unwrap_or(false)).await;
    }
    let (cpu, started) = (cpu_seconds(), Instant::now());
    store.resume_sender(DEFAULT_TENANT, "default").await.expect("the sender can be resumed");
    let wanted = MESSAGES as u64;
    // Counting messages costs the ledger something, so it begins when the provider has them all.
    until(Duration::from_millis(20), async || provider.accepted().await == wanted).await;
    until(Duration::from_millis(50), async || {
        let mut done = 0;
        for job in &jobs {
            let counts = store.job_counts(*job).await.expect("counts can be read");
            done += counts.get(if receipts { MessageState::Read } else { MessageState::Accepted });
        }
        done == wanted
    })
    .await;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let kilo = MESSAGES as f64 / 1_000.0;
    println!(
        "{:<14} {:>12.0} {:>22.3}",
        if receipts { "three each" } else { "off" },
        MESSAGES as f64 / elapsed,
        cpu / kilo
    );
    assert_eq!(provider.accepted().await, wanted, "each arrived once");
    if std::env::var_os("KABAR_BENCH_METRICS").is_some() {
        for prefix in ["kabar_ledger", "kabar_batch", "kabar_tickets"] {
            bench.show(prefix);
        }
    }
    bench.fleet.shutdown().await;
}
