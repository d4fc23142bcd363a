//! Several processes on Postgres that share a queue: how much of each sender's rate is used, whether any second holds more
//! than it, and what a message costs, database and broker included.
//!
//! `tests/run bench fleet` takes
//!
//! - nothing: one sender at 20, 80 and 1,000 a second, on 1, 2 and 8 processes, with each queue;
//! - `versus`: 20,000 and 200,000 messages without a rate on two processes, with the ledger's queue and with RabbitMQ, side
//!   by side with the same sends through apalis on the same server;
//! - `SYSTEM PROCESSES SENDERS RATE MESSAGES`: one run. SYSTEM is `database`, `rabbitmq`, `sqs` or `apalis`, RATE a number or
//!   `unlimited`, MESSAGES those of one sender.
//!
//! `KABAR_BENCH_KILL=1` kills one process halfway and starts another.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::{collections::HashMap, time::Duration};

use kabar_domain::{job::Job, message::MessageState, pace::Rate};
use kabar_store::{DEFAULT_TENANT, Store};
use kabar_tests::{Home, KabarProcess, LedgerKind, QueueKind, SharedQueue, TestLedger, Time, guests, http};
use serde_json::json;

mod apalis;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod cost;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use cost::{Cost, Meter};
use support::{Provider, ProviderOptions, job, named_sender, until};

/// How long a rate is kept up, in seconds, where the number of messages is not given.
const SECONDS: usize = 15;

/// How many messages go without a rate, where their number is not given.
const UNLIMITED_MESSAGES: usize = 20_000;

/// The most recipients of one job.
const PER_JOB: usize = 10_000;

/// How often the ends of runs are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who sends.
#[derive(Debug, Clone, Copy)]
enum System {
    Kabar(QueueKind),
    Apalis,
}

/// What is measured in one run.
#[derive(Debug, Clone)]
struct Run {
    system: System,
    processes: usize,
    senders: usize,
    rate: Rate,
    /// Of one sender.
    messages: usize,
    kill: bool,
}

fn main() {
    support::main(async || {
        let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        println!(
            "fleet: Postgres, every process with all workers; the provider answers in 150 ± 50 ms, without a rate at once"
        );
        println!(
            "{:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>7} {:>13} {:>15} {:>10} {:>9} {:>9}",
            "system",
            "processes",
            "senders",
            "rate",
            "messages",
            "a second",
            "used",
            "worst second",
            "CPU s per 1,000",
            "statements",
            "WAL bytes",
            "p99 late"
        );
        for run in runs(&arguments) {
            measure(&run).await;
        }
    });
}

fn runs(arguments: &[String]) -> Vec<Run> {
    let kill = std::env::var_os("KABAR_BENCH_KILL").is_some();
    let run = |system, processes, senders, rate: Rate, messages: Option<usize>| {
        let usual = rate.limit().map_or(UNLIMITED_MESSAGES, |rate| rate as usize * SECONDS);
        Run { system, processes, senders, rate, messages: messages.unwrap_or(usual), kill }
    };
    let queues = [QueueKind::Database, QueueKind::RabbitMq, QueueKind::Sqs].map(System::Kabar);
    match arguments.first().map(String::as_str) {
        None => {
            let fleets = queues.into_iter().flat_map(|system| [1, 2, 8].map(|processes| (system, processes)));
            let rates = [20, 80, 1_000].map(per_second);
            fleets.flat_map(|(system, processes)| rates.map(|rate| run(system, processes, 1, rate, None))).collect()
        }
        Some("versus") => {
            let systems = [System::Apalis, queues[0], queues[1]];
            let counts = [20_000, 200_000];
            counts
                .into_iter()
                .flat_map(|count| systems.map(|system| run(system, 2, 1, Rate::Unlimited, Some(count))))
                .collect()
        }
        Some(system) => {
            let number = |index: usize| arguments.get(index).map(|text| text.parse::<usize>().expect("a number"));
            let rate = match arguments.get(3).map(String::as_str) {
                Some("unlimited") => Rate::Unlimited,
                Some(rate) => per_second(rate.parse().expect("a rate")),
                None => per_second(1_000),
            };
            vec![run(system_of(system), number(1).unwrap_or(2), number(2).unwrap_or(1), rate, number(4))]
        }
    }
}

