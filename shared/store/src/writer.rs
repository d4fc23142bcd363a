//! The ledger writer of a process: claims, starts and outcomes of all its couriers share commits.
//!
//! A commit costs the same for one message as for a hundred. The writer takes whatever has come in while the last commit
//! ran and does it in one transaction, so commits grow with load. Outcomes are applied before
//! starts, so that a pair that has just become free can be used. Claims of one sender are one claim. Where a transaction fails, each operation is tried alone,
//! so that one cannot fail the others.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use kabar_domain::outcome::Decision;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    Claimed, LeaseId, SettlePolicy, Settled, Settlement, StartRequest, Started, Store, Topic,
    error::{StoreError, StoreResult},
    lanes::Fronts,
    outcomes::{Source, lock_messages},
};

/// The most operations that wait for the writer; then callers wait.
const QUEUE_OPERATIONS: usize = 4_096;

/// The most operations in one transaction.
const MOST_OPERATIONS: usize = 256;

/// The most tries of an operation in a transaction of its own.
const MOST_TRIES_ALONE: u32 = 3;

/// Under load the writer waits this long for company before it begins: commits are then few and full. An operation that
/// comes after a pause is written at once.
const GATHER_FOR: Duration = Duration::from_millis(3);

/// With this many there is company enough.
const ENOUGH_OPERATIONS: usize = 64;

/// What counts as a pause.
const PAUSE: Duration = Duration::from_millis(10);

/// The first and the longest pause before an outcome that could not be written is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);

type Reply<T> = oneshot::Sender<StoreResult<T>>;

enum Operation {
    Claim { sender_id: i64, reply: Reply<Vec<Claimed>> },
    Start { channel: &'static str, requests: Vec<StartRequest>, reply: Reply<HashMap<i64, Started>> },
    GiveBack { channel: &'static str, message_ids: Vec<i64>, reply: Reply<()> },
    UndoStarts { channel: &'static str, requests: Vec<StartRequest>, reply: Reply<()> },
    Settle { settlements: Vec<Settlement>, reply: Reply<Settled> },
}

/// The thread that writes; ends when every handle is dropped and all is written.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
}

/// How couriers reach the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    operations: mpsc::Sender<Operation>,
}

impl Writer {
    /// Starts the writer of the process with `lease`; `observe` hears of each commit: how many operations it held and how
    /// long it took.
    ///
    /// It has a thread to itself: a transaction is a dozen statements, and among thousands of requests each would wait for
    /// its turn while the ledger stands still.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn spawn(
        store: Store,
        lease: LeaseId,
        policy: SettlePolicy,
        observe: impl Fn(usize, Duration) + Send + Sync + 'static,
    ) -> (Self, WriterHandle) {
        let (operations, incoming) = mpsc::channel(QUEUE_OPERATIONS);
        let writing = write(store, lease, policy, incoming, observe);
        let thread = tokio::task::spawn_blocking(|| Handle::current().block_on(writing));
        (Self { thread }, WriterHandle { operations })
    }

    /// Waits until everything is written. Every handle must be dropped before.
    pub async fn finished(self) {
        let _ = self.thread.await;
    }
}

impl WriterHandle {
    /// [`Store::claim`] in a shared commit.
    ///
    /// # Errors
    /// As there, and when the writer has ended.
    pub async fn claim(&self, sender_id: i64) -> StoreResult<Vec<Claimed>> {
        self.ask(|reply| Operation::Claim { sender_id, reply }).await
    }

    /// Starts attempts: from the commit on they count as sent unless their outcome says otherwise. Gives the attempts by
    /// message; a message without one was cancelled, paused, blocked or has expired meanwhile, another to the same
    /// recipient is just being sent, or the lease has ended.
    ///
    /// # Errors
    /// When the ledger cannot be written, and when the writer has ended. Then no attempt was started as far as is known.
    pub async fn start(
        &self,
        channel: &'static str,
        requests: Vec<StartRequest>,
    ) -> StoreResult<HashMap<i64, Started>> {
        self.ask(|reply| Operation::Start { channel, requests, reply }).await
    }

    /// Gives claimed messages back with nothing spent, and tries again until they are: the lease of a process that lives
    /// on does not end, so nobody else would.
    ///
    /// # Errors
    /// When the writer has ended; the lease's end then gives them back.
    pub async fn give_back(&self, channel: &'static str, message_ids: Vec<i64>) -> StoreResult<()> {
        self.until_written(|reply| Operation::GiveBack { channel, message_ids: message_ids.clone(), reply }).await
    }

