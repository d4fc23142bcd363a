//! What the handlers, the poster and the owner of a sandbox share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::api::access::Access;
use crate::config::SandboxConfig;
use crate::counters::Counters;
use crate::faults::Faults;
use crate::sends::register::Register;
use crate::sends::wamid::Wamids;
use crate::templates::Templates;
use crate::webhooks::outbox::{Outbox, unix_now};
use crate::webhooks::plan::WebhookFaults;
use crate::webhooks::update::InboundText;

/// The number that inbound messages are for when none has sent anything and none is configured.
const FALLBACK_NUMBER: &str = "100000000000000";

/// The state of one sandbox.
pub(crate) struct Shared {
    pub(crate) access: Access,
    pub(crate) templates: Templates,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) started: Instant,
    register: Mutex<Register>,
    inbound_ids: Mutex<Wamids>,
}

impl Shared {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self {
            access: Access::new(config),
            templates: Templates::default(),
            outbox: Arc::new(Outbox::new(config)),
            started: Instant::now(),
            register: Mutex::new(Register::new(config)),
            inbound_ids: Mutex::new(Wamids::new()),
        }
    }

    /// The register of sends, for a few statements at a time.
    pub(crate) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.outbox.set_faults(WebhookFaults::from(&faults));
        self.register().set_faults(faults);
    }

    pub(crate) fn counters(&self) -> Counters {
        let sends = self.register().counters();
        let webhooks = self.outbox.counters();
        Counters {
            received: sends.received,
            accepted: sends.accepted,
            throttled: sends.throttled,
            failed: sends.failed,
            dropped: sends.dropped,
            dropped_after_accept: sends.dropped_after_accept,
            ..webhooks
        }
    }

    /// Posts a text from a user and waits until it has been answered or given up. Answers the message's id.
    pub(crate) async fn send_inbound(&self, phone_number_id: Option<&str>, from: &str, text: &str) -> String {
        let phone_number_id = phone_number_id.map_or_else(|| self.default_number(), str::to_owned);
        let wamid = self.inbound_ids.lock().unwrap_or_else(PoisonError::into_inner).next();
        let inbound = InboundText {
            phone_number_id,
            wamid: wamid.clone(),
            from: from.chars().filter(char::is_ascii_digit).collect(),
            text: text.to_owned(),
            timestamp: unix_now().as_secs(),
        };
        if let Some(settled) = self.outbox.inbound(inbound) {
            // An error means that it was given up, which the counters tell.
            let _ = settled.await;
        }
        wamid
    }

    fn default_number(&self) -> String {
        if let Some(first) = self.access.first_number() {
            return first.to_owned();
        }
        self.register().last_number().unwrap_or(FALLBACK_NUMBER).to_owned()
    }
}