fn system_of(name: &str) -> System {
    match name {
        "database" => System::Kabar(QueueKind::Database),
        "rabbitmq" => System::Kabar(QueueKind::RabbitMq),
        "sqs" => System::Kabar(QueueKind::Sqs),
        "apalis" => System::Apalis,
        other => panic!("{other:?} is no system: use database, rabbitmq, sqs or apalis"),
    }
}

fn name_of(system: System) -> &'static str {
    match system {
        System::Kabar(QueueKind::Database) => "database",
        System::Kabar(QueueKind::RabbitMq) => "rabbitmq",
        System::Kabar(QueueKind::Sqs) => "sqs",
        System::Apalis => "apalis",
    }
}

fn per_second(rate: u32) -> Rate {
    Rate::per_second(rate).expect("a rate")
}

async fn measure(run: &Run) {
    let provider = Provider::start(&if run.rate.limit().is_some() {
        let (latency, jitter) = (Duration::from_millis(100), Duration::from_millis(100));
        ProviderOptions { latency, jitter, ..ProviderOptions::default() }
    } else {
        ProviderOptions::default()
    });
    let ledger = TestLedger::empty(LedgerKind::Postgres, Time::System).await;
    let (late, cost) = match run.system {
        System::Kabar(queue) => kabar(run, queue, &provider, &ledger).await,
        System::Apalis => ("-".to_owned(), rival(run, &provider, &ledger).await),
    };
    report(run, &provider, &late, &cost).await;
}

async fn kabar(run: &Run, queue: QueueKind, provider: &Provider, ledger: &TestLedger) -> (String, Cost) {
    let queue = SharedQueue::make(queue).await;
    let home = queue.home().on_ledger(ledger).with("KABAR_WHATSAPP_ALLOW_PLAIN_HTTP", "true").with("KABAR_LOG", "warn");
    let _ = home.kabar(&["migrate"]).await.success();
    let store = ledger.reopen().await;
    for sender in 0..run.senders {
        let added = named_sender(&name(sender), &address(sender), provider, run.rate);
        store.add_sender(DEFAULT_TENANT, &added).await.expect("the sender can be added");
    }
    let jobs = plan(&home, &store, run).await;
    let mut processes = Vec::new();
    for _ in 0..run.processes {
        processes.push(home.fleet().await);
    }
    let meter = Meter::start(provider, ledger).await;
    for sender in 0..run.senders {
        store.resume_sender(DEFAULT_TENANT, &name(sender)).await.expect("the sender can be resumed");
    }
    let wanted = (run.messages * run.senders) as u64;
    if run.kill {
        until(LOOK_EVERY, async || provider.accepted().await >= wanted / 2).await;
        processes.remove(0).kill().await;
        processes.push(home.fleet().await);
        // What a killed process had just handed to the network is in doubt, and settled later than this waits.
        until(LOOK_EVERY, async || provider.accepted().await >= wanted * 99 / 100).await;
    } else {
        until(LOOK_EVERY, async || provider.accepted().await >= wanted).await;
        until(LOOK_EVERY, async || accepted(&store, &jobs).await == wanted).await;
    }
    let cost = meter.read().await;
    let late = late_p99(&processes).await;
    for process in processes {
        process.stop().await;
    }
    (late, cost)
}

/// How many messages are accepted as far as the ledger knows.
async fn accepted(store: &Store, jobs: &[i64]) -> u64 {
    let mut accepted = 0;
    for job in jobs {
        accepted += store.job_counts(*job).await.expect("counts can be read").get(MessageState::Accepted);
    }
    accepted
}

/// The same sends through apalis.
async fn rival(run: &Run, provider: &Provider, ledger: &TestLedger) -> Cost {
    assert!(run.rate.limit().is_none() && run.senders == 1, "apalis knows no rate and no senders");
    let program = apalis::build().await;
    apalis::enqueue(&program, ledger, run.messages).await;
    let meter = Meter::start(provider, ledger).await;
    let workers: Vec<_> = (0..run.processes).map(|_| apalis::work(&program, ledger, provider)).collect();
    until(LOOK_EVERY, async || provider.accepted().await >= run.messages as u64).await;
    until(LOOK_EVERY, async || apalis::done(ledger).await == run.messages as i64).await;
    let cost = meter.read().await;
    drop(workers);
    cost
}

