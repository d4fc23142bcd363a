//! What the benchmarks share: a provider in a process of its own, a fleet in this one, and what they cost.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kabar::fleet::{Fleet, Worker};
use kabar_domain::{
    job::{Door, Job},
    pace::Rate,
    sender::ProviderKind,
};
use kabar_sandbox::{Faults, Sandbox, SandboxConfig, WebhookTarget};
use kabar_settings::{Settings, Sources};
use kabar_store::{DEFAULT_TENANT, NewSender, Place, Store, StoreOptions};
use kabar_tests::{guests, http};
use serde_json::{Value, json};

const ROLE: &str = "KABAR_BENCH_ROLE";
/// What signs the webhooks of a benchmark.
pub const SECRET: &str = "bench-app-secret";

/// How the provider of a benchmark behaves.
#[derive(Debug, Clone, Default)]
pub struct ProviderOptions {
    /// How long an answer takes.
    pub latency: Duration,
    /// How much longer or shorter.
    pub jitter: Duration,
    /// Where receipts go; none: nowhere.
    pub receipts_to: Option<SocketAddr>,
}

/// A sandbox in a process of its own, so that its cost is not ours.
pub struct Provider {
    child: Child,
    address: String,
}

impl Provider {
    /// Starts it by running this very program again in another role.
    pub fn start(options: &ProviderOptions) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(ROLE, "provider")
            .env("LATENCY_MS", options.latency.as_millis().to_string())
            .env("JITTER_MS", options.jitter.as_millis().to_string())
            .env("RECEIPTS_TO", options.receipts_to.map(|to| to.to_string()).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the provider starts");
        let mut address = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut address).expect("it names its address");
        Self { child, address: address.trim().to_owned() }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn counters(&self) -> Value {
        http::get(&self.address, "/sandbox/counters").await.expect("the provider answers").json()
    }

    pub async fn accepted(&self) -> u64 {
        self.counters().await["accepted"].as_u64().unwrap_or_default()
    }

    /// CPU time that it has used, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.child.id().to_string())
    }

    async fn all_arrivals(&self) -> Value {
        http::get(&self.address, "/sandbox/arrivals?limit=262144").await.expect("the provider answers").json()
    }

    /// Who sent each request, and when it arrived, in microseconds.
    pub async fn arrivals(&self) -> Vec<(String, u64)> {
        let answer = self.all_arrivals().await;
        let arrival =
            |arrival: &Value| Some((arrival["phone_number_id"].as_str()?.to_owned(), arrival["at_us"].as_u64()?));
        answer["arrivals"].as_array().map(|all| all.iter().filter_map(arrival).collect()).unwrap_or_default()
    }

    /// The message id and the opaque value of each message that was accepted.
    pub async fn named_arrivals(&self) -> Vec<(String, String)> {
        let answer = self.all_arrivals().await;
        let named = |arrival: &Value| {
            let text = |key: &str| arrival[key].as_str().map(str::to_owned);
            Some((text("wamid")?, text("opaque")?)).filter(|_| arrival["accepted"] == true)
        };
        answer["arrivals"].as_array().map(|all| all.iter().filter_map(named).collect()).unwrap_or_default()
    }

    /// When each request arrived, in microseconds, in order.
    pub async fn arrivals_us(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.arrivals().await.into_iter().map(|(_, at_us)| at_us).collect();
        times.sort_unstable();
        times
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It ends when its input closes.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs `bench`, or the provider where this process was started as one.
pub fn main(bench: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    if std::env::var(ROLE).as_deref() == Ok("provider") {
        runtime.block_on(provide());
    } else {
        if let Ok(filter) = std::env::var("KABAR_TEST_LOG") {
            let _ = kabar_telemetry::init_logs(&filter, kabar_telemetry::LogFormat::Text);
        }
        runtime.block_on(bench());
    }
}

async fn provide() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    let faults = Faults {
        latency: Duration::from_millis(number("LATENCY_MS")),
        latency_jitter: Duration::from_millis(number("JITTER_MS")),
        ..Faults::default()
    };
    let webhook = std::env::var("RECEIPTS_TO").ok().filter(|to| !to.is_empty()).map(|to| WebhookTarget {
        url: format!("http://{to}/webhooks/whatsapp"),
        app_secret: SECRET.to_owned(),
        delay: Duration::from_millis(200),
        read_share: 1.0,
    });
    let sandbox = Sandbox::start(SandboxConfig { faults, webhook, ..SandboxConfig::default() }).await;
    let sandbox = sandbox.expect("the sandbox starts");
    println!("{}", sandbox.address());
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
    closed.await.expect("the input closes");
}