    /// Gives messages back whose start was refused or answered with an error: it may have been committed all the same, and
    /// nothing of it left. Tries again until it is written. Starts are known by their slots, so that another batch's is left
    /// alone; one without a slot comes into doubt instead, should it have held.
    ///
    /// # Errors
    /// When the writer has ended; the lease's end then leaves them in doubt.
    pub async fn undo_starts(&self, channel: &'static str, requests: Vec<StartRequest>) -> StoreResult<()> {
        self.until_written(|reply| Operation::UndoStarts { channel, requests: requests.clone(), reply }).await
    }

    /// Writes outcomes down, and tries again until they are: evidence is not thrown away because a disk is full.
    ///
    /// # Errors
    /// When the writer has ended, or what is written cannot be understood.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> StoreResult<Settled> {
        self.until_written(|reply| Operation::Settle { settlements: settlements.clone(), reply }).await
    }

    async fn until_written<T>(&self, operation: impl Fn(Reply<T>) -> Operation) -> StoreResult<T> {
        let mut pause = RETRY_FIRST;
        loop {
            match self.ask(&operation).await {
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what couriers did could not be written; trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MOST);
                }
                result => return result,
            }
        }
    }

    async fn ask<T>(&self, operation: impl FnOnce(Reply<T>) -> Operation) -> StoreResult<T> {
        let (reply, answer) = oneshot::channel();
        self.operations.send(operation(reply)).await.map_err(|_| StoreError::WriterEnded)?;
        answer.await.map_err(|_| StoreError::WriterEnded)?
    }
}

async fn write(
    store: Store,
    lease: LeaseId,
    policy: SettlePolicy,
    mut incoming: mpsc::Receiver<Operation>,
    observe: impl Fn(usize, Duration),
) {
    let mut operations = Vec::with_capacity(MOST_OPERATIONS);
    let mut last: Option<Instant> = None;
    let mut fronts = Fronts::default();
    while incoming.recv_many(&mut operations, MOST_OPERATIONS).await > 0 {
        if last.is_some_and(|last| last.elapsed() < PAUSE) && operations.len() < ENOUGH_OPERATIONS {
            tokio::time::sleep(GATHER_FOR).await;
            while operations.len() < MOST_OPERATIONS
                && let Ok(operation) = incoming.try_recv()
            {
                operations.push(operation);
            }
        }
        let started = Instant::now();
        let count = operations.len();
        let group = Group::of(&operations);
        match store.write_group(lease, &policy, group, &mut fronts).await {
            Ok(results) => results.answer(operations.drain(..)),
            Err(_) => {
                fronts = Fronts::default();
                for operation in operations.drain(..) {
                    write_alone(&store, lease, &policy, operation).await;
                }
            }
        }
        observe(count, started.elapsed());
        last = Some(Instant::now());
    }
}

/// Writes one operation in a transaction of its own. A statement that failed is tried again: on Postgres another process
/// may have started a message to the same recipient at the same time, or a deadlock was resolved, and the second look sees
/// what the other did.
async fn write_alone(store: &Store, lease: LeaseId, policy: &SettlePolicy, operation: Operation) {
    let mut tries = 1;
    loop {
        let group = Group::of(std::slice::from_ref(&operation));
        match store.write_group(lease, policy, group, &mut Fronts::default()).await {
            Ok(results) => return results.answer(std::iter::once(operation)),
            Err(StoreError::Statement { .. }) if tries < MOST_TRIES_ALONE => tries += 1,
            Err(error) => return operation.fail(error),
        }
    }
}

/// What one transaction is to do.
#[derive(Default)]
struct Group {
    settlements: Vec<Settlement>,
    given_back: HashMap<&'static str, Vec<i64>>,
    /// Messages with the slots for which their starts were asked.
    undone: HashMap<&'static str, Vec<(i64, Option<i64>)>>,
    starts: HashMap<&'static str, Vec<StartRequest>>,
    /// How many batches are asked for, by sender.
    claims: BTreeMap<i64, usize>,
}

/// What one transaction did.
#[derive(Default)]
struct Results {
    settled: Settled,
    started: HashMap<i64, Started>,
    /// The batches of each sender.
    claimed: HashMap<i64, VecDeque<Vec<Claimed>>>,
}

impl Group {
    fn of(operations: &[Operation]) -> Self {
        let mut group = Self::default();
        for operation in operations {
            match operation {
                Operation::Settle { settlements, .. } => group.settlements.extend_from_slice(settlements),
                Operation::GiveBack { channel, message_ids, .. } => {
                    group.given_back.entry(channel).or_default().extend_from_slice(message_ids);
                }
                Operation::UndoStarts { channel, requests, .. } => {
                    let (slots, none): (Vec<_>, Vec<_>) =
                        requests.iter().map(|one| (one.message_id, one.slot_us)).partition(|(_, slot)| slot.is_some());
                    group.undone.entry(channel).or_default().extend(slots);
                    group.given_back.entry(channel).or_default().extend(none.into_iter().map(|(id, _)| id));
                }
                Operation::Start { channel, requests, .. } => {
                    group.starts.entry(channel).or_default().extend_from_slice(requests);
                }
                Operation::Claim { sender_id, .. } => *group.claims.entry(*sender_id).or_default() += 1,
            }
        }
        group
    }
}

