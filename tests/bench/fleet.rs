//! Several processes on Postgres that share a queue: how much of each sender's rate is used, whether any second holds more
//! than it, and what a message costs, database and broker included.
//!
//! `tests/run bench fleet [QUEUE [PROCESSES [SENDERS [RATE [SECONDS]]]]]`, where QUEUE is `database`, `rabbitmq` or `sqs`,
//! RATE a number or `unlimited`; `KABAR_BENCH_KILL=1` kills one process halfway and starts another. Without arguments: one
//! sender at 20, 80 and 1,000 a second on 1, 2 and 8 processes.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kabar_domain::{job::Job, pace::Rate};
use kabar_store::{DEFAULT_TENANT, Store};
use kabar_tests::{Home, KabarProcess, LedgerKind, QueueKind, SharedQueue, TestLedger, Time, guests, http};
use serde_json::json;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{Provider, ProviderOptions, job, named_sender, until};

/// How long a rate is kept up, unless said.
const SECONDS: usize = 15;

/// The most recipients of one job.
const PER_JOB: usize = 10_000;

/// What is measured in one run.
#[derive(Debug, Clone)]
struct Run {
    queue: String,
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
            "fleet: Postgres, every process with all workers, provider answers in 150 ± 50 ms (at once if unlimited)"
        );
        println!(
            "{:>9} {:>9} {:>7} {:>9} {:>9} {:>10} {:>7} {:>15} {:>15} {:>10} {:>10}",
            "queue",
            "processes",
            "senders",
            "rate",
            "messages",
            "a second",
            "used",
            "worst second",
            "CPU s per 1,000",
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
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<usize>().ok());
    let seconds = number(4).unwrap_or(SECONDS);
    let run = |queue: &str, processes, senders, rate: Rate| Run {
        queue: queue.to_owned(),
        processes,
        senders,
        rate,
        messages: rate.limit().map_or(seconds * 1_000, |rate| rate as usize * seconds),
        kill,
    };
    let Some(queue) = arguments.first() else {
        let mut all = Vec::new();
        for queue in ["database", "rabbitmq", "sqs"] {
            for processes in [1, 2, 8] {
                all.extend([20, 80, 1_000].map(|rate| run(queue, processes, 1, per_second(rate))));
            }
        }
        return all;
    };
    let rate = match arguments.get(3).map(String::as_str) {
        Some("unlimited") => Rate::Unlimited,
        other => per_second(other.and_then(|text| text.parse().ok()).unwrap_or(1_000)),
    };
    vec![run(queue, number(1).unwrap_or(2), number(2).unwrap_or(1), rate)]
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
    let ledger = TestLedger::open(LedgerKind::Postgres, Time::System).await;
    let store = ledger.reopen().await;
    let queue = SharedQueue::make(queue_kind(&run.queue)).await;
    let home =
        queue.home().on_ledger(&ledger).with("KABAR_WHATSAPP_ALLOW_PLAIN_HTTP", "true").with("KABAR_LOG", "warn");
    let _ = home.kabar(&["migrate"]).await.success();
    for sender in 0..run.senders {
        let added = named_sender(&format!("sender-{sender}"), &address(sender), &provider, run.rate);
        store.add_sender(DEFAULT_TENANT, &added).await.expect("the sender can be added");
    }
    let planned = plan(&home, &store, run).await;
    let mut processes = Vec::new();
    for _ in 0..run.processes {
        processes.push(home.fleet().await);
    }
    let (cpu, wal, began) = (Cpu::now(&provider), wal_bytes(&ledger).await, Instant::now());
    for sender in 0..run.senders {
        store.resume_sender(DEFAULT_TENANT, &format!("sender-{sender}")).await.expect("the sender can be resumed");
    }
    let wanted = (run.messages * run.senders) as u64;
    if run.kill {
        until(Duration::from_millis(50), async || provider.accepted().await >= wanted / 2).await;
        processes.remove(0).kill().await;
        processes.push(home.fleet().await);
    }
    // What a killed process had just handed to the network is in doubt, and settled later than this waits.
    let enough = if run.kill { wanted * 99 / 100 } else { wanted };
    until(Duration::from_millis(50), async || provider.accepted().await >= enough).await;
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), Cpu::now(&provider).since(&cpu));
    let wal = (wal_bytes(&ledger).await - wal) / wanted as i64;
    let late = late_p99(&processes).await;
    report(run, &provider, elapsed, cpu, wal, &late).await;
    for process in processes {
        process.stop().await;
    }
    drop(planned);
}

