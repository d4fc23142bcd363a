//! Which workers a process runs: started in order, stopped in reverse.
//!
//! Whoever takes work in starts last and stops first, so nothing is taken that nobody would carry on. At a stop, couriers
//! give back what they have not started and wait for what they have; then outcomes are written and the lease is ended.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use kabar_settings::Settings;
use kabar_store::{Store, Writer};
use kabar_telemetry::{MetricsHandle, TracesExport, names};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, Hold, Shared, open_providers, open_queue},
    courier, dispatcher, gateway, intake, janitor, planner, recorder, scheduler,
    steps::repeat,
    templates, traces,
};

/// How often the ledger is asked whether another process has written.
const NOTICE_EVERY: Duration = Duration::from_millis(100);

/// How long the queue and the ledger may take to say farewell.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long the last spans may take to the collector.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// How often a SQLite ledger's log is copied back into its file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How often metrics are tidied, so that samples which nobody collects do not pile up.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// A kind of worker. To add one: a variant, its module, and the arms that the compiler asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Takes HTTP in: webhooks of providers, health and metrics.
    Gateway,
    /// Takes jobs of other services from the line `jobs`.
    Intake,
    /// Enqueues the jobs of cron schedules.
    Scheduler,
    /// Turns jobs into messages.
    Planner,
    /// Hands out tickets.
    Dispatcher,
    /// Sends batches.
    Courier,
    /// Applies what providers report.
    Recorder,
    /// Repairs.
    Janitor,
}

impl Worker {
    /// Every worker, in the order of starting.
    pub const ALL: [Self; 8] = [
        Self::Janitor,
        Self::Recorder,
        Self::Courier,
        Self::Dispatcher,
        Self::Planner,
        Self::Scheduler,
        Self::Intake,
        Self::Gateway,
    ];

    /// The name on the command line and in leases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Intake => "intake",
            Self::Scheduler => "scheduler",
            Self::Planner => "planner",
            Self::Dispatcher => "dispatcher",
            Self::Courier => "courier",
            Self::Recorder => "recorder",
            Self::Janitor => "janitor",
        }
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a worker: known are gateway, intake, scheduler, planner, dispatcher, courier, recorder, janitor")]
pub struct UnknownWorker(String);

impl FromStr for Worker {
    type Err = UnknownWorker;

    fn from_str(text: &str) -> Result<Self, UnknownWorker> {
        Self::ALL.into_iter().find(|worker| worker.as_str() == text).ok_or_else(|| UnknownWorker(text.to_owned()))
    }
}

/// The workers of this process, at work.
#[derive(Debug)]
pub struct Fleet {
    context: Shared,
    /// In the order of starting.
    workers: Vec<Running>,
    writer: Option<Writer>,
    /// What takes spans to the collector, where there is one.
    traces: Option<TracesExport>,
    /// The heartbeat and other keepers, which end last.
    keepers: Vec<JoinHandle<()>>,
    stop_keepers: CancellationToken,
    gateway_address: Option<std::net::SocketAddr>,
    lost: CancellationToken,
}