impl Store {
    async fn write_group(
        &self,
        lease: LeaseId,
        policy: &SettlePolicy,
        group: Group,
        fronts: &mut Fronts,
    ) -> StoreResult<Results> {
        let mut results = Results::default();
        let mut tx = self.db.begin_writing().await?;
        let started = group.starts.values().flatten().map(|request| request.message_id);
        let undone = group.undone.values().flatten().map(|(id, _)| *id);
        let given_back = group.given_back.values().flatten().copied();
        let mut touched: Vec<i64> = started.chain(undone).chain(given_back).collect();
        let decided = group.settlements.iter().any(|one| one.outcome.decision != Decision::Accepted);
        if (decided || !touched.is_empty()) && self.db.locks_rows() {
            // All of them in one order, so that no two transactions wait for each other.
            touched.extend(group.settlements.iter().map(|settlement| settlement.message_id));
            lock_messages(&mut tx, touched.into_iter()).await?;
        }
        results.settled = self.settle_in(&mut tx, &group.settlements, policy, Source::Answer).await?;
        for (channel, message_ids) in &group.given_back {
            self.give_back_in(&mut tx, lease, channel, message_ids).await?;
        }
        for (channel, asked) in &group.undone {
            self.undo_starts_in(&mut tx, lease, channel, asked).await?;
        }
        for (channel, requests) in &group.starts {
            results.started.extend(self.start_in(&mut tx, lease, channel, requests).await?);
        }
        for (sender_id, batches) in group.claims {
            let claimed = self.claim_in(&mut tx, sender_id, batches, lease, fronts).await?;
            results.claimed.insert(sender_id, claimed.into());
        }
        if let Err(error) = tx.commit().await {
            self.unclaim(lease, &results).await;
            return Err(error);
        }
        if results.settled.requeued > 0 || !group.given_back.is_empty() || !group.undone.is_empty() {
            self.wake.ring(Topic::Messages);
        }
        Ok(results)
    }

    /// A commit that was answered with an error may hold all the same. Nobody learns of its claims, so they are given back;
    /// where that fails, too, the end of the lease does it.
    async fn unclaim(&self, lease: LeaseId, results: &Results) {
        let claimed: Vec<i64> = results.all_claimed().map(|claimed| claimed.id).collect();
        if claimed.is_empty() {
            return;
        }
        // Nobody else has a hand in what this transaction has only just claimed, so these need no slot to be known by.
        let started = results.all_claimed().filter(|claimed| claimed.started.is_some());
        let started: Vec<(i64, Option<i64>)> = started.map(|claimed| (claimed.id, None)).collect();
        let channel = kabar_domain::sender::Channel::Whatsapp.as_str();
        let undone = async {
            let mut tx = self.db.begin().await?;
            self.undo_starts_in(&mut tx, lease, channel, &started).await?;
            self.give_back_in(&mut tx, lease, channel, &claimed).await?;
            tx.commit().await
        };
        if let Err(error) = undone.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "claims of a failed commit could not be given back"
            );
        }
    }
}

impl Results {
    fn all_claimed(&self) -> impl Iterator<Item = &Claimed> {
        self.claimed.values().flatten().flatten()
    }

    /// Answers each operation with its part; what holds beyond messages goes to the first that settled something, so that
    /// it is logged once.
    fn answer(mut self, operations: impl Iterator<Item = Operation>) {
        for operation in operations {
            // Who asked may have gone; what was written holds all the same.
            match operation {
                Operation::Settle { reply, .. } => drop(reply.send(Ok(std::mem::take(&mut self.settled)))),
                Operation::GiveBack { reply, .. } | Operation::UndoStarts { reply, .. } => drop(reply.send(Ok(()))),
                Operation::Start { requests, reply, .. } => {
                    let own = requests
                        .iter()
                        .filter_map(|request| Some((request.message_id, self.started.remove(&request.message_id)?)))
                        .collect();
                    drop(reply.send(Ok(own)));
                }
                Operation::Claim { sender_id, reply } => {
                    let batch = self.claimed.get_mut(&sender_id).and_then(VecDeque::pop_front);
                    drop(reply.send(Ok(batch.unwrap_or_default())));
                }
            }
        }
    }
}

impl Operation {
    fn fail(self, error: StoreError) {
        match self {
            Self::Settle { reply, .. } => drop(reply.send(Err(error))),
            Self::GiveBack { reply, .. } | Self::UndoStarts { reply, .. } => drop(reply.send(Err(error))),
            Self::Start { reply, .. } => drop(reply.send(Err(error))),
            Self::Claim { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}
