//! How to reach a sender's provider, read from the ledger and kept for a moment: credentials may change at any time.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use kabar_providers::Access;
use kabar_store::{Store, StoreResult};
use kabar_telemetry::names::{self, field};
use metrics::Counter;

use crate::context::access_of;

/// How long what was read holds.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// The access of one sender.
#[derive(Debug, Default)]
pub(super) struct KeptAccess {
    kept: Mutex<Option<(Instant, Arc<Access>)>>,
    /// Counts requests by the sender's name, which comes with its access.
    requests: OnceLock<Counter>,
}

impl KeptAccess {
    /// The sender's access, as it is in the ledger now or was a moment ago.
    pub(super) async fn get(&self, store: &Store, sender_id: i64) -> StoreResult<Arc<Access>> {
        if let Some((read_at, access)) = &*self.kept.lock().unwrap_or_else(PoisonError::into_inner)
            && read_at.elapsed() < FRESH_FOR
        {
            return Ok(access.clone());
        }
        let sender = store.sender_by_id(sender_id).await?;
        let access = Arc::new(access_of(&sender));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), access.clone()));
        self.requests.get_or_init(|| {
            let tenant = sender.tenant.0.to_string();
            let labels = [(field::TENANT, tenant), (field::SENDER, sender.name)];
            metrics::counter!(names::SENDER_REQUESTS, &labels)
        });
        Ok(access)
    }

    /// Counts a request that leaves.
    pub(super) fn count_request(&self) {
        if let Some(counter) = self.requests.get() {
            counter.increment(1);
        }
    }

    /// Forgets what was read: the provider refused it, and what a person puts in its place must hold from the first
    /// message on.
    pub(super) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
