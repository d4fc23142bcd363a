//! How soon a single message is at the provider when nothing else is to do, and what doing nothing costs.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::time::{Duration, Instant};

use kabar_domain::pace::Rate;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::ports::free_address;
use serde_json::json;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{BenchFleet, Provider, ProviderOptions, cpu_seconds, job, memory_mib, until};

const MESSAGES: usize = 200;
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    support::main(async || {
        let provider = Provider::start(&ProviderOptions::default());
        let bench = BenchFleet::start(&provider, Rate::default(), free_address()).await;
        let mut latencies = Vec::with_capacity(MESSAGES);
        for number in 0..MESSAGES {
            let send = job(
                json!({"type": "send", "id": format!("idle-{number}"), "to": format!("+62812{:07}", 2_000_000 + number),
                "content": {"template": {"name": "payment_reminder", "language": "id", "params": ["Siti"]}}}),
            );
            let started = Instant::now();
            let enqueued = bench.store().enqueue(DEFAULT_TENANT, &send).await.expect("the job is enqueued");
            // The provider answers at once, so that the answer is in the ledger bounds its arrival from above.
            until(Duration::from_millis(1), async || {
                bench
                    .store()
                    .job_counts(enqueued.job_id())
                    .await
                    .is_ok_and(|counts| counts.total() == 1 && counts.all_done())
            })
            .await;
            latencies.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        latencies.sort_unstable();
        let at = |share: f64| latencies[((MESSAGES - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "idle: {MESSAGES} single messages at 20 per second, one at a time, from enqueue to the provider's answer in the ledger"
        );
        println!("median {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(0.5), at(0.99), at(1.0));
        let cpu = cpu_seconds();
        tokio::time::sleep(IDLE).await;
        let share = (cpu_seconds() - cpu) / IDLE.as_secs_f64();
        println!(
            "doing nothing for {} s: {:.2} % of a core, {:.1} MiB resident",
            IDLE.as_secs(),
            share * 100.0,
            memory_mib()
        );
        bench.fleet.shutdown().await;
    });
}