/// Enqueues and plans everything while the senders are paused, so that only sending is measured.
async fn plan(home: &Home, store: &Store, run: &Run) -> Vec<i64> {
    let mut jobs = Vec::new();
    for sender in 0..run.senders {
        let name = name(sender);
        store.pause_sender(DEFAULT_TENANT, &name, "until all is planned").await.expect("the sender can be paused");
        for first in (0..run.messages).step_by(PER_JOB) {
            let job = broadcast(&name, first..run.messages.min(first + PER_JOB));
            jobs.push(store.enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued").job_id());
        }
    }
    let mut planner = home.start(&["run", "--only", "gateway,planner"]);
    planner.ready().await;
    for job in &jobs {
        until(LOOK_EVERY, async || store.job_is_planned(*job).await.unwrap_or(false)).await;
    }
    planner.stop().await;
    jobs
}

fn broadcast(sender: &str, guests: std::ops::Range<usize>) -> Job {
    let id = format!("{sender}-{}", guests.start);
    job(json!({"type": "broadcast", "id": id, "sender": sender, "audience": {"recipients": guests::recipients(guests)},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["Siti", "1 Des 2026"]}}}))
}

fn name(sender: usize) -> String {
    format!("sender-{sender}")
}

fn address(sender: usize) -> String {
    format!("10654035{sender:07}")
}

async fn report(run: &Run, provider: &Provider, late: &str, cost: &Cost) {
    let arrivals = provider.arrivals().await;
    let mut of_senders: HashMap<&str, Vec<u64>> = HashMap::new();
    for (sender, at_us) in &arrivals {
        of_senders.entry(sender).or_default().push(*at_us);
    }
    let total = (run.messages * run.senders) as f64;
    // From the first request to the last: how soon a process starts, or notices that it may send, is not how fast it sends.
    let times = || arrivals.iter().map(|(_, at_us)| *at_us);
    let sending_us = times().max().zip(times().min()).map_or(0, |(last, first)| last - first);
    let (mut used, mut worst) = (Vec::new(), 0);
    for times in of_senders.values_mut() {
        times.sort_unstable();
        let length = (times.last().expect("arrivals") - times.first().expect("arrivals")) as f64 / 1e6;
        used.push((times.len() - 1) as f64 / length);
        worst = worst.max(worst_second(times));
    }
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    let (rate, used) = match run.rate.limit() {
        Some(rate) => (rate.to_string(), format!("{:.2}%", mean / f64::from(rate) * 100.0)),
        None => ("unlimited".to_owned(), "-".to_owned()),
    };
    println!(
        "{:>9} {:>9} {:>7} {rate:>9} {total:>9} {:>9.0} {used:>7} {worst:>13} {:>15.3} {:>10.2} {:>9.0} {late:>9}",
        name_of(run.system),
        run.processes,
        run.senders,
        total / (sending_us as f64 / 1e6),
        cost.cpu_seconds / total * 1_000.0,
        cost.statements as f64 / total,
        cost.wal_bytes as f64 / total,
    );
}

/// The most arrivals in any one second.
fn worst_second(times: &[u64]) -> usize {
    let mut first = 0;
    let mut worst = 0;
    for (index, at) in times.iter().enumerate() {
        while times[first] + 1_000_000 <= *at {
            first += 1;
        }
        worst = worst.max(index + 1 - first);
    }
    worst
}

/// How late the 99th of 100 requests was for its slot: the bound of the histogram's bucket that it lies in.
async fn late_p99(processes: &[KabarProcess]) -> String {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for process in processes {
        let Ok(answer) = http::get(process.address(), "/metrics").await else { continue };
        for line in answer.body.lines().filter(|line| line.starts_with("kabar_slot_lateness_seconds_bucket")) {
            let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let (Ok(bound), Some(Ok(count))) = (bound.parse::<f64>(), line.rsplit(' ').next().map(str::parse::<f64>))
            else {
                continue;
            };
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
    }
    buckets.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let bound = buckets.iter().find(|(_, count)| *count >= all * 0.99).map(|(bound, _)| *bound);
    bound.filter(|_| all > 0.0).map_or("-".to_owned(), |bound| format!("{:.1} ms", bound * 1e3))
}
