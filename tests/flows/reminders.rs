//! Reminders and schedules, on a ledger whose clock the test holds: days pass at once.

use chrono::DateTime;
use kabar::fleet::{Fleet, Worker};
use kabar_domain::{
    job::{Door, Job},
    message::MessageState,
    pace::Rate,
    schedule::Missed,
};
use kabar_sandbox::Sandbox;
use kabar_store::{DEFAULT_TENANT, MessageSummary, NewSchedule};
use kabar_tests::{
    TestLedger, eventually,
    fleet::{sender, settings},
    guests::{assert_each_accepted_once, phone},
    ledger::START_MS,
    sandbox,
};
use serde_json::{Value, json};

use crate::support::{WITHIN, send};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A ledger that stands at 2026-12-01T00:00:00Z, with the default sender.
async fn ledger(sandbox: &Sandbox) -> TestLedger {
    let ledger = TestLedger::sqlite().await;
    let added = ledger.store().add_sender(DEFAULT_TENANT, &sender(sandbox, Rate::Unlimited)).await;
    added.unwrap_or_else(|error| panic!("the sender: {error}"));
    ledger
}

/// A fleet that does not take a few minutes' jump of the clock for its own end.
async fn fleet(ledger: &TestLedger) -> Fleet {
    let settings = settings(&[("fleet.lease", "10m".to_owned())]);
    let started = Fleet::start(settings, ledger.reopen().await, &Worker::ALL, None).await;
    started.unwrap_or_else(|error| panic!("the fleet: {error}"))
}

async fn enqueue(ledger: &TestLedger, job: Value) -> i64 {
    let job = Job::from_value(job, Door::default(), None).unwrap_or_else(|error| panic!("the job: {error}"));
    let enqueued = ledger.store().enqueue(DEFAULT_TENANT, &job).await;
    enqueued.unwrap_or_else(|error| panic!("not enqueued: {error}")).job_id()
}

/// Due on 8 December, with messages at 00:05 UTC seven, three, one and no days before.
fn invoice(id: &str) -> Value {
    json!({"type": "reminder", "id": id, "to": phone(0), "due": "2026-12-08", "before": ["7d", "3d", "1d", "0d"],
        "at": "00:05", "content": {"text": {"body": "Pay by 8 December"}}})
}

/// A reminder's messages, the earliest first.
async fn messages(ledger: &TestLedger, job: i64) -> Vec<MessageSummary> {
    let messages = ledger.store().messages_of_job(job, 0, 100).await;
    let mut messages = messages.unwrap_or_else(|error| panic!("the messages: {error}"));
    messages.sort_by_key(|message| message.due_at);
    messages
}

async fn states(ledger: &TestLedger, job: i64) -> Vec<MessageState> {
    messages(ledger, job).await.into_iter().map(|message| message.state).collect()
}

