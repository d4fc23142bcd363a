//! `kabar run`: the fleet, or some of its workers, until told to stop.

use std::process;

use anyhow::Context as _;
use kabar_settings::{LogFormat, Settings};
use kabar_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Common, ledger};
use crate::{
    context, fault,
    fleet::{Fleet, Worker},
};

/// Run the workers that send what was enqueued
///
/// Runs until it gets SIGTERM or SIGINT (Ctrl-C); then it finishes what it has begun. A second signal ends it at once.
/// Any number of processes may run on one ledger. Logs go to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kabar run
  kabar run --only gateway
  kabar run --only courier,dispatcher,planner

Workers: gateway intake scheduler planner dispatcher courier recorder janitor")]
pub(crate) struct RunArgs {
    /// Run these workers alone, separated by commas
    #[arg(long, value_name = "WORKER,…", value_delimiter = ',')]
    only: Vec<Worker>,
}

pub(crate) async fn run(arguments: RunArgs, common: &Common) -> anyhow::Result<()> {
    let settings = ledger::settings(common)?;
    let format = match settings.log.format {
        LogFormat::Text => kabar_telemetry::LogFormat::Text,
        LogFormat::Json => kabar_telemetry::LogFormat::Json,
    };
    kabar_telemetry::init_logs(&settings.log.filter, format).context("log.filter (KABAR_LOG)")?;
    fault::arm()?;
    let metrics = kabar_telemetry::init_metrics()?;
    // Signals count from here on, so that none is lost while the fleet starts.
    let mut stop = StopSignals::new()?;
    let store = context::open_store(&settings).await?;
    ledger::ensure_default_sender(&settings, &store).await?;
    warn_of_gaps(&settings, &store).await?;
    let workers = if arguments.only.is_empty() { Worker::ALL.to_vec() } else { arguments.only };
    let fleet = Fleet::start(settings, store, &workers, Some(metrics)).await?;
    let names = workers.iter().map(|worker| worker.as_str()).collect::<Vec<_>>().join(",");
    match fleet.gateway_address() {
        Some(address) => tracing::info!(workers = names, %address, "at work"),
        None => tracing::info!(workers = names, "at work"),
    }
    let lost = tokio::select! {
        () = stop.recv() => false,
        () = fleet.lost() => true,
    };
    tracing::info!("stopping; a second signal stops at once");
    tokio::spawn(async move {
        stop.recv().await;
        tracing::warn!("stopped at once; what was in hand is taken over when this process's lease ends");
        process::exit(1);
    });
    fleet.shutdown().await;
    tracing::info!("stopped");
    // Whoever watches over the process starts it again.
    anyhow::ensure!(!lost, "this process's lease had ended: it or the ledger stood still for too long; start it again");
    Ok(())
}

/// The signals that ask a process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says what keeps this installation from being safe or complete, and what to do about it.
async fn warn_of_gaps(settings: &Settings, store: &Store) -> anyhow::Result<()> {
    if settings.ledger.master_key.is_none() {
        tracing::warn!(
            "no master key is set: credentials and message contents are stored as they are. Set KABAR_MASTER_KEY \
             (`openssl rand -base64 32` makes one)"
        );
    }
    let senders = store.all_senders().await?;
    if senders.is_empty() {
        tracing::info!("there is no sender yet: `kabar sender add` adds one");
    }
    for sender in senders {
        let no_secret = settings.whatsapp.app_secrets.is_empty() && sender.app_secret().is_none();
        if no_secret || sender.last_receipt_at.is_none() {
            let todo = if no_secret {
                "set WHATSAPP_APP_SECRET, so that webhooks can be trusted"
            } else {
                "point the app's webhook to /webhooks/whatsapp of the gateway"
            };
            tracing::warn!(
                sender = sender.name,
                "no receipt has come for this sender: doubt about a message cannot be settled by evidence; {todo}"
            );
        }
    }
    Ok(())
}