#[derive(Debug)]
struct Running {
    worker: Worker,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Fleet {
    /// Starts `workers` on this ledger. They are at work when it returns.
    ///
    /// # Errors
    /// When the queue, the providers, the gateway's address or the way to the collector of traces cannot be had, or the
    /// ledger cannot be written.
    pub async fn start(
        settings: Settings,
        store: Store,
        workers: &[Worker],
        metrics: Option<MetricsHandle>,
    ) -> anyhow::Result<Self> {
        let names: Vec<&str> = workers.iter().map(|worker| worker.as_str()).collect();
        let queue = open_queue(&settings, &store).await?;
        let providers = open_providers(&settings)?;
        let process = process_name();
        let (traces, export) = traces::open(&settings, &process)?;
        let lease = store.take_lease(&process, &names, settings.fleet.lease).await?;
        let hold = Hold::new(lease.id, lease.expires_at);
        let store = store.with_rules(settings.people.rules.clone());
        let context = Arc::new(Context { settings, store, queue, providers, hold, traces });
        let (stop_keepers, lost) = (CancellationToken::new(), CancellationToken::new());
        let mut fleet = Self {
            workers: Vec::new(),
            writer: None,
            traces: export,
            keepers: start_keepers(&context, &stop_keepers, &lost, metrics.clone()),
            stop_keepers,
            lost,
            gateway_address: None,
            context,
        };
        for worker in Worker::ALL.into_iter().filter(|worker| workers.contains(worker)) {
            if let Err(error) = fleet.start_worker(worker, metrics.clone()).await {
                fleet.shutdown().await;
                return Err(error);
            }
        }
        Ok(fleet)
    }

    async fn start_worker(&mut self, worker: Worker, metrics: Option<MetricsHandle>) -> anyhow::Result<()> {
        let (stop, context) = (CancellationToken::new(), self.context.clone());
        let name = worker.as_str();
        let token = stop.clone();
        let task = match worker {
            Worker::Janitor => on_a_thread(async move {
                // Asking a provider takes seconds, and what dead workers held must not wait for that.
                tokio::join!(
                    repeat(name, context.clone(), token.clone(), janitor::step),
                    repeat(name, context, token, templates::step)
                );
            }),
            Worker::Recorder => on_a_thread(repeat(name, context, token, recorder::step)),
            Worker::Dispatcher => on_a_thread(repeat(name, context, token, dispatcher::step)),
            Worker::Planner => on_a_thread(repeat(name, context, token, planner::step)),
            Worker::Scheduler => on_a_thread(repeat(name, context, token, scheduler::step)),
            Worker::Intake => on_a_thread(repeat(name, context, token, intake::step)),
            Worker::Courier => {
                let policy = context.settle_policy();
                let (writer, handle) =
                    Writer::spawn(context.store.clone(), context.hold.id, policy, |count, length| {
                        metrics::histogram!(names::LEDGER_COMMIT_OPERATIONS).record(count as f64);
                        metrics::histogram!(names::LEDGER_COMMIT_DURATION).record(length);
                    });
                self.writer = Some(writer);
                tokio::spawn(courier::run(context, handle, token))
            }
            Worker::Gateway => {
                let listening = gateway::listen(context, metrics).await?;
                self.gateway_address = Some(listening.address());
                tokio::spawn(listening.serve(token))
            }
        };
        self.workers.push(Running { worker, stop, task });
        Ok(())
    }

    /// Where the gateway listens, if this process runs it.
    #[must_use]
    pub const fn gateway_address(&self) -> Option<std::net::SocketAddr> {
        self.gateway_address
    }

    /// Resolves when this process's lease has ended: it sends nothing more, and must be started again.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// The ledger of this fleet.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// Stops every worker in reverse order and waits until all is written. Whatever waits for longer than the deadline in
    /// the settings is left to the lease's end.
    pub async fn shutdown(mut self) {
        let deadline = self.context.settings.fleet.shutdown_deadline;
        let began = Instant::now();
        let stopping = async {
            while let Some(running) = self.workers.pop() {
                running.stop.cancel();
                tracing::debug!(worker = running.worker.as_str(), "stopping");
                let _ = running.task.await;
            }
            if let Some(writer) = self.writer.take() {
                writer.finished().await;
            }
            if let Err(error) = self.context.store.end_lease(self.context.hold.id).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease could not be ended; it ends by itself"
                );
            }
        };
        if tokio::time::timeout(deadline, stopping).await.is_err() {
            tracing::warn!("not everything ended within the deadline; what is left is taken over when the lease ends");
            // Those whose turn had not come.
            self.workers.iter().for_each(|running| running.stop.cancel());
        }
        if let Some(traces) = self.traces.take() {
            traces.finish(deadline.saturating_sub(began.elapsed()).min(FLUSH_WITHIN)).await;
        }
        self.stop_keepers.cancel();
        for keeper in self.keepers.drain(..) {
            let _ = keeper.await;
        }
        // A ledger that does not answer must not keep the process from ending.
        let closing = async {
            self.context.queue.close().await;
            self.context.store.close().await;
        };
        if tokio::time::timeout(CLOSE_WITHIN, closing).await.is_err() {
            tracing::debug!("connections are left to end with the process");
        }
    }
}

/// Runs a worker on a thread of its own: its work is a row of statements, and among thousands of requests each would wait
/// for its turn, some while the ledger is locked.
fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::task::spawn_blocking(|| Handle::current().block_on(work))
}

/// What keeps a process going: the heartbeat of its lease, the notice of other processes' writes, tidy metrics.
fn start_keepers(
    context: &Shared,
    stop: &CancellationToken,
    lost: &CancellationToken,
    metrics: Option<MetricsHandle>,
) -> Vec<JoinHandle<()>> {
    let heartbeat = {
        let (context, stop, lost) = (context.clone(), stop.clone(), lost.clone());
        tokio::spawn(async move { stop.run_until_cancelled(keep_lease(context, lost)).await.unwrap_or(()) })
    };
    let notice = {
        let (context, stop) = (context.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(notice(context)).await.unwrap_or(()) })
    };
    let checkpoints = {
        let (context, stop) = (context.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(checkpoint(context)).await.unwrap_or(()) })
    };
    let mut keepers = vec![heartbeat, notice, checkpoints];
    if let Some(metrics) = metrics {
        let stop = stop.clone();
        keepers.push(tokio::spawn(async move {
            let tidy = async {
                loop {
                    tokio::time::sleep(TIDY_EVERY).await;
                    metrics.tidy();
                }
            };
            stop.run_until_cancelled(tidy).await.unwrap_or(())
        }));
    }
    keepers
}

async fn notice(context: Shared) {
    loop {
        if let Err(error) = context.store.notice_other_processes(NOTICE_EVERY).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "other processes' writes go unnoticed for a moment"
            );
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

async fn checkpoint(context: Shared) {
    loop {
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        if let Err(error) = context.store.checkpoint().await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the ledger's log grows until the next checkpoint"
            );
        }
    }
}

/// Renews the lease. Where it has ended, because this process or the ledger stood still for too long, nothing more is
/// sent: others have taken over, and a restart takes a new one.
async fn keep_lease(context: Shared, lost: CancellationToken) {
    let settings = &context.settings.fleet;
    let mut pause = settings.renew_every();
    loop {
        tokio::time::sleep(pause).await;
        // A connection that leads nowhere must not hold up the next try, which may find a better one.
        let renewal = context.store.renew_lease(context.hold.id, settings.lease);
        let renewed = tokio::time::timeout(settings.renew_every(), renewal).await;
        pause = if matches!(renewed, Ok(Ok(_))) { settings.renew_every() } else { settings.renew_every() / 10 };
        match renewed {
            Ok(Ok(Some(until))) => context.hold.renewed(until),
            Ok(Ok(None)) => {
                context.hold.renewed(0);
                tracing::error!("this process's lease has ended: it sends nothing more and stops, to be started again");
                lost.cancel();
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the lease could not be renewed; trying again")
            }
            Err(_) => tracing::warn!("the lease could not be renewed in time; trying again"),
        }
    }
}

fn process_name() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned());
    format!("{host}:{}", std::process::id())
}