/// Waits until the states of a reminder's messages, the earliest first, fit.
async fn eventually_states(ledger: &TestLedger, job: i64, fit: impl Fn(&[MessageState]) -> bool) {
    eventually(WITHIN, async || {
        let states = states(ledger, job).await;
        if fit(&states) { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
}

fn with_provider(state: MessageState) -> bool {
    crate::support::WITH_PROVIDER.contains(&state)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_offset_is_planned_with_its_time_and_is_worth_sending_until_the_next() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let job = enqueue(&ledger, invoice("invoice-1")).await;
    ledger.store().plan_next().await.unwrap().unwrap();
    let ms = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_millis();
    let times: Vec<_> =
        messages(&ledger, job).await.into_iter().map(|one| (one.part, one.due_at, one.expires_at)).collect();
    let days = ["2026-12-01T00:05:00Z", "2026-12-05T00:05:00Z", "2026-12-07T00:05:00Z", "2026-12-08T00:05:00Z"].map(ms);
    let ends = Some(ms("2026-12-09T00:00:00Z"));
    let until = |index: usize| Some(days[index]);
    assert_eq!(times, [(7, days[0], until(1)), (3, days[1], until(2)), (1, days[2], until(3)), (0, days[3], ends)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_goes_when_its_time_comes_and_not_before() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let fleet = fleet(&ledger).await;
    let job = enqueue(&ledger, invoice("invoice-1")).await;
    eventually_states(&ledger, job, |states| states.len() == 4).await;
    let control = enqueue(&ledger, send("control", &phone(1))).await;
    eventually_states(&ledger, control, |states| states.iter().copied().all(with_provider) && !states.is_empty()).await;
    assert_eq!(states(&ledger, job).await, [MessageState::Queued; 4], "before its time");
    ledger.clock().advance_ms(5 * MINUTE_MS);
    eventually_states(&ledger, job, |states| with_provider(states[0])).await;
    assert_eq!(states(&ledger, job).await[1..], [MessageState::Queued; 3]);
    assert_each_accepted_once(&sandbox.arrivals(), 2);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_takes_back_what_has_not_left() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let fleet = fleet(&ledger).await;
    let job = enqueue(&ledger, invoice("invoice-1")).await;
    eventually_states(&ledger, job, |states| states.len() == 4).await;
    ledger.clock().advance_ms(5 * MINUTE_MS);
    eventually_states(&ledger, job, |states| with_provider(states[0])).await;
    let ended = ledger.store().cancel_reminder(DEFAULT_TENANT, "invoice-1", "paid").await.unwrap();
    assert_eq!(ended, 3);
    let messages = messages(&ledger, job).await;
    assert!(messages[1..].iter().all(|one| one.reason.as_deref() == Some("paid")), "{messages:?}");
    fleet.shutdown().await;
    // Nor does it leave once its time comes.
    ledger.clock().advance_ms(4 * DAY_MS);
    let fleet = self::fleet(&ledger).await;
    let control = enqueue(&ledger, send("control", &phone(1))).await;
    eventually_states(&ledger, control, |states| states.iter().copied().all(with_provider) && !states.is_empty()).await;
    assert_eq!(states(&ledger, job).await[1..], [MessageState::Cancelled; 3]);
    assert_each_accepted_once(&sandbox.arrivals(), 2);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_missed_by_downtime_only_the_latest_is_sent() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let job = enqueue(&ledger, invoice("invoice-1")).await;
    ledger.store().plan_next().await.unwrap().unwrap();
    // On 7 December: three offsets have passed without a fleet.
    ledger.clock().advance_ms(6 * DAY_MS + 60 * MINUTE_MS);
    let fleet = fleet(&ledger).await;
    eventually_states(&ledger, job, |states| {
        states[..2] == [MessageState::Expired; 2] && with_provider(states[2]) && states[3] == MessageState::Queued
    })
    .await;
    assert_each_accepted_once(&sandbox.arrivals(), 1);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_due_day_nothing_is_sent_any_more() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let job = enqueue(&ledger, invoice("invoice-1")).await;
    ledger.store().plan_next().await.unwrap().unwrap();
    ledger.clock().advance_ms(9 * DAY_MS);
    let fleet = fleet(&ledger).await;
    eventually_states(&ledger, job, |states| *states == [MessageState::Expired; 4]).await;
    assert_eq!(sandbox.counters().received, 0);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fleets_fire_each_tick_of_a_schedule_once() {
    let sandbox = sandbox::start(|_| {}).await;
    let ledger = ledger(&sandbox).await;
    let job = json!({"type": "send", "id": "rent", "to": phone(0), "content": {"text": {"body": "Rent"}}});
    let new = NewSchedule { cron: "*/2 * * * *", timezone: chrono_tz::UTC, job: &job, missed: Missed::default() };
    ledger.store().add_schedule(DEFAULT_TENANT, &new, Door::default()).await.unwrap();
    let fleets = [fleet(&ledger).await, fleet(&ledger).await];
    for (ticks, key) in [(1, "rent:20261201T0002"), (2, "rent:20261201T0004")] {
        ledger.clock().advance_ms(2 * MINUTE_MS);
        let job = eventually(WITHIN, async || ledger.store().job_id(DEFAULT_TENANT, key).await.unwrap()).await;
        eventually_states(&ledger, job, |states| states.iter().copied().all(with_provider) && !states.is_empty()).await;
        let jobs = ledger.store().jobs(DEFAULT_TENANT, "send", None, 10).await.unwrap();
        assert_eq!(jobs.len(), ticks, "{jobs:?}");
    }
    let schedule = ledger.store().schedules(DEFAULT_TENANT).await.unwrap().remove(0);
    assert_eq!(schedule.next_at, START_MS + 6 * MINUTE_MS);
    assert_eq!(sandbox.counters().received, 2);
    for fleet in fleets {
        fleet.shutdown().await;
    }
}
