//! What flows share: people, jobs, and the questions that are asked of a ledger and of a provider.

use std::time::{Duration, Instant};

use kabar_domain::{message::MessageState, phone::PhoneNumber};
use kabar_sandbox::Arrival;
use kabar_store::{DEFAULT_TENANT, MessageStory, SenderStatus, Store};
use kabar_tests::{
    TestFleet, eventually,
    guests::{digits, recipients},
};
use serde_json::{Value, json};

/// How long anything here may take on a machine that builds other things meanwhile. Nothing waits for so long in vain.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// So much later an attempt must be than one whose absence its receipt is to prove.
const LATER: Duration = Duration::from_millis(2_100);

/// A number as the ledger holds it.
pub(crate) fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}")).number
}

/// A broadcast to the first `count` guests.
pub(crate) fn broadcast(id: &str, count: usize) -> Value {
    json!({"type": "broadcast", "id": id, "audience": {"recipients": recipients(0..count)}, "content": departure()})
}

/// One text to one number.
pub(crate) fn send(id: &str, to: &str) -> Value {
    json!({"type": "send", "id": id, "to": to, "content": {"text": {"body": "Halo"}}})
}

/// A job with some fields set.
pub(crate) fn with(mut job: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        job[*name] = value.clone();
    }
    job
}

/// A template that takes the recipient's name.
pub(crate) fn departure() -> Value {
    json!({"template": {"name": "departure_reminder", "language": "id", "params": ["{name}", "1 Des 2026"]}})
}

/// How many requests arrived for the guest with this index.
pub(crate) fn asked_for(arrivals: &[Arrival], index: usize) -> usize {
    arrivals.iter().filter(|arrival| arrival.to == digits(index)).count()
}

/// How the sender of this name stands.
pub(crate) async fn sender_status(store: &Store, name: &str) -> SenderStatus {
    let status = store.status(DEFAULT_TENANT).await.unwrap_or_else(|error| panic!("the status: {error}"));
    let found = status.senders.into_iter().find(|sender| sender.name == name);
    found.unwrap_or_else(|| panic!("no sender {name}"))
}

/// Waits until the sender of this name is in `state`.
pub(crate) async fn sender_is(store: &Store, name: &str, state: &str) -> SenderStatus {
    eventually(WITHIN, async || {
        let status = sender_status(store, name).await;
        if status.state == state { Ok(status) } else { Err(format!("{name} is {}", status.state)) }
    })
    .await
}

/// Everything about the one message of a job.
pub(crate) async fn story(store: &Store, job: i64) -> MessageStory {
    let messages = store.messages_of_job(job, 0, 1).await.unwrap_or_else(|error| panic!("the messages: {error}"));
    let id = messages.first().unwrap_or_else(|| panic!("job {job} has no message")).id;
    store.message_story(DEFAULT_TENANT, id).await.unwrap_or_else(|error| panic!("the story: {error}"))
}

/// Waits until the one message of a job is in one of `states`.
pub(crate) async fn message_is(fleet: &TestFleet, job: i64, states: &[MessageState]) -> MessageStory {
    fleet.counts_where(job, WITHIN, |counts| states.iter().any(|state| counts.get(*state) == 1)).await;
    story(fleet.store(), job).await
}

/// Waits until what is sent now is enough later than what has been sent so far for its receipt to prove something.
pub(crate) async fn later() {
    let began = Instant::now();
    eventually(WITHIN, async || began.elapsed() > LATER).await;
}

/// The states in which the provider has a message.
pub(crate) const WITH_PROVIDER: [MessageState; 4] =
    [MessageState::Accepted, MessageState::Sent, MessageState::Delivered, MessageState::Read];

/// Waits until the provider has each of `count` messages of a job.
pub(crate) async fn all_with_provider(fleet: &TestFleet, job: i64, count: usize) {
    let wished = count as u64;
    let counts = |counts: &kabar_domain::message::StateCounts| -> u64 {
        WITH_PROVIDER.iter().map(|state| counts.get(*state)).sum()
    };
    fleet.counts_where(job, WITHIN, |found| counts(found) == wished).await;
}

/// Waits until the provider has had `count` requests.
pub(crate) async fn received(fleet: &TestFleet, count: u64) {
    eventually(WITHIN, async || {
        let received = fleet.sandbox.counters().received;
        (received >= count).then_some(()).ok_or_else(|| format!("{received} of {count} requests"))
    })
    .await;
}
