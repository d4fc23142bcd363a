//! Steps that many checks take: a sender, a job and its messages, a courier that claims, starts and settles.

use std::{collections::HashMap, ops::Range, time::Duration};

use chrono::{DateTime, Utc};
use kabar_domain::{
    job::{Door, Job},
    message::{MessageState, ReceiptStatus},
    outcome::{Decision, Outcome, Scope},
    pace::Rate,
    phone::PhoneNumber,
    report::{Receipt, Report},
    sender::ProviderKind,
};
use kabar_store::{
    Applied, Claimed, DEFAULT_TENANT, LeaseId, MessageStory, NewSender, Place, Sender, SettlePolicy, Settled,
    Settlement, StartRequest, Started, Store, StoreOptions, TenantId, Writer, WriterHandle,
};
use kabar_tests::TestLedger;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

pub(super) const TENANT: TenantId = DEFAULT_TENANT;
pub(super) const CHANNEL: &str = "whatsapp";
pub(super) const PROVIDER: &str = "whatsapp_cloud";
/// How long a courier's lease holds, in milliseconds.
pub(super) const LEASE_MS: i64 = 30_000;
/// How long doubt waits under [`policy`], in milliseconds.
pub(super) const GRACE_MS: i64 = 600_000;
pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const DAY_MS: i64 = 86_400_000;
/// Asks for due senders whatever tickets they have.
pub(super) const EVERY_SENDER: Range<i64> = 0..0;

pub(super) fn policy() -> SettlePolicy {
    SettlePolicy::default()
}

/// One of a hundred million numbers.
pub(super) fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_e164(format!("+62812{number:08}")).unwrap()
}

pub(super) fn rate(per_second: u32) -> Rate {
    Rate::per_second(per_second).unwrap()
}

/// A sender that shares no limits with others.
pub(super) fn new_sender(name: &str, rate: Rate) -> NewSender {
    NewSender {
        name: name.to_owned(),
        provider: ProviderKind::WhatsappCloud,
        address: format!("address-{name}"),
        account: None,
        app: None,
        access_token: format!("token-{name}"),
        api_base: "http://127.0.0.1:1".to_owned(),
        api_version: "v23.0".to_owned(),
        app_secret: None,
        rate,
    }
}

/// Adds the sender `default`.
pub(super) async fn sender(store: &Store, rate: Rate) -> Sender {
    store.add_sender(TENANT, &new_sender("default", rate)).await.unwrap()
}

pub(super) fn job(value: Value) -> Job {
    Job::from_value(value, Door::default(), None).unwrap()
}

/// A text to one number.
pub(super) fn send(id: &str, to: u64) -> Value {
    json!({"type": "send", "id": id, "to": phone(to), "content": {"text": "halo"}})
}

/// A text to some numbers.
pub(super) fn broadcast(id: &str, to: Range<u64>) -> Value {
    let recipients: Vec<Value> = to.map(|number| json!({"to": phone(number)})).collect();
    json!({"type": "broadcast", "id": id, "audience": {"recipients": recipients}, "content": {"text": "halo"}})
}

/// A template with `params`.
pub(super) fn template(params: Value) -> Value {
    json!({"template": {"name": "departure", "language": "id", "params": params}})
}

/// The job with some fields replaced or added.
pub(super) fn with(mut job: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        job[name] = value.clone();
    }
    job
}

/// Enqueues a job; the ledger's id of it.
pub(super) async fn enqueue(store: &Store, value: Value) -> i64 {
    store.enqueue(TENANT, &job(value)).await.unwrap().job_id()
}

/// Plans everything that there is to plan; how many messages.
pub(super) async fn plan_all(store: &Store) -> u64 {
    let mut messages = 0;
    while let Some(planned) = store.plan_next().await.unwrap() {
        messages += planned.messages;
    }
    messages
}

/// Enqueues and plans a job; the ledger's id of it.
pub(super) async fn planned(store: &Store, value: Value) -> i64 {
    let job_id = enqueue(store, value).await;
    plan_all(store).await;
    job_id
}

