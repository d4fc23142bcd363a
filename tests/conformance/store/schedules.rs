//! Schedules: each tick once.

use chrono_tz::Tz;
use kabar_domain::{job::Door, message::MessageState, schedule::Missed};
use kabar_store::{DeadLetterFilter, NewSchedule, Schedule, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_tick_fires_once,
    a_tick_fires_once_whoever_tries,
    of_missed_ticks_the_latest_fires,
    schedules_are_kept_until_removed,
    what_cannot_be_scheduled_is_refused,
    a_tick_that_cannot_be_enqueued_is_a_dead_letter,
    a_tick_whose_job_was_refused_beforehand_is_a_dead_letter,
    missed_ticks_are_skipped_or_caught_up_with_as_the_schedule_says,
    a_paused_schedule_rests_and_goes_on_from_now,
    the_next_firings_are_told_by_the_clocks_of_the_zone,
);

const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Every day at nine in Jakarta, which is two o'clock UTC.
async fn daily(ledger: &TestLedger) -> Schedule {
    let mut job = send("rent", 1);
    job["id"] = json!("rent");
    let store = ledger.store();
    let new = NewSchedule { cron: "0 9 * * *", timezone: Tz::Asia__Jakarta, job: &job, missed: Missed::default() };
    store.add_schedule(TENANT, &new, Door::default()).await.unwrap()
}

/// The same, of which missed ticks end by `missed`.
async fn daily_with(ledger: &TestLedger, missed: &str) -> Schedule {
    let job = with(send("rent", 1), json!({"id": "rent"}));
    let missed = missed.parse().unwrap();
    let new = NewSchedule { cron: "0 9 * * *", timezone: Tz::Asia__Jakarta, job: &job, missed };
    ledger.store().add_schedule(TENANT, &new, Door::default()).await.unwrap()
}

/// Fires what is due until nothing is; the jobs' ids.
async fn fire_all(store: &kabar_store::Store) -> Vec<String> {
    let mut fired = Vec::new();
    loop {
        let due = store.due_schedules(store.now_ms(), 10).await.unwrap();
        if due.is_empty() {
            return fired;
        }
        for schedule in due {
            fired.extend(store.fire_schedule(&schedule, Door::default(), None).await.unwrap().map(|id| id.to_string()));
        }
    }
}

async fn missed_ticks_are_skipped_or_caught_up_with_as_the_schedule_says(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let skipping = daily_with(&ledger, "skip").await;
    ledger.clock().advance_ms(5 * DAY_MS);
    assert!(fire_all(store).await.is_empty(), "nobody was there at nine");
    ledger.clock().advance_ms(2 * HOUR_MS + MINUTE_MS);
    assert_eq!(fire_all(store).await, ["rent:20261206T0900"], "a minute late is in time");
    store.remove_schedule(TENANT, skipping.id).await.unwrap();

    let catching_up = daily_with(&ledger, "catch_up:3").await;
    assert_eq!(catching_up.missed.to_string(), "catch_up:3");
    ledger.clock().advance_ms(5 * DAY_MS);
    assert_eq!(fire_all(store).await, ["rent:20261209T0900", "rent:20261210T0900", "rent:20261211T0900"]);
    assert_eq!(plan_all(store).await, 4);
}

async fn a_paused_schedule_rests_and_goes_on_from_now(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let schedule = daily_with(&ledger, "catch_up:10").await;
    ledger.clock().advance_ms(2 * HOUR_MS);
    let due = store.due_schedules(store.now_ms(), 10).await.unwrap().remove(0);
    assert_eq!(
        (
            store.pause_schedule(TENANT, schedule.id).await.unwrap(),
            store.pause_schedule(TENANT, schedule.id).await.unwrap()
        ),
        (true, false)
    );
    assert_eq!(store.fire_schedule(&due, Door::default(), None).await.unwrap(), None, "the pause came first");
    ledger.clock().advance_ms(3 * DAY_MS);
    assert!(fire_all(store).await.is_empty());
    let paused = store.schedule(TENANT, schedule.id).await.unwrap();
    assert_eq!(paused.paused_at, Some(START_MS + 2 * HOUR_MS));
    assert!(
        store.resume_schedule(TENANT, schedule.id).await.unwrap()
            && !store.resume_schedule(TENANT, schedule.id).await.unwrap()
    );
    assert!(fire_all(store).await.is_empty(), "what fell due meanwhile never fires");
    ledger.clock().advance_ms(DAY_MS);
    assert_eq!(fire_all(store).await, ["rent:20261205T0900"]);
    assert!(matches!(store.pause_schedule(TENANT, 99).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.resume_schedule(TENANT, 99).await, Err(StoreError::NotFound { .. })));
}

async fn the_next_firings_are_told_by_the_clocks_of_the_zone(ledger: TestLedger) {
    let schedule = daily(&ledger).await;
    let next: Vec<_> = schedule.upcoming(10, START_MS).unwrap().iter().map(chrono::DateTime::to_rfc3339).collect();
    assert_eq!(
        (next.len(), next[0].as_str(), next[9].as_str()),
        (10, "2026-12-01T09:00:00+07:00", "2026-12-10T09:00:00+07:00")
    );
}

