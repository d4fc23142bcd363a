//! The updates that are still to be posted, in the order in which they are due.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use tokio::sync::{Notify, oneshot};

use crate::config::{SandboxConfig, WebhookTarget};
use crate::counters::Counters;
use crate::webhooks::plan::{self, WebhookFaults};
use crate::webhooks::update::{AcceptedMessage, InboundText, Update};

/// The most updates that wait at once, about 100 MB; further ones are given up and counted.
const OUTSTANDING_MAX: usize = 1_000_000;

/// The most updates in one webhook, as on the platform.
pub(crate) const BATCH_UPDATES_MAX: usize = 1_000;

/// Sets the outbox's choices apart from those of sends under the same seed.
const SEED_OFFSET: u64 = 0x5EED;

/// Where accepted messages leave their statuses for the poster.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Something is due sooner than the poster thinks.
    pub(crate) wake: Notify,
    /// The target changed, so that a failed post may be tried again at once.
    pub(crate) target_changed: Notify,
    idle: Notify,
}

struct State {
    target: Option<Arc<WebhookTarget>>,
    faults: WebhookFaults,
    rng: Rng,
    waiting: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    /// Waiting or being posted.
    outstanding: usize,
    counters: Counters,
    /// Messages of which a status was answered with 200, where arrivals are recorded.
    reported: Option<HashSet<String>>,
}

/// An update that waits.
struct Entry {
    due: Instant,
    /// Keeps the order of updates that are due at the same time.
    sequence: u64,
    update: Update,
    settled: Option<oneshot::Sender<()>>,
}

/// What the poster does next.
pub(crate) enum Next {
    Post(Batch),
    WaitUntil(Instant),
    Wait,
}

/// Updates that go into one webhook.
pub(crate) struct Batch {
    pub(crate) updates: Vec<Update>,
    settled: Vec<oneshot::Sender<()>>,
}

impl Outbox {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        let state = State {
            target: config.webhook.clone().map(Arc::new),
            faults: WebhookFaults::from(&config.faults),
            rng: Rng::with_seed(config.seed.wrapping_add(SEED_OFFSET)),
            waiting: BinaryHeap::new(),
            sequence: 0,
            outstanding: 0,
            counters: Counters::default(),
            reported: config.record_arrivals.then(HashSet::new),
        };
        Self { state: Mutex::new(state), wake: Notify::new(), target_changed: Notify::new(), idle: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where webhooks go now.
    pub(crate) fn target(&self) -> Option<Arc<WebhookTarget>> {
        self.lock().target.clone()
    }

    /// Changes where webhooks go. Without a target what waits is given up.
    pub(crate) fn set_target(&self, target: Option<WebhookTarget>) {
        let mut state = self.lock();
        state.target = target.map(Arc::new);
        if state.target.is_none() {
            let given_up = state.waiting.len();
            state.waiting.clear();
            state.counters.webhook_updates_abandoned += given_up as u64;
            self.settle(&mut state, given_up);
        }
        drop(state);
        self.target_changed.notify_one();
    }

    pub(crate) fn set_faults(&self, faults: WebhookFaults) {
        self.lock().faults = faults;
    }

    /// Ids of the messages of which at least one status was answered with 200; none where arrivals are not recorded.
    pub(crate) fn reported(&self) -> HashSet<String> {
        self.lock().reported.clone().unwrap_or_default()
    }

    /// Counts of webhooks; those of sends are kept elsewhere.
    pub(crate) fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// Plans the statuses of a message that has just been accepted.
    pub(crate) fn accepted(&self, message: AcceptedMessage) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(target) = &state.target else { return };
        let (planned, lost) = plan::plan(message.fails_with.is_some(), target, state.faults, &mut state.rng);
        state.counters.webhook_updates_lost += lost;
        let (now, unix_now) = (Instant::now(), unix_now());
        let message = Arc::new(message);
        for planned in planned {
            let timestamp = (unix_now + planned.happened_after).as_secs();
            let update = Update::Status { message: Arc::clone(&message), status: planned.status, timestamp };
            self.push(state, now + planned.after, update, None);
        }
    }

    /// Leaves an inbound message. The receiver resolves when it has been posted or given up; `None` without a target.
    pub(crate) fn inbound(&self, inbound: InboundText) -> Option<oneshot::Receiver<()>> {
        let mut state = self.lock();
        state.target.as_ref()?;
        let (settled, receiver) = oneshot::channel();
        self.push(&mut state, Instant::now(), Update::Inbound(Arc::new(inbound)), Some(settled));
        Some(receiver)
    }

    fn push(&self, state: &mut State, due: Instant, update: Update, settled: Option<oneshot::Sender<()>>) {
        if state.outstanding >= OUTSTANDING_MAX {
            state.counters.webhook_updates_abandoned += 1;
            return;
        }
        let sequence = state.sequence;
        state.sequence += 1;
        state.outstanding += 1;
        state.waiting.push(Reverse(Entry { due, sequence, update, settled }));
        if state.waiting.peek().is_some_and(|Reverse(first)| first.sequence == sequence) {
            self.wake.notify_one();
        }
    }

    /// Takes what is due, at most one webhook's worth.
    pub(crate) fn next(&self, now: Instant) -> Next {
        let mut state = self.lock();
        let mut due = Vec::new();
        while due.len() < BATCH_UPDATES_MAX && state.waiting.peek().is_some_and(|Reverse(first)| first.due <= now) {
            due.extend(state.waiting.pop().map(|Reverse(entry)| entry));
        }
        if due.is_empty() {
            return state.waiting.peek().map_or(Next::Wait, |Reverse(first)| Next::WaitUntil(first.due));
        }
        if state.faults.shuffles() {
            state.rng.shuffle(&mut due);
        }
        let mut batch = Batch { updates: Vec::with_capacity(due.len()), settled: Vec::new() };
        for entry in due {
            batch.updates.push(entry.update);
            batch.settled.extend(entry.settled);
        }
        Next::Post(batch)
    }

    /// Counts one request that was not answered with 200.
    pub(crate) fn post_failed(&self) {
        self.lock().counters.webhook_posts_failed += 1;
    }

    /// Ends a batch, posted or given up.
    pub(crate) fn finish(&self, batch: Batch, posted: bool) {
        let count = batch.updates.len();
        let mut state = self.lock();
        if posted {
            state.counters.webhooks_posted += 1;
            state.counters.webhook_updates_posted += count as u64;
            state.note_reported(&batch.updates);
        } else {
            state.counters.webhook_updates_abandoned += count as u64;
        }
        self.settle(&mut state, count);
        for settled in batch.settled {
            // Whoever asked may have stopped waiting.
            let _ = settled.send(());
        }
    }

    fn settle(&self, state: &mut State, count: usize) {
        state.outstanding -= count;
        if state.outstanding == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Resolves when nothing waits and nothing is being posted.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            // Listens before it looks, so that the last one to settle is not missed.
            notified.as_mut().enable();
            if self.lock().outstanding == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl State {
    fn note_reported(&mut self, updates: &[Update]) {
        let Some(reported) = &mut self.reported else { return };
        for update in updates {
            if let Update::Status { message, .. } = update
                && !reported.contains(&message.wamid)
            {
                reported.insert(message.wamid.clone());
            }
        }
    }
}

/// Time since 1970.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.sequence)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
