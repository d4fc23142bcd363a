//! How much of a rate is used and whether any second holds more than it, as the provider sees it.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::{ops::Range, time::Duration};

use kabar_domain::pace::Rate;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::ports::free_address;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{BenchFleet, Provider, ProviderOptions, broadcast, cpu_seconds, until};

/// How long each rate is kept up.
const SECONDS: u32 = 20;

fn main() {
    support::main(async || {
        println!("pace: {SECONDS} s at each rate, provider answers in 150 ± 50 ms");
        println!("{:>6} {:>10} {:>8} {:>14} {:>20}", "rate", "messages", "used", "worst second", "CPU s per 1,000");
        let only = std::env::args().nth(1).and_then(|text| text.parse().ok());
        for rate in [20, 80, 1_000] {
            if only.is_none_or(|only: u32| only == rate) {
                run(rate).await;
            }
        }
    });
}

async fn run(rate: u32) {
    let latency = ProviderOptions {
        latency: Duration::from_millis(100),
        jitter: Duration::from_millis(100),
        ..ProviderOptions::default()
    };
    let provider = Provider::start(&latency);
    let limit = Rate::per_second(rate).expect("a rate");
    let bench = BenchFleet::start(&provider, limit, free_address()).await;
    let store = bench.store();
    let messages = (rate * SECONDS) as usize;
    for recipients in parts(messages) {
        let job = broadcast(&format!("pace-{}", recipients.start), recipients);
        store.enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued");
    }
    let cpu = cpu_seconds();
    until(Duration::from_millis(100), async || provider.accepted().await == messages as u64).await;
    let cpu = cpu_seconds() - cpu;
    let arrivals = provider.arrivals_us().await;
    let (first, last) = (arrivals.first().expect("arrivals"), arrivals.last().expect("arrivals"));
    let seconds = (last - first) as f64 / 1e6;
    let used = (arrivals.len() - 1) as f64 / seconds / f64::from(rate);
    let worst = provider.counters().await["worst_window"].as_u64().unwrap_or_default();
    let per_kilo = cpu / messages as f64 * 1_000.0;
    println!("{rate:>6} {messages:>10} {:>7.2}% {worst:>7} of {rate:<4} {per_kilo:>19.3}", used * 100.0);
    if std::env::var_os("KABAR_BENCH_METRICS").is_some() {
        let mut gaps: Vec<(u64, u64)> = arrivals.windows(2).map(|pair| (pair[1] - pair[0], pair[0] - first)).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        for (gap, at) in gaps.iter().take(12) {
            println!("  a gap of {:.1} ms at {:.3} s", *gap as f64 / 1e3, *at as f64 / 1e6);
        }
        for prefix in ["kabar_slot", "kabar_ledger", "kabar_batch", "kabar_tickets", "kabar_attempts"] {
            bench.show(prefix);
        }
    }
    bench.fleet.shutdown().await;
}

/// The recipients of each job, as many as one job may list.
fn parts(messages: usize) -> impl Iterator<Item = Range<usize>> {
    const MOST: usize = 10_000;
    (0..messages).step_by(MOST).map(move |first| first..messages.min(first + MOST))
}
