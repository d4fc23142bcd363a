//! What the demo plays on: a directory that goes away, the sandbox, a ledger with a sender and a group, and the fleet.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use kabar_domain::sender::{Channel, ProviderKind};
use kabar_sandbox::{Faults, Sandbox, SandboxConfig, WebhookTarget};
use kabar_settings::{Settings, Sources};
use kabar_store::{DEFAULT_TENANT, NewSender, Store};
use tempfile::TempDir;

use super::{jobs, journal::Journal, people, plan::Plan};
use crate::{
    context::open_store,
    fleet::{Fleet, Worker},
};

/// The sandbox's only phone-number id.
const PHONE_NUMBER_ID: &str = "100000000000100";

/// As slow as the Cloud API on a good day.
const LATENCY: Duration = Duration::from_millis(120);
const LATENCY_JITTER: Duration = Duration::from_millis(40);

/// The share of requests that the sandbox accepts and then hangs up on: nobody knows what became of them, until a
/// receipt tells.
const HANG_UPS: f64 = 0.01;

/// The time between one receipt of a message and the next.
const RECEIPTS_EVERY: Duration = Duration::from_millis(500);

/// The share of messages that are read.
const READ_SHARE: f64 = 0.6;

/// The share of receipts that are posted twice; they are also out of order.
const RECEIPTS_TWICE: f64 = 0.05;

/// What is left to chance in the sandbox is drawn from this, so that a run is much like the next.
const SEED: u64 = 1;

/// How many people are imported in one transaction.
const CHUNK: u32 = 1_000;

/// What the demo plays on.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) fleet: Fleet,
    directory: TempDir,
}

impl Stage {
    /// Sets everything up; the fleet is at work when it returns, with nothing to do.
    ///
    /// # Errors
    /// When the directory, the addresses or the ledger cannot be had.
    pub(super) async fn set(plan: &Plan) -> anyhow::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("kabar-demo-").tempdir().context("no directory for the demo")?;
        let (token, app_secret) = (secret(), secret());
        let sandbox = start_sandbox(plan, token.clone()).await?;
        let settings = settings(directory.path(), &sandbox.base_url(), &app_secret)?;
        let store = open_store(&settings).await.context("the demo's ledger")?;
        fill(&store, plan, &settings, token).await?;
        let metrics = kabar_telemetry::init_metrics().ok();
        let fleet = Fleet::start(settings, store, &Worker::ALL, metrics).await?;
        let gateway = fleet.gateway_address().context("the gateway has no address")?;
        sandbox.set_webhook(Some(WebhookTarget {
            url: format!("http://{gateway}/webhooks/whatsapp"),
            app_secret,
            delay: RECEIPTS_EVERY,
            read_share: READ_SHARE,
        }));
        Ok(Self { sandbox, fleet, directory })
    }

    /// The ledger.
    pub(super) fn store(&self) -> &Store {
        self.fleet.store()
    }

    /// Ends the fleet, then the sandbox, and removes the directory, unless it is to be kept: then where it is.
    ///
    /// # Errors
    /// When the directory cannot be removed, or the log cannot be written into it.
    pub(super) async fn strike(self, keep: bool, journal: &Journal) -> anyhow::Result<Option<PathBuf>> {
        // The gateway goes first, so webhooks have nowhere to go any more.
        self.sandbox.set_webhook(None);
        self.fleet.shutdown().await;
        self.sandbox.shutdown().await;
        if keep {
            let directory = self.directory.keep();
            journal.write(&directory.join("kabar.log")).context("the demo's log cannot be written")?;
            return Ok(Some(directory));
        }
        let path = self.directory.path().display().to_string();
        self.directory.close().with_context(|| format!("{path} cannot be removed; remove it by hand"))?;
        Ok(None)
    }
}

async fn start_sandbox(plan: &Plan, token: String) -> anyhow::Result<Sandbox> {
    let faults = Faults {
        latency: LATENCY,
        latency_jitter: LATENCY_JITTER,
        throttle_every: plan.throttle_every(),
        throttle_burst: plan.throttle_burst(),
        drop_after_accept_share: HANG_UPS,
        webhook_duplicate_share: RECEIPTS_TWICE,
        webhook_shuffle: true,
        ..Faults::default()
    };
    let config = SandboxConfig {
        access_tokens: vec![token],
        phone_number_ids: vec![PHONE_NUMBER_ID.to_owned()],
        rate_per_second: plan.rate.limit(),
        pair_limit: true,
        faults,
        seed: SEED,
        ..SandboxConfig::default()
    };
    Sandbox::start(config).await.context("the sandbox cannot start")
}

/// The settings of the demo: the defaults and what it sets itself. Neither the environment nor a configuration file of
/// the user is read, so it cannot reach a real account.
fn settings(directory: &Path, api_base: &str, app_secret: &str) -> anyhow::Result<Settings> {
    // Naming a file, and be it empty, keeps `kabar.toml` in the working directory from being read.
    let config_file = directory.join("kabar.toml");
    std::fs::write(&config_file, "# The demo takes the defaults.\n")
        .context("the demo's directory cannot be written")?;
    let ledger = format!("sqlite://{}", directory.join("kabar.db").display());
    let overrides = [
        ("ledger.url", ledger.as_str()),
        ("queue.url", "database:"),
        ("gateway.listen", "127.0.0.1:0"),
        ("whatsapp.api_base", api_base),
        ("whatsapp.app_secrets", app_secret),
        ("people.default_timezone", "Asia/Jakarta"),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let sources = Sources { config_file: Some(config_file), overrides, ..Sources::default() };
    Settings::load(&sources).context("the demo's settings")
}

/// Adds the sender, the templates, the group, and the one who is blocked from before.
async fn fill(store: &Store, plan: &Plan, settings: &Settings, access_token: String) -> anyhow::Result<()> {
    let sender = NewSender {
        name: jobs::SENDER.to_owned(),
        provider: ProviderKind::WhatsappCloud,
        address: PHONE_NUMBER_ID.to_owned(),
        account: None,
        app: None,
        access_token,
        api_base: settings.whatsapp.api_base.as_str().to_owned(),
        api_version: settings.whatsapp.api_version.as_str().to_owned(),
        app_secret: None,
        rate: plan.rate,
    };
    store.add_sender(DEFAULT_TENANT, &sender).await?;
    for template in jobs::templates()? {
        store.put_template(DEFAULT_TENANT, &template).await?;
    }
    for first in (0..plan.recipients).step_by(CHUNK as usize) {
        let members: Result<Vec<_>, _> = (first..plan.recipients.min(first + CHUNK)).map(people::member).collect();
        store.import_recipients(DEFAULT_TENANT, &members?, Some(jobs::GROUP)).await?;
    }
    if let Some(phone) = people::blocked_before(plan.recipients)? {
        store.block(DEFAULT_TENANT, &phone, Channel::Whatsapp, "asked our office for no more messages").await?;
    }
    Ok(())
}

/// A text that nobody can guess, for a connection that never leaves this machine.
fn secret() -> String {
    format!("{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_reach_this_machine_alone() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path(), "http://127.0.0.1:9", "secret").unwrap();
        assert!(settings.whatsapp.default_sender.is_none());
        assert_eq!(settings.whatsapp.api_base.as_str(), "http://127.0.0.1:9");
        assert!(settings.gateway.listen.ip().is_loopback());
        let allowed = ["default", "command line"];
        assert!(settings.explain().iter().all(|one| allowed.contains(&one.source.as_str())));
    }
}