async fn a_tick_fires_once(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let schedule = daily(&ledger).await;
    assert_eq!((schedule.next_at, schedule.next_tick.as_str()), (START_MS + 2 * HOUR_MS, "20261201T0900"));
    assert!(store.due_schedules(store.now_ms(), 10).await.unwrap().is_empty());
    assert_eq!(store.fire_schedule(&schedule, Door::default(), None).await.unwrap(), None, "it is not due");

    ledger.clock().advance_ms(2 * HOUR_MS);
    let due = store.due_schedules(store.now_ms(), 10).await.unwrap();
    assert_eq!(due.len(), 1);
    let fired = store.fire_schedule(&due[0], Door::default(), None).await.unwrap().unwrap();
    assert_eq!(fired.as_str(), "rent:20261201T0900");
    assert_eq!(store.fire_schedule(&due[0], Door::default(), None).await.unwrap(), None);
    assert_eq!(store.schedule(TENANT, schedule.id).await.unwrap().next_at, START_MS + 26 * HOUR_MS);
    assert_eq!(plan_all(store).await, 1);
    let job_id = store.job_id(TENANT, fired.as_str()).await.unwrap().unwrap();
    assert_eq!(states(store, job_id).await, [MessageState::Queued]);
}

async fn a_tick_fires_once_whoever_tries(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    sender(&one, rate(20)).await;
    daily(&ledger).await;
    ledger.clock().advance_ms(2 * HOUR_MS);
    for _ in 0..10 {
        let due = one.due_schedules(one.now_ms(), 1).await.unwrap().remove(0);
        let (first, second) = tokio::join!(
            one.fire_schedule(&due, Door::default(), None),
            other.fire_schedule(&due, Door::default(), None)
        );
        assert!(first.unwrap().is_some() ^ second.unwrap().is_some());
        ledger.clock().advance_ms(DAY_MS);
    }
    assert_eq!(plan_all(&one).await, 10);
}

async fn of_missed_ticks_the_latest_fires(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    daily(&ledger).await;
    ledger.clock().advance_ms(5 * DAY_MS);
    let due = store.due_schedules(store.now_ms(), 10).await.unwrap().remove(0);
    let fired = store.fire_schedule(&due, Door::default(), None).await.unwrap().unwrap();
    assert_eq!(fired.as_str(), "rent:20261205T0900");
    assert!(store.due_schedules(store.now_ms(), 10).await.unwrap().is_empty());
    assert_eq!(plan_all(store).await, 1);
}

async fn schedules_are_kept_until_removed(ledger: TestLedger) {
    let store = ledger.store();
    let schedule = daily(&ledger).await;
    let other = daily(&ledger).await;
    assert_eq!(store.schedules(TENANT).await.unwrap(), [schedule.clone(), other]);
    assert_eq!(store.schedule(TENANT, schedule.id).await.unwrap(), schedule);
    assert!(store.remove_schedule(TENANT, schedule.id).await.unwrap());
    assert!(!store.remove_schedule(TENANT, schedule.id).await.unwrap());
    assert!(matches!(store.schedule(TENANT, schedule.id).await, Err(StoreError::NotFound { .. })));
    ledger.clock().advance_ms(DAY_MS);
    assert_eq!(
        store.fire_schedule(&schedule, Door::default(), None).await.unwrap(),
        None,
        "a removed one fires no more"
    );
}

async fn what_cannot_be_scheduled_is_refused(ledger: TestLedger) {
    let store = ledger.store();
    let add = async |cron: &str, job: serde_json::Value| {
        let error = store
            .add_schedule(
                TENANT,
                &NewSchedule { cron, timezone: Tz::UTC, job: &job, missed: Missed::Coalesce },
                Door::default(),
            )
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        error.to_string()
    };
    assert!(add("0 9 * *", send("a", 1)).await.contains("4 fields"));
    assert!(add("0 9 31 2 *", send("a", 1)).await.contains("never"));
    assert!(add("0 9 * * *", json!({"type": "sned"})).await.contains("sned"));
    assert!(store.schedules(TENANT).await.unwrap().is_empty());
}

async fn a_tick_that_cannot_be_enqueued_is_a_dead_letter(ledger: TestLedger) {
    let store = ledger.store();
    let schedule = daily(&ledger).await;
    ledger.clock().advance_ms(2 * HOUR_MS);
    assert_eq!(store.fire_schedule(&schedule, Door::default(), None).await.unwrap(), None, "there is no sender");
    let letters = store.dead_letters(TENANT, &DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].line.as_str()), (1, "jobs"));
    assert_eq!(letters[0].job_key.as_deref(), Some("rent:20261201T0900"));
    assert!(letters[0].reason.contains("\"default\"") && letters[0].body.contains("rent:20261201T0900"));
    assert!(store.due_schedules(store.now_ms(), 10).await.unwrap().is_empty(), "it goes on to the next tick");
}

async fn a_tick_whose_job_was_refused_beforehand_is_a_dead_letter(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let schedule = daily(&ledger).await;
    ledger.clock().advance_ms(2 * HOUR_MS);
    assert_eq!(schedule.next_job(Door::default()).unwrap().id().as_str(), "rent:20261201T0900");
    let fired = store.fire_schedule(&schedule, Door::default(), Some("its template is gone")).await.unwrap();
    assert_eq!((fired, plan_all(store).await), (None, 0));
    let letters = store.dead_letters(TENANT, &DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(letters[0].reason, format!("schedule {}: its template is gone", schedule.id));
    let again = store.fire_schedule(&schedule, Door::default(), Some("its template is gone")).await.unwrap();
    assert_eq!((again, store.count_dead_letters(TENANT).await.unwrap()), (None, 1), "a tick dies once");
}