/// The states of a job's messages, in the order of its recipients and parts.
pub(super) async fn states(store: &Store, job_id: i64) -> Vec<MessageState> {
    store.messages_of_job(job_id, 0, 10_000).await.unwrap().iter().map(|message| message.state).collect()
}

/// The reasons that a job's messages give, as [`states`].
pub(super) async fn reasons(store: &Store, job_id: i64) -> Vec<Option<String>> {
    let messages = store.messages_of_job(job_id, 0, 10_000).await.unwrap();
    messages.into_iter().map(|message| message.reason).collect()
}

/// The ids of a job's messages, as [`states`].
pub(super) async fn message_ids(store: &Store, job_id: i64) -> Vec<i64> {
    store.messages_of_job(job_id, 0, 10_000).await.unwrap().iter().map(|message| message.id).collect()
}

pub(super) async fn story(store: &Store, message_id: i64) -> MessageStory {
    store.message_story(TENANT, message_id).await.unwrap()
}

pub(super) async fn state(store: &Store, message_id: i64) -> MessageState {
    story(store, message_id).await.state
}

/// Whatever happened, each message of each job is in exactly one state.
pub(super) async fn assert_adds_up(store: &Store) {
    for kind in ["send", "broadcast", "reminder"] {
        for (job_id, summary) in store.jobs(TENANT, kind, None, 1_000).await.unwrap() {
            let counts = store.job_counts(job_id).await.unwrap();
            assert_eq!(counts.total(), summary.audience.unsigned_abs(), "job {} does not add up", summary.id);
        }
    }
}

/// A worker process that sends: a lease and the writer under it.
pub(super) struct Courier {
    pub(super) store: Store,
    pub(super) lease: LeaseId,
    pub(super) writer: WriterHandle,
}

/// A message whose attempt was started.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    pub(super) id: i64,
    pub(super) attempt: Started,
}

impl Courier {
    pub(super) async fn of(store: &Store) -> Self {
        let length = Duration::from_millis(LEASE_MS.unsigned_abs());
        let lease = store.take_lease("host:1", &["courier"], length).await.unwrap().id;
        let (_, writer) = Writer::spawn(store.clone(), lease, policy(), |_, _| {});
        Self { store: store.clone(), lease, writer }
    }

    pub(super) async fn claim(&self, sender: &Sender) -> Vec<Claimed> {
        self.writer.claim(sender.id).await.unwrap()
    }

    /// Starts what was claimed; the attempts by message.
    pub(super) async fn start(&self, sender: &Sender, claimed: &[Claimed]) -> HashMap<i64, Started> {
        self.writer.start(CHANNEL, self.requests(sender, claimed)).await.unwrap()
    }

    /// Its slots are the time at which it asks.
    fn requests(&self, sender: &Sender, claimed: &[Claimed]) -> Vec<StartRequest> {
        let slot_us = sender.rate.limit().map(|_| self.store.now_ms() * 1_000);
        requests(sender, claimed, slot_us)
    }

    pub(super) async fn give_back(&self, claimed: &[Claimed]) {
        self.writer.give_back(CHANNEL, claimed.iter().map(|message| message.id).collect()).await.unwrap();
    }

    /// Takes back starts of which it does not know whether they hold.
    pub(super) async fn undo(&self, sender: &Sender, claimed: &[Claimed]) {
        self.writer.undo_starts(CHANNEL, self.requests(sender, claimed)).await.unwrap();
    }

    /// Claims a batch and starts all of it, in the batch's order.
    pub(super) async fn send(&self, sender: &Sender) -> Vec<Sending> {
        let claimed = self.claim(sender).await;
        let mut started = self.start(sender, &claimed).await;
        let sending = |message: &Claimed| Sending { id: message.id, attempt: started.remove(&message.id).unwrap() };
        claimed.iter().map(sending).collect()
    }

    /// Claims and starts the one message that there is.
    pub(super) async fn send_one(&self, sender: &Sender) -> Sending {
        let mut sending = self.send(sender).await;
        assert_eq!(sending.len(), 1);
        sending.remove(0)
    }