/// Enqueues and plans everything while the senders are paused, so that only sending is measured.
async fn plan(home: &Home, store: &Store, run: &Run) -> Vec<i64> {
    let mut jobs = Vec::new();
    for sender in 0..run.senders {
        let name = format!("sender-{sender}");
        store.pause_sender(DEFAULT_TENANT, &name, "until all is planned").await.expect("the sender can be paused");
        for first in (0..run.messages).step_by(PER_JOB) {
            let job = broadcast(&name, first..run.messages.min(first + PER_JOB));
            jobs.push(store.enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued").job_id());
        }
    }
    let mut planner = home.start(&["run", "--only", "gateway,planner"]);
    planner.ready().await;
    for job in &jobs {
        until(Duration::from_millis(20), async || store.job_is_planned(*job).await.unwrap_or(false)).await;
    }
    planner.stop().await;
    jobs
}

fn broadcast(sender: &str, guests: std::ops::Range<usize>) -> Job {
    let id = format!("{sender}-{}", guests.start);
    job(json!({"type": "broadcast", "id": id, "sender": sender, "audience": {"recipients": guests::recipients(guests)},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["Siti", "1 Des 2026"]}}}))
}

fn address(sender: usize) -> String {
    format!("10654035{sender:07}")
}

fn queue_kind(name: &str) -> QueueKind {
    match name {
        "database" => QueueKind::Database,
        "rabbitmq" => QueueKind::RabbitMq,
        "sqs" => QueueKind::Sqs,
        other => panic!("{other:?} is no queue: use database, rabbitmq or sqs"),
    }
}

async fn report(run: &Run, provider: &Provider, elapsed: f64, cpu: f64, wal: i64, late: &str) {
    let arrivals = provider.arrivals().await;
    let mut of_senders: HashMap<&str, Vec<u64>> = HashMap::new();
    for (sender, at_us) in &arrivals {
        of_senders.entry(sender).or_default().push(*at_us);
    }
    let total = (run.messages * run.senders) as f64;
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
        "{:>9} {:>9} {:>7} {rate:>9} {total:>9} {:>10.0} {used:>7} {worst:>15} {:>15.3} {wal:>10} {late:>10}",
        run.queue,
        run.processes,
        run.senders,
        total / elapsed,
        cpu / total * 1_000.0,
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

/// How much the ledger's server has written to its log.
async fn wal_bytes(ledger: &TestLedger) -> i64 {
    use sqlx::{Connection, Row};
    let mut connection = sqlx::PgConnection::connect(&ledger.url()).await.expect("the server answers");
    let row =
        sqlx::query("select cast(pg_current_wal_insert_lsn() - '0/0' as bigint)").fetch_one(&mut connection).await;
    row.and_then(|row| row.try_get(0)).expect("the server tells")
}

/// CPU time of the whole machine but the provider and this process: the fleet, its database and its broker. Right only
/// where nothing else runs.
struct Cpu {
    busy: f64,
}

impl Cpu {
    fn now(provider: &Provider) -> Self {
        Self { busy: support::machine_cpu_seconds() - support::cpu_seconds() - provider.cpu_seconds() }
    }

    fn since(&self, before: &Self) -> f64 {
        self.busy - before.busy
    }
}
