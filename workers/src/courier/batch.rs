//! One batch: from a ticket to requests that leave at their slots.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use kabar_domain::{content::Fields, job::JobId};
use kabar_providers::Access;
use kabar_queue::Delivery;
use kabar_store::{Claimed, JobContent, StartRequest, Started, StoreResult};
use kabar_telemetry::names;
use tokio::time::Instant;

use super::{
    Courier, Room,
    pacer::{Slot, Slots},
    senders::KnownSender,
    sending::{self, Ready, Times},
    tickets::Done,
};
use crate::fault::{self, Point};

/// `sending` is committed from this long before the slot: time for the commit.
const START_AHEAD: Duration = Duration::from_millis(28);

/// Slots within this time of the first are started in one commit. With the time ahead and the lateness that is tolerated
/// (10 ms by default) a request leaves at most 50 ms after its start was committed, so a crash leaves few in doubt.
const START_TOGETHER: Duration = Duration::from_millis(12);

/// Sends one batch for the sender with this id; the ticket goes once the claim is committed.
pub(super) async fn run(courier: &Arc<Courier>, sender_id: i64, ticket: Delivery, done: &Done, mut room: Room) {
    let sender = courier.senders.get(sender_id);
    let now_ms = courier.context.store.now_ms();
    if !sender.is_open(now_ms) || !courier.context.hold.is_safe(now_ms) {
        // The dispatcher writes new ones when it is time.
        return done.acknowledge(ticket);
    }
    room.unpaced = sender.room().await;
    let claimed = match courier.writer.claim(sender_id).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::warn!(sender = sender_id, error = &error as &dyn std::error::Error, "a batch cannot be claimed");
            return;
        }
    };
    if claimed.is_empty() {
        return done.acknowledge(ticket);
    }
    fault::pass(Point::AfterClaim);
    done.acknowledge(ticket);
    sender.note_claim(&claimed);
    metrics::histogram!(names::BATCH_MESSAGES_CLAIMED).record(claimed.len() as f64);
    let mut batch = Batch {
        courier: courier.clone(),
        sender,
        room,
        claimed_at: SystemTime::now(),
        left: claimed.into(),
        unanswered: Vec::new(),
        contents: HashMap::new(),
    };
    if let Err(error) = batch.send().await {
        tracing::warn!(sender = sender_id, error = &error as &dyn std::error::Error, "a batch was cut short");
    }
    batch.give_back_rest().await;
}

struct Batch {
    courier: Arc<Courier>,
    sender: Arc<KnownSender>,
    room: Room,
    claimed_at: SystemTime,
    /// Claimed and not yet handed to a request, in the order of sending.
    left: std::collections::VecDeque<Claimed>,
    /// Those whose start was answered with an error: it may hold all the same, and none of them leaves.
    unanswered: Vec<StartRequest>,
    contents: HashMap<i64, JobContent>,
}

impl Batch {
    /// Sends until nothing is left, the sender is closed, or the process stops; what is left then is given back.
    async fn send(&mut self) -> StoreResult<()> {
        self.contents = self.courier.contents.get(self.left.iter().map(|message| message.job_id)).await?;
        self.send_started().await?;
        while !self.left.is_empty() {
            let most = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
            let slots = tokio::select! {
                () = self.courier.stop.cancelled() => return Ok(()),
                slots = self.sender.pacer.take(most) => slots?,
            };
            match slots {
                Slots::Closed => return Ok(()),
                Slots::Unlimited => {
                    let all: Vec<Claimed> = self.left.drain(..).collect();
                    self.start(all.into_iter().map(|message| (message, None)).collect()).await?;
                }
                Slots::Open(slots) => self.send_at(slots).await?,
            }
        }
        Ok(())
    }

    /// Sends what the claim started: the sender has no pace.
    async fn send_started(&mut self) -> StoreResult<()> {
        if self.left.iter().all(|message| message.started.is_none()) {
            return Ok(());
        }
        let access = self.sender.access.get(&self.courier.context.store, self.sender.id).await?;
        for mut message in std::mem::take(&mut self.left) {
            match message.started.take() {
                // The claim started it.
                Some(attempt) => self.request(message, attempt, None, self.claimed_at, &access),
                None => self.left.push_back(message),
            }
        }
        Ok(())
    }