    pub(super) async fn settle(&self, sending: &Sending, outcome: Outcome) -> Settled {
        self.writer.settle(vec![settlement(sending, outcome)]).await.unwrap()
    }

    /// The provider takes it over.
    pub(super) async fn accept(&self, sending: &Sending) {
        self.settle(sending, Outcome::accepted(provider_id(sending))).await;
    }
}

pub(super) fn requests(sender: &Sender, claimed: &[Claimed], slot_us: Option<i64>) -> Vec<StartRequest> {
    let request = |message: &Claimed| StartRequest {
        message_id: message.id,
        sender_id: sender.id,
        recipient_id: message.recipient_id,
        slot_us,
    };
    claimed.iter().map(request).collect()
}

pub(super) fn settlement(sending: &Sending, outcome: Outcome) -> Settlement {
    Settlement { message_id: sending.id, number: sending.attempt.number, outcome }
}

/// A sender, a courier, and one message of a broadcast `b` that is being sent.
pub(super) async fn one_sending(ledger: &TestLedger) -> (Sender, Courier, Sending) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..1)).await;
    let sending = courier.send_one(&sender).await;
    (sender, courier, sending)
}

pub(super) fn outcome(decision: Decision, scope: Scope) -> Outcome {
    Outcome { scope, ..Outcome::of(decision, "as the provider said") }
}

/// Meta's code for a closed 24-hour window, by which this product blocks.
pub(super) fn window_closed() -> Outcome {
    Outcome { code: Some(131_047), ..outcome(Decision::Blocked, Scope::Recipient) }
}

/// The id that the provider gives an attempt.
pub(super) fn provider_id(sending: &Sending) -> String {
    format!("wamid.{}.{}", sending.id, sending.attempt.number)
}

pub(super) fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

/// What the provider says of an attempt at `at`, in Unix milliseconds.
pub(super) fn receipt(sending: &Sending, status: ReceiptStatus, at: i64) -> Receipt {
    Receipt {
        sender_address: "address-default".to_owned(),
        provider_message_id: provider_id(sending),
        opaque: Some(sending.attempt.opaque.clone()),
        status,
        at: instant(at),
        outcome: None,
    }
}

/// Appends an event and applies it as one that says `reports`.
pub(super) async fn report(store: &Store, reports: Vec<Report>) -> Applied {
    store.append_event(PROVIDER, "{}", None).await.unwrap();
    store.apply_events(100, &policy(), |_| Ok(reports.clone())).await.unwrap()
}

/// Applies receipts, all of one event.
pub(super) async fn receive(store: &Store, receipts: impl IntoIterator<Item = Receipt>) -> Applied {
    report(store, receipts.into_iter().map(Report::Receipt).collect()).await
}

/// The same ledger as another process sees it.
pub(super) async fn another(ledger: &TestLedger) -> Store {
    let store = ledger.reopen().await;
    store.check_migrated().await.unwrap();
    store
}

/// The same ledger with a master key.
pub(super) async fn sealed(ledger: &TestLedger) -> Store {
    let options = StoreOptions { master_key: Some([7; 32]), ..ledger.options().clone() };
    let store = Store::open(&options).await.unwrap();
    store.check_migrated().await.unwrap();
    store
}

/// The texts in one column as the database holds them, past the store.
pub(super) async fn raw_texts(ledger: &TestLedger, select: &'static str) -> Vec<String> {
    match ledger.direct_place() {
        Place::File(path) => {
            let mut file = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
            sqlx::query_scalar(select).fetch_all(&mut file).await.unwrap()
        }
        Place::Postgres(url) => {
            let mut server = PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar(select).fetch_all(&mut server).await.unwrap()
        }
    }
}

/// Changes the tables past the store: what another process did between two of its statements.
pub(super) async fn raw_change(ledger: &TestLedger, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    match ledger.direct_place() {
        Place::File(path) => {
            let mut file = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
            sqlx::query(statement).execute(&mut file).await.unwrap();
        }
        Place::Postgres(url) => {
            let mut server = PgConnection::connect(&url).await.unwrap();
            sqlx::query(statement).execute(&mut server).await.unwrap();
        }
    }
}
