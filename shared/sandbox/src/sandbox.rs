//! The handle of a running sandbox.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::arrival::Arrival;
use crate::config::{SandboxConfig, WebhookTarget};
use crate::counters::Counters;
use crate::error::SandboxError;
use crate::faults::Faults;
use crate::server::listen;
use crate::shared::Shared;
use crate::webhooks::poster::Poster;

/// A running Cloud API simulator. It stops when it is dropped, or in good order with [`Sandbox::shutdown`].
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Starts a sandbox; it is listening when this returns.
    ///
    /// # Errors
    /// When a setting could never work, the address cannot be listened on, or the webhook client cannot be built.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        config.validate()?;
        let listen_error = |source| SandboxError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let shared = Arc::new(Shared::new(&config));
        let stop = CancellationToken::new();
        let poster = Poster::new(Arc::clone(&shared.outbox), config.waba_id, stop.clone())?;
        let tasks = TaskTracker::new();
        tasks.spawn(poster.run());
        tasks.spawn(listen::run(listener, Arc::clone(&shared), tasks.clone(), stop.clone()));
        tracing::info!(%address, "the sandbox listens");
        Ok(Self { address, shared, tasks, stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to use in place of `https://graph.facebook.com`: no version, no slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces all faults and starts their counts anew. Statuses that are planned already stay as planned.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.set_faults(faults);
    }

    /// The faults as they are now.
    pub fn faults(&self) -> Faults {
        self.shared.register().faults().clone()
    }

    /// Changes where webhooks are posted. What waits goes to the new target, or is given up if there is none.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.shared.outbox.set_target(target);
    }

    /// The newest arrivals, oldest first, at most [`ARRIVALS_KEPT_MAX`](crate::ARRIVALS_KEPT_MAX).
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.register().log.newest(usize::MAX)
    }

    /// The most arrivals in any one-second window `[t, t + 1 s)` since the start, the largest of all phone number ids.
    /// It is counted as sends arrive, so it also covers arrivals that are no longer kept.
    pub fn worst_window(&self) -> usize {
        self.shared.register().worst_window()
    }

    /// Ids of the messages of which the receiver answered at least one status with 200. Empty unless arrivals are
    /// recorded with their bodies.
    pub fn reported(&self) -> HashSet<String> {
        self.shared.outbox.reported()
    }

    /// The totals since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Resolves when every webhook has been posted or given up, including those that are due later.
    pub async fn webhooks_idle(&self) {
        self.shared.outbox.idle().await;
    }

    /// Posts a signed webhook with a text from a user (`from`: a phone number) and waits until it was answered with
    /// 200 or given up. It is for the first configured number, else for the one that sent last. Answers its id.
    pub async fn send_inbound(&self, from: &str, text: &str) -> String {
        self.shared.send_inbound(None, from, text).await
    }

    /// The same, for a certain phone number id.
    pub async fn send_inbound_to(&self, phone_number_id: &str, from: &str, text: &str) -> String {
        self.shared.send_inbound(Some(phone_number_id), from, text).await
    }

    /// Stops: no more connections, calls that are being answered have a second to end, and webhooks that still wait
    /// are forgotten (see [`Sandbox::webhooks_idle`]).
    pub async fn shutdown(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}