/// A fleet in this process, on a ledger on disk.
pub struct BenchFleet {
    pub fleet: Fleet,
    metrics: kabar_telemetry::MetricsHandle,
    _folder: tempfile::TempDir,
}

impl BenchFleet {
    pub async fn start(provider: &Provider, rate: Rate, listen: SocketAddr) -> Self {
        let folder =
            tempfile::tempdir_in(std::env::current_dir().expect("a current folder")).expect("a folder on disk");
        let store = open(&Place::File(folder.path().join("kabar.db"))).await;
        add_sender(&store, provider, rate).await;
        let overrides = [
            ("gateway.listen", listen.to_string()),
            ("whatsapp.app_secrets", SECRET.to_owned()),
            ("whatsapp.allow_plain_http", "true".to_owned()),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value)).into();
        let settings = Settings::load(&Sources { overrides, ..Sources::default() }).expect("the settings are valid");
        let metrics = kabar_telemetry::init_metrics().expect("metrics start");
        let fleet = Fleet::start(settings, store, &Worker::ALL, Some(metrics.clone())).await.expect("the fleet starts");
        Self { fleet, metrics, _folder: folder }
    }

    pub fn store(&self) -> &Store {
        self.fleet.store()
    }

    /// The sum of a counter over its labels, since this process began.
    pub fn counter(&self, name: &str) -> f64 {
        let text = self.metrics.render();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Every line of the metrics that begins with `prefix`.
    pub fn show(&self, prefix: &str) {
        self.metrics.render().lines().filter(|line| line.starts_with(prefix)).for_each(|line| println!("  {line}"));
    }
}

pub async fn open(place: &Place) -> Store {
    let store = Store::open(&StoreOptions::at(place.clone())).await.expect("the ledger opens");
    store.migrate().await.expect("the ledger can be migrated");
    store
}

pub async fn add_sender(store: &Store, provider: &Provider, rate: Rate) {
    let sender = named_sender("default", "106540352242922", provider, rate);
    store.add_sender(DEFAULT_TENANT, &sender).await.expect("the sender can be added");
}

/// A sender with this name and phone-number id.
pub fn named_sender(name: &str, address: &str, provider: &Provider, rate: Rate) -> NewSender {
    NewSender {
        name: name.to_owned(),
        provider: ProviderKind::WhatsappCloud,
        address: address.to_owned(),
        account: None,
        app: None,
        access_token: "bench".to_owned(),
        api_base: provider.base_url(),
        api_version: "v26.0".to_owned(),
        app_secret: None,
        rate,
    }
}

/// A broadcast to these guests. Broadcasts to the same ones would wait for each other: at most one
/// message to a recipient is being sent.
pub fn broadcast(id: &str, guests: std::ops::Range<usize>) -> Job {
    job(json!({"type": "broadcast", "id": id, "audience": {"recipients": guests::recipients(guests)},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["{name}", "1 Des 2026"]}}}))
}

pub fn job(value: Value) -> Job {
    Job::from_value(value, Door::default(), None).expect("the job is valid")
}

/// The kernel counts in hundredths of a second on every Linux in use (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time that this process has used, user and system, in seconds.
pub fn cpu_seconds() -> f64 {
    cpu_seconds_of("self")
}

/// The same of the process with this id.
pub fn cpu_seconds_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// CPU time that everything on this machine has used, in seconds: all but idling and waiting for disks.
pub fn machine_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let total = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = total.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    [0, 1, 2, 5, 6].into_iter().filter_map(|index| ticks.get(index)).sum::<f64>() / TICKS_PER_SECOND
}

/// The largest memory that this process has held, in mebibytes.
pub fn peak_memory_mib() -> f64 {
    memory("self", "VmHWM:")
}

/// The memory that this process holds now, in mebibytes.
pub fn memory_mib() -> f64 {
    memory_mib_of("self")
}

/// The same of the process with this id.
pub fn memory_mib_of(process: &str) -> f64 {
    memory(process, "VmRSS:")
}

fn memory(process: &str, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Waits until `done` says so, looking every `every`; how long it took.
pub async fn until(every: Duration, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(900), "the benchmark does not come to its end");
        tokio::time::sleep(every).await;
    }
    started.elapsed()
}
