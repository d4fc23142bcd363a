//! What a process knows of each sender while it sends: its pace, its access, and whether to stop at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
};

use kabar_domain::{
    outcome::{Decision, Outcome, Scope},
    pace::MAX_BATCH_MESSAGES,
};
use kabar_store::Claimed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MOST_IN_FLIGHT_UNPACED, access::KeptAccess, pacer::Pacer};
use crate::context::Shared;

/// Every sender that this process has sent for. Senders are few, and what is kept of each is small.
#[derive(Debug)]
pub(super) struct Senders {
    context: Shared,
    known: Mutex<HashMap<i64, Arc<KnownSender>>>,
}

/// One sender, as this process knows it.
#[derive(Debug)]
pub(super) struct KnownSender {
    pub(super) id: i64,
    pub(super) pacer: Pacer,
    pub(super) access: KeptAccess,
    /// Nothing more leaves before this time (Unix milliseconds): the provider has just said no to the whole sender. The
    /// ledger says for how long; this only stops what is already on its way to a slot.
    closed_until: AtomicI64,
    /// Whether the latest claim left it to the pacer when messages leave.
    paced: AtomicBool,
    unpaced_room: Arc<Semaphore>,
    /// Requests in a row that no answer came to, or only a passing refusal.
    outage_run: AtomicU32,
}

/// How long a refusal of the whole sender stops this process by itself; long enough for the ledger to be asked again.
const CLOSED_MS: i64 = 500;

impl Senders {
    pub(super) fn new(context: Shared) -> Self {
        Self { context, known: Mutex::default() }
    }

    pub(super) fn get(&self, id: i64) -> Arc<KnownSender> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .entry(id)
            .or_insert_with(|| {
                Arc::new(KnownSender {
                    id,
                    pacer: Pacer::new(id, self.context.clone()),
                    access: KeptAccess::default(),
                    closed_until: AtomicI64::new(0),
                    paced: AtomicBool::new(true),
                    unpaced_room: Arc::new(Semaphore::new(MOST_IN_FLIGHT_UNPACED)),
                    outage_run: AtomicU32::new(0),
                })
            })
            .clone()
    }
}

impl KnownSender {
    /// Waits for room for a batch where the sender has no pace.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if self.paced.load(Ordering::Acquire) {
            return None;
        }
        self.unpaced_room.clone().acquire_many_owned(MAX_BATCH_MESSAGES).await.ok()
    }

    /// Notes whether a claim started messages at once, as it does where there is no pace.
    pub(super) fn note_claim(&self, claimed: &[Claimed]) {
        self.paced.store(claimed.iter().all(|message| message.started.is_none()), Ordering::Release);
    }

    /// Whether requests may leave at `now_ms` as far as this process knows.
    pub(super) fn is_open(&self, now_ms: i64) -> bool {
        now_ms >= self.closed_until.load(Ordering::Acquire)
    }

    /// Notes that a limit on calls is nearly used up: nothing more leaves until the ledger has been asked again. Whether this
    /// answer is the first to say so.
    pub(super) fn note_near_limit(&self, now_ms: i64) -> bool {
        self.closed_until.fetch_max(now_ms + CLOSED_MS, Ordering::AcqRel) <= now_ms
    }

    /// Notes what an answer says of the whole sender. Gives true when the provider seems to be out: `run` requests in a
    /// row came to nothing.
    pub(super) fn note(&self, outcome: &Outcome, now_ms: i64, run: u32) -> bool {
        if outcome.decision == Decision::Halt {
            self.access.forget();
        }
        match (outcome.decision, outcome.scope) {
            (Decision::Halt, _) | (Decision::Throttled, Scope::Sender | Scope::Account | Scope::App) => {
                self.closed_until.store(now_ms + CLOSED_MS, Ordering::Release);
                false
            }
            (Decision::NotSent | Decision::Retry | Decision::InDoubt, _) => {
                let now_in_a_row = self.outage_run.fetch_add(1, Ordering::AcqRel) + 1;
                let out = now_in_a_row >= run;
                if out {
                    self.outage_run.store(0, Ordering::Release);
                    self.closed_until.store(now_ms + CLOSED_MS, Ordering::Release);
                }
                out
            }
            _ => {
                self.outage_run.store(0, Ordering::Release);
                false
            }
        }
    }
}
