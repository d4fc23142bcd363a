//! The work: broadcasts that come in one after the other, by the ledger and by the line `jobs`, where each comes twice.

use std::{ops::Range, time::Duration};

use kabar_domain::{
    job::{Door, Job},
    message::{MessageState, Phase, StateCounts},
};
use kabar_queue::{Line, Queue};
use kabar_store::DEFAULT_TENANT;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::figures::Figures;
use kabar_tests::guests::phone;

use crate::stage::Stage;

/// How many broadcasts there are, beside the last.
const BROADCASTS: usize = 20;

/// Every so many broadcasts, doubt waits for a person.
const HELD_EVERY: usize = 5;

/// Messages of the last broadcast: it is sent in calm, so that receipts come after every doubt.
const LAST: usize = 20;

/// How long the ledger or the queue may take with a call.
const WITHIN: Duration = Duration::from_secs(3);

/// How often the sums are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Load {
    pub(super) broadcasts: Vec<Broadcast>,
    queue: Option<Queue>,
    looked: Option<Instant>,
    last_added: bool,
}

pub(super) struct Broadcast {
    key: String,
    pub(super) guests: Range<usize>,
    pub(super) held: bool,
    by_line: bool,
    taken: bool,
    pub(super) job: Option<i64>,
    counts: StateCounts,
    planned: bool,
}

impl Broadcast {
    fn new(index: usize, guests: Range<usize>) -> Self {
        Self {
            key: format!("storm-{index}"),
            guests,
            held: index % HELD_EVERY == HELD_EVERY - 1,
            by_line: index % 2 == 1,
            taken: false,
            job: None,
            counts: StateCounts::default(),
            planned: false,
        }
    }

    fn body(&self) -> Value {
        let recipients: Vec<Value> = self.guests.clone().map(|guest| json!({"to": phone(guest)})).collect();
        json!({
            "type": "broadcast", "id": self.key, "audience": {"recipients": recipients},
            "content": {"text": {"body": "Halo"}}, "on_doubt": if self.held { "hold" } else { "auto" },
        })
    }

    fn open(&self) -> u64 {
        self.counts.of(Phase::Waiting) + self.counts.of(Phase::InFlight)
    }

    /// Whether nothing of it waits or flies.
    fn has_ended(&self) -> bool {
        self.planned && self.open() == 0
    }
}

impl Load {
    pub(super) fn of(messages: usize) -> Self {
        let each = messages.div_ceil(BROADCASTS);
        let broadcasts = (0..BROADCASTS)
            .map(|index| Broadcast::new(index, index * each..messages.min((index + 1) * each)))
            .filter(|broadcast| !broadcast.guests.is_empty())
            .collect();
        Self { broadcasts, queue: None, looked: None, last_added: false }
    }

    /// Enqueues the next broadcast as soon as little waits. What is not answered with success is enqueued again.
    pub(super) async fn feed(&mut self, stage: &Stage) {
        let waiting: u64 = self.broadcasts.iter().filter(|broadcast| broadcast.taken).map(Self::waiting).sum();
        let Some(next) = self.broadcasts.iter_mut().find(|broadcast| !broadcast.taken) else { return };
        if waiting > next.guests.len() as u64 * 2 {
            return;
        }
        let body = next.body();
        if next.by_line {
            let queue = match &self.queue {
                Some(queue) => queue,
                None => self.queue.insert(stage.open_queue().await),
            };
            let twice = [body.to_string(), body.to_string()];
            next.taken = matches!(timeout(WITHIN, queue.publish(Line::Jobs, &twice)).await, Ok(Ok(())));
        } else {
            let job = Job::from_value(body, Door::default(), None).expect("the job is valid");
            next.taken = matches!(timeout(WITHIN, stage.store.enqueue(DEFAULT_TENANT, &job)).await, Ok(Ok(_)));
        }
    }

    fn waiting(broadcast: &Broadcast) -> u64 {
        if broadcast.planned { broadcast.open() } else { broadcast.guests.len() as u64 }
    }

    /// Looks at every broadcast's sums, while the storm goes on.
    pub(super) async fn look(&mut self, stage: &Stage, figures: &mut Figures) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let open = |broadcast: &&mut Broadcast| broadcast.taken && !broadcast.has_ended();
        for broadcast in self.broadcasts.iter_mut().filter(open) {
            // Where the ledger is away, the next look tells.
            if timeout(WITHIN, broadcast.look(stage)).await.is_ok_and(|looked| looked.is_ok()) {
                figures.looks_at_sums += 1;
            }
        }
    }

    /// Whether all was taken in and nearly all is sent: what is left is in doubt.
    pub(super) fn is_sent(&self) -> bool {
        self.last_added
            || self
                .broadcasts
                .iter()
                .all(|broadcast| broadcast.planned && broadcast.open() == broadcast.counts.get(MessageState::InDoubt))
    }

    pub(super) fn add_last(&mut self) {
        if !self.last_added {
            let from = self.broadcasts.last().map_or(0, |broadcast| broadcast.guests.end);
            self.broadcasts.push(Broadcast::new(self.broadcasts.len(), from..from + LAST));
            self.last_added = true;
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.last_added && self.broadcasts.iter().all(Broadcast::has_ended)
    }

    /// How far each broadcast is that has not ended.
    pub(super) fn told(&self) -> String {
        let open = self.broadcasts.iter().filter(|broadcast| !broadcast.has_ended());
        open.map(|broadcast| {
            let counts = serde_json::to_string(&broadcast.counts).unwrap_or_default();
            format!("\n{} taken {} planned {}: {counts}", broadcast.key, broadcast.taken, broadcast.planned)
        })
        .collect()
    }
}

impl Broadcast {
    async fn look(&mut self, stage: &Stage) -> Result<(), String> {
        let said = |error: kabar_store::StoreError| error.to_string();
        let found = stage.store.job_id(DEFAULT_TENANT, &self.key).await.map_err(said)?;
        let Some(job) = found else {
            // What was confirmed by a line is on its way; what the ledger said yes to is there.
            assert!(self.by_line, "{} was taken in and is gone", self.key);
            return Ok(());
        };
        assert!(self.job.is_none_or(|known| known == job), "{} is another job now", self.key);
        self.job = Some(job);
        let planned = stage.store.job_is_planned(job).await.map_err(said)?;
        self.counts = stage.store.job_counts(job).await.map_err(said)?;
        self.planned = planned;
        let (total, audience) = (self.counts.total(), self.guests.len() as u64);
        assert!(total == audience || !planned && total < audience, "{}: {total} of {audience}", self.key);
        Ok(())
    }
}
