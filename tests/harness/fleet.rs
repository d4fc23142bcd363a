//! A whole fleet in the test's own process, on a ledger of its own and against a sandbox.

use std::time::Duration;

use kabar::fleet::{Fleet, Worker};
use kabar_domain::{
    job::{Door, Job},
    message::StateCounts,
    pace::Rate,
    sender::ProviderKind,
};
use kabar_sandbox::{Sandbox, SandboxConfig};
use kabar_settings::{Settings, Sources};
use kabar_store::{DEFAULT_TENANT, NewSender, Store};
use serde_json::Value;

use crate::{LedgerKind, TestLedger, Time, eventually, sandbox};

/// The name of the sender that tests send through.
pub const SENDER: &str = "default";

/// A fleet at work.
pub struct TestFleet {
    /// The simulated provider.
    pub sandbox: Sandbox,
    fleet: Fleet,
    ledger: TestLedger,
}

/// What a test asks of its fleet.
#[derive(Debug)]
pub struct FleetOptions {
    /// Where the ledger lives.
    pub ledger: LedgerKind,
    /// The sender's rate.
    pub rate: Rate,
    /// Settings by their keys, such as `("doubt.grace", "1s")`.
    pub settings: Vec<(&'static str, String)>,
    /// Whether the sandbox posts receipts.
    pub receipts: bool,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self { ledger: LedgerKind::Sqlite, rate: Rate::Unlimited, settings: Vec::new(), receipts: true }
    }
}

impl TestFleet {
    /// Starts every worker.
    ///
    /// # Panics
    /// When anything of it does not start.
    pub async fn start(options: FleetOptions, change: impl FnOnce(&mut SandboxConfig)) -> Self {
        // `KABAR_TEST_LOG=debug` shows what the workers log; the second fleet of a process finds logging started.
        if let Ok(filter) = std::env::var("KABAR_TEST_LOG") {
            let _ = kabar_telemetry::init_logs(&filter, kabar_telemetry::LogFormat::Text);
        }
        let sandbox = sandbox::start(change).await;
        let ledger = TestLedger::open(options.ledger, Time::System).await;
        let store = ledger.reopen().await;
        store.add_sender(DEFAULT_TENANT, &sender(&sandbox, options.rate)).await.expect("the sender can be added");
        let settings = settings(&options.settings);
        let store = store.with_pair_limit(settings.pace.pair_limit);
        let fleet = Fleet::start(settings, store, &Worker::ALL, None).await.expect("the fleet starts");
        let fleet = Self { sandbox, fleet, ledger };
        if options.receipts {
            sandbox::report_to(&fleet.sandbox, &fleet.gateway());
        }
        fleet
    }

    /// The fleet's own store: what is enqueued through it wakes the workers at once.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.fleet.store()
    }

    /// The gateway's address, `host:port`.
    ///
    /// # Panics
    /// Never: every worker runs.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.fleet.gateway_address().expect("the gateway runs").to_string()
    }

    /// The ledger, as another process would reach it.
    #[must_use]
    pub const fn ledger(&self) -> &TestLedger {
        &self.ledger
    }

    /// Enqueues a job given as JSON; the ledger's id of it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn enqueue(&self, job: Value) -> i64 {
        let job = Job::from_value(job, Door::default(), None).expect("the job is valid");
        self.store().enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued").job_id()
    }

    /// Waits until every message of a job is done, and its planning finished; its counts.
    pub async fn finished(&self, job_id: i64, within: Duration) -> StateCounts {
        self.counts_where(job_id, within, StateCounts::all_done).await
    }

    /// Waits until a job's counts are as wished.
    ///
    /// # Panics
    /// When they do not come to be so.
    pub async fn counts_where(
        &self,
        job_id: i64,
        within: Duration,
        wish: impl Fn(&StateCounts) -> bool,
    ) -> StateCounts {
        eventually(within, async || {
            let counts = self.store().job_counts(job_id).await.expect("the counts can be read");
            let planned = self.store().job_is_planned(job_id).await.expect("the job can be read");
            if planned && wish(&counts) { Ok(counts) } else { Err(serde_json::to_string(&counts).unwrap_or_default()) }
        })
        .await
    }

    /// Stops the fleet and the sandbox.
    pub async fn shutdown(self) {
        self.fleet.shutdown().await;
        self.sandbox.shutdown().await;
    }
}

/// A sender on this sandbox.
#[must_use]
pub fn sender(sandbox: &Sandbox, rate: Rate) -> NewSender {
    NewSender {
        name: SENDER.to_owned(),
        provider: ProviderKind::WhatsappCloud,
        address: sandbox::PHONE_NUMBER_ID.to_owned(),
        account: None,
        app: None,
        access_token: sandbox::ACCESS_TOKEN.to_owned(),
        api_base: sandbox.base_url(),
        api_version: "v26.0".to_owned(),
        app_secret: None,
        rate,
    }
}

/// Settings for a fleet in a test: a free port, the test's secrets, and `changes`.
///
/// # Panics
/// When a change is not allowed.
#[must_use]
pub fn settings(changes: &[(&'static str, String)]) -> Settings {
    let mut overrides: Vec<(String, String)> = [
        ("gateway.listen", "127.0.0.1:0"),
        ("whatsapp.app_secrets", sandbox::APP_SECRET),
        ("whatsapp.verify_token", sandbox::VERIFY_TOKEN),
        ("fleet.lease", "5s"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    overrides.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let sources = Sources { overrides, ..Sources::default() };
    Settings::load(&sources).expect("the settings are valid")
}
