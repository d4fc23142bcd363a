//! How many jobs a gateway takes in over HTTP, one by one and by thousands, and how long each request waits.
//!
//! `tests/run bench http [sqlite|postgres [CALLERS [REQUESTS [BATCHES]]]]`, by default on SQLite with 16 callers who send
//! 5,000 jobs one by one, then 100 requests of a thousand. The gateway is a process of its own and has nothing else to do.
//! Connections are made anew for each request, as by a proxy without keep-alive, so a request's time holds that, too.
#![expect(clippy::expect_used, reason = "a benchmark ends where it cannot go on")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, NewApiKey, Place, Store, StoreOptions};
use kabar_tests::{Home, LedgerKind, TestLedger, Time, guests::phone, http};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// What is measured.
#[derive(Debug, Clone)]
struct Load {
    postgres: bool,
    callers: usize,
    requests: usize,
    batches: usize,
}

impl Load {
    fn asked_for() -> Self {
        // Cargo passes `--bench` along.
        let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
        let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
        let mut next = |usual| numbers.next().unwrap_or(usual);
        let postgres = arguments.iter().any(|argument| argument == "postgres");
        Self { postgres, callers: next(16), requests: next(5_000), batches: next(100) }
    }
}

#[tokio::main]
async fn main() {
    let load = Load::asked_for();
    let folder = tempfile::tempdir_in(".").expect("a folder can be made here");
    // Kept for as long as the benchmark runs: its database goes with it.
    let server = if load.postgres { Some(TestLedger::open(LedgerKind::Postgres, Time::System).await) } else { None };
    let home = Home::new()
        .with("WHATSAPP_PHONE_NUMBER_ID", "106540352242922")
        .with("WHATSAPP_ACCESS_TOKEN", "none")
        .with("KABAR_LOG", "warn");
    let (home, store) = match &server {
        Some(ledger) => (home.on_ledger(ledger), ledger.store().clone()),
        None => {
            let path = folder.path().canonicalize().expect("the folder has a path").join("kabar.db");
            let store = Store::open(&StoreOptions::at(Place::File(path.clone()))).await.expect("the ledger opens");
            store.migrate().await.expect("the ledger can be migrated");
            (home.with("KABAR_DATABASE_URL", format!("sqlite://{}", path.display())), store)
        }
    };
    let mut gateway = home.start(&["run", "--only", "gateway"]);
    gateway.ready().await;
    let new = NewApiKey {
        name: "bench".to_owned(),
        scopes: vec![Scope::Enqueue],
        messages_per_minute: None,
        expires_at: None,
    };
    let (_, key) = store.add_key(DEFAULT_TENANT, &new).await.expect("a key can be made");
    let caller = Caller { address: gateway.address().to_owned(), authorization: format!("Bearer {}", key.expose()) };
    let ledger = if load.postgres { "Postgres" } else { "SQLite" };
    println!("{} callers, ledger on {ledger}", load.callers);
    post_all("one by one", &caller, &load, load.requests, 1).await;
    post_all("by thousands", &caller, &load, load.batches, 1_000).await;
    gateway.stop().await;
}

#[derive(Debug, Clone)]
struct Caller {
    address: String,
    authorization: String,
}

impl Caller {
    async fn post(&self, body: &Value) {
        let headers = [("authorization", self.authorization.as_str())];
        let answer = http::post(&self.address, "/v1/jobs", &headers, body).await.expect("the gateway answers");
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

/// Posts `requests` of so many jobs each, by callers who each wait for their answer, and says how it went.
async fn post_all(what: &str, caller: &Caller, load: &Load, requests: usize, jobs: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers: JoinSet<Vec<Duration>> = JoinSet::new();
    let began = Instant::now();
    for _ in 0..load.callers {
        let (next, caller) = (next.clone(), caller.clone());
        callers.spawn(async move {
            let mut times = Vec::new();
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= requests {
                    return times;
                }
                let body = body(request, jobs);
                let began = Instant::now();
                caller.post(&body).await;
                times.push(began.elapsed());
            }
        });
    }
    let mut times: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    let elapsed = began.elapsed();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: {:.0} jobs a second ({} in {:.1} s); a request takes {:.1} ms at the median, {:.1} ms at p99, {:.1} ms at \
         the most",
        (requests * jobs) as f64 / elapsed.as_secs_f64(),
        requests * jobs,
        elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn body(request: usize, jobs: usize) -> Value {
    let job = |index: usize| {
        json!({"type": "send", "id": format!("bench-{jobs}-{request}-{index}"), "to": phone(request * jobs + index),
            "content": {"template": {"name": "payment_reminder", "language": "id",
                "params": ["Siti", "Paket Hemat", "12 Des 2026", "2.500.000"]}}})
    };
    if jobs == 1 { job(0) } else { json!({"jobs": (0..jobs).map(job).collect::<Vec<_>>()}) }
}
