//! What every worker of a process shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use kabar_domain::job::Door;
use kabar_providers::{Access, Options, Providers, Token};
use kabar_queue::{DatabaseQueue, Queue, RabbitQueue, SqsOptions, SqsQueue};
use kabar_settings::{DatabaseUrl, QueueUrl, Settings};
use kabar_store::{LeaseId, Place, Sender, SettlePolicy, Shares, Store, StoreOptions};
use kabar_telemetry::Traces;

/// What every worker of a process shares.
#[derive(Debug)]
pub struct Context {
    /// The settings in force.
    pub settings: Settings,
    /// The ledger.
    pub store: Store,
    /// The queue.
    pub queue: Queue,
    /// The providers, with one pooled HTTP client.
    pub providers: Providers,
    /// This process's hold on what its couriers claim.
    pub hold: Hold,
    /// Takes spans, where there is a collector for them.
    pub traces: Traces,
}

/// A process's lease: its id, and until when it is known to hold.
#[derive(Debug)]
pub struct Hold {
    /// The lease.
    pub id: LeaseId,
    /// Unix milliseconds; moved on by every renewal.
    until_ms: AtomicI64,
}

/// A process stops sending this long before its lease ends, so that clocks may differ a little.
const HOLD_RESERVE_MS: i64 = 1_000;

impl Hold {
    /// A lease that holds until `until_ms`.
    #[must_use]
    pub const fn new(id: LeaseId, until_ms: i64) -> Self {
        Self { id, until_ms: AtomicI64::new(until_ms) }
    }

    /// Notes a renewal.
    pub fn renewed(&self, until_ms: i64) {
        self.until_ms.store(until_ms, Ordering::Release);
    }

    /// Whether requests may still be started at `now_ms`.
    #[must_use]
    pub fn is_safe(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms.load(Ordering::Acquire) - HOLD_RESERVE_MS
    }
}

impl Context {
    /// Bounds on retries, parking and doubt, from the settings.
    #[must_use]
    pub fn settle_policy(&self) -> SettlePolicy {
        settle_policy(&self.settings)
    }
}

/// Bounds on retries, parking and doubt, from the settings.
#[must_use]
pub fn settle_policy(settings: &Settings) -> SettlePolicy {
    SettlePolicy {
        max_tries: settings.courier.max_tries,
        retry_first: settings.courier.retry_first,
        retry_most: settings.courier.retry_most,
        park_first: settings.courier.park_first,
        park_most: settings.courier.park_most,
        doubt_grace: settings.doubt.grace,
    }
}

/// How this installation reads what producers leave open.
#[must_use]
pub fn door(settings: &Settings) -> Door {
    Door {
        default_region: settings.people.default_region.as_ref().and_then(|region| region.as_str().parse().ok()),
        default_timezone: settings.people.default_timezone,
        loads_files: false,
    }
}

/// Opens the ledger as the settings say; on SQLite its tables are brought up to date, on Postgres they must be.
///
/// # Errors
/// When it cannot be opened, or its tables are not up to date.
pub async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let store = connect_store(settings).await?;
    match &settings.ledger.url {
        DatabaseUrl::Sqlite { .. } => store.migrate().await?,
        DatabaseUrl::Postgres { .. } => store.check_migrated().await?,
    }
    Ok(store)
}

/// Opens the ledger as the settings say, whatever its tables are.
///
/// # Errors
/// When it cannot be opened.
pub async fn connect_store(settings: &Settings) -> anyhow::Result<Store> {
    let place = match &settings.ledger.url {
        DatabaseUrl::Sqlite { path } => Place::File(path.clone()),
        DatabaseUrl::Postgres { url } => Place::Postgres(url.expose().to_owned()),
    };
    let store = Store::open(&StoreOptions {
        master_key: settings.ledger.master_key.as_ref().map(|key| *key.expose()),
        max_connections: settings.ledger.max_connections,
        pooler: settings.ledger.pooler,
        statement_timeout: settings.ledger.statement_timeout,
        connect_timeout: settings.ledger.connect_timeout,
        shares: Shares {
            normal_floor: settings.pace.normal_floor_percent,
            bulk_floor: settings.pace.bulk_floor_percent,
            urgent_budget: settings.pace.urgent_budget_percent,
        },
        clock: crate::fault::clock()?,
        ..StoreOptions::at(place)
    })
    .await?;
    Ok(store.with_rules(settings.people.rules.clone()))
}

/// Opens the queue as the settings say. With a ledger on SQLite its lines are made where they are missing, as the
/// ledger's tables are; otherwise they must be there.
///
/// # Errors
/// When it cannot be reached, or its lines are missing.
pub async fn open_queue(settings: &Settings, store: &Store) -> anyhow::Result<Queue> {
    let queue = connect_queue(settings, store).await?;
    match &settings.ledger.url {
        DatabaseUrl::Sqlite { .. } => queue.prepare().await?,
        DatabaseUrl::Postgres { .. } => queue.check().await?,
    }
    Ok(queue)
}

/// Opens the queue as the settings say, whether its lines are there or not.
///
/// # Errors
/// When the settings name none that can be used.
pub async fn connect_queue(settings: &Settings, store: &Store) -> anyhow::Result<Queue> {
    Ok(match &settings.queue.url {
        QueueUrl::Database => Queue::Database(DatabaseQueue::new(store.clone())),
        QueueUrl::RabbitMq { url } => Queue::RabbitMq(RabbitQueue::new(url.expose(), RabbitQueue::EXCHANGE)?),
        QueueUrl::Sqs { prefix } => {
            let body_limit_bytes = settings.queue.sqs_body_limit_bytes;
            Queue::Sqs(SqsQueue::open(SqsOptions { body_limit_bytes, ..SqsOptions::new(prefix) }).await?)
        }
    })
}

/// The providers as the settings say.
///
/// # Errors
/// When the error policy or the HTTP client cannot be made.
pub fn open_providers(settings: &Settings) -> anyhow::Result<Providers> {
    let errors = settings.errors.get(kabar_domain::sender::ProviderKind::WhatsappCloud.as_str()).cloned();
    Ok(Providers::new(Options {
        connect_timeout: settings.courier.connect_timeout,
        request_timeout: settings.courier.request_timeout,
        allow_plain_http: settings.whatsapp.allow_plain_http,
        errors: errors.unwrap_or_default(),
        ..Options::default()
    })?)
}

/// The way to a sender's provider, as the ledger has it.
pub(crate) fn access_of(sender: &Sender) -> Access {
    Access {
        provider: sender.provider,
        address: sender.address.clone(),
        token: Token::new(sender.token()),
        api_base: sender.api_base.clone(),
        api_version: sender.api_version.clone(),
    }
}

/// How long workers wait after an error before they try again.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// A context that workers share.
pub type Shared = Arc<Context>;