    async fn send_at(&mut self, slots: Vec<Slot>) -> StoreResult<()> {
        let mut slots = slots.into_iter().peekable();
        while let Some(first) = slots.next() {
            let mut group = vec![first];
            while let Some(slot) = slots.next_if(|slot| slot.at < first.at + START_TOGETHER) {
                group.push(slot);
            }
            tokio::select! {
                () = self.courier.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(first.at - START_AHEAD) => {}
            }
            let now_ms = self.courier.context.store.now_ms();
            if !self.sender.is_open(now_ms) || !self.courier.context.hold.is_safe(now_ms) {
                return Ok(());
            }
            let messages: Vec<(Claimed, Option<Slot>)> =
                group.into_iter().filter_map(|slot| Some((self.left.pop_front()?, Some(slot)))).collect();
            self.start(messages).await?;
        }
        Ok(())
    }

    /// Commits `sending` for messages and hands them to their slots; those that may not be sent any more are given back.
    async fn start(&mut self, messages: Vec<(Claimed, Option<Slot>)>) -> StoreResult<()> {
        let access = self.sender.access.get(&self.courier.context.store, self.sender.id).await?;
        let channel = access.provider.channel().as_str();
        let requests: Vec<StartRequest> = messages
            .iter()
            .map(|(message, slot)| StartRequest {
                message_id: message.id,
                sender_id: self.sender.id,
                recipient_id: message.recipient_id,
                slot_us: slot.map(|slot| slot.us),
            })
            .collect();
        let mut started = match self.courier.writer.start(channel, requests.clone()).await {
            Ok(started) => started,
            Err(error) => {
                self.unanswered = requests;
                return Err(error);
            }
        };
        fault::pass(Point::AfterStart);
        let started_at = SystemTime::now();
        let mut refused = Vec::new();
        for ((message, slot), request) in messages.into_iter().zip(requests) {
            let Some(attempt) = started.remove(&message.id) else {
                refused.push(request);
                continue;
            };
            self.request(message, attempt, slot.map(|slot| slot.at), started_at, &access);
        }
        if !refused.is_empty() {
            // A refusal may be the answer to the second try of a start whose first was committed without an answer.
            self.courier.writer.undo_starts(channel, refused).await?;
        }
        Ok(())
    }

    /// Starts the task that sends one request.
    fn request(
        &mut self,
        message: Claimed,
        attempt: Started,
        slot: Option<Instant>,
        started_at: SystemTime,
        access: &Arc<Access>,
    ) {
        let content = self.content_of(&message);
        let times = Times { claimed_at: self.claimed_at, started_at };
        let job = self.job_of(&message);
        let ready = Ready { message, attempt, slot, content, access: access.clone(), job, times };
        let (courier, sender, room) = (self.courier.clone(), self.sender.clone(), self.room.for_request());
        self.courier.requests.spawn(async move {
            sending::run(&courier, &sender, ready).await;
            drop(room);
        });
    }

    /// The message's content with the recipient's own values; none where it cannot be made, which planning rules out.
    fn content_of(&self, message: &Claimed) -> Option<Arc<kabar_domain::content::Content>> {
        let job = self.contents.get(&message.job_id)?;
        if !job.has_fields {
            return Some(job.content.clone());
        }
        let fields: Fields = serde_json::from_str(message.fields.as_deref().unwrap_or("{}")).ok()?;
        job.content.for_recipient(&fields).ok().map(Arc::new)
    }

    /// The producer's id of the message's job, for traces alone.
    fn job_of(&self, message: &Claimed) -> Option<JobId> {
        let known = self.courier.context.traces.are_on().then(|| self.contents.get(&message.job_id))?;
        known.map(|job| job.key.clone())
    }

    async fn give_back_rest(self) {
        if self.left.is_empty() && self.unanswered.is_empty() {
            return;
        }
        let ids: Vec<i64> = self.left.iter().map(|message| message.id).collect();
        let channel = match self.sender.access.get(&self.courier.context.store, self.sender.id).await {
            Ok(access) => access.provider.channel().as_str(),
            Err(_) => kabar_domain::sender::Channel::Whatsapp.as_str(),
        };
        let writer = &self.courier.writer;
        let (given_back, undone) =
            tokio::join!(writer.give_back(channel, ids), writer.undo_starts(channel, self.unanswered));
        if let Err(error) = given_back.and(undone) {
            tracing::warn!(
                sender = self.sender.id,
                error = &error as &dyn std::error::Error,
                "messages could not be given back; the end of the lease does it"
            );
        }
    }
}

/// How late a request is for its slot.
pub(super) fn lateness(slot: Instant) -> Duration {
    Instant::now().saturating_duration_since(slot)
}
