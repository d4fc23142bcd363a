//! The tables themselves: statements that fit them, migrations, and what is sealed in them.

use std::time::{Duration, Instant};

use kabar_store::{NewDeadLetter, NewRecipient, Place, Store, StoreError, StoreOptions, Topic};
use kabar_tests::{LedgerKind, TestLedger, Time, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    every_statement_fits_the_tables,
    migrating_again_changes_nothing,
    two_processes_may_migrate_at_once,
    tables_that_are_absent_are_noticed,
    contents_are_sealed_where_there_is_a_master_key,
    sealed_contents_need_their_key,
    text_with_a_nul_is_taken,
    other_processes_are_noticed,
);

async fn every_statement_fits_the_tables(ledger: TestLedger) {
    assert!(ledger.store().check_statements().await.unwrap() > 100);
}

async fn migrating_again_changes_nothing(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    store.migrate().await.unwrap();
    ledger.reopen().await.migrate().await.unwrap();
    assert_eq!(store.senders(TENANT).await.unwrap().len(), 1);
    store.check_migrated().await.unwrap();
}

async fn two_processes_may_migrate_at_once(ledger: TestLedger) {
    let place = match ledger.options().place.clone() {
        Place::File(path) => Place::File(path.with_file_name("other.db")),
        server @ Place::Postgres(_) => {
            raw_change(&ledger, "drop schema public cascade").await;
            raw_change(&ledger, "create schema public").await;
            server
        }
    };
    let options = StoreOptions { place, ..ledger.options().clone() };
    let (one, other) = (Store::open(&options).await.unwrap(), Store::open(&options).await.unwrap());
    let (first, second) = tokio::join!(one.migrate(), other.migrate());
    first.unwrap();
    second.unwrap();
    let sender = sender(&one, rate(20)).await;
    planned(&other, send("a", 1)).await;
    // Both have the one key that authenticates attempts.
    let sending = Courier::of(&one).await.send_one(&sender).await;
    assert_eq!(other.attempt_of(&sending.attempt.opaque), Some((sending.id, 1)));
}

async fn tables_that_are_absent_are_noticed(ledger: TestLedger) {
    raw_change(&ledger, "drop table _sqlx_migrations").await;
    let error = Store::open(ledger.options()).await.unwrap().check_migrated().await.unwrap_err();
    assert!(matches!(error, StoreError::NotMigrated), "{error}");
    assert!(error.to_string().contains("kabar migrate") && !error.is_passing());
}

async fn contents_are_sealed_where_there_is_a_master_key(ledger: TestLedger) {
    let store = sealed(&ledger).await;
    let sender = sender(&store, rate(20)).await;
    let recipients = json!([{"to": phone(1), "name": "Siti", "params": {"package": "Hemat"}}]);
    let job_id = planned(
        &store,
        with(
            broadcast("b", 0..0),
            json!({"audience": {"recipients": recipients},
            "content": template(json!(["{name}", "{package}", "rahasia"]))}),
        ),
    )
    .await;
    store.append_event(PROVIDER, "rahasia", None).await.unwrap();

    for (column, select) in [
        ("jobs.body", "select body from jobs"),
        ("audience.fields", "select fields from audience"),
        ("message_fields.fields", "select fields from message_fields"),
        ("events.body", "select body from events"),
        ("senders.credentials", "select credentials from senders"),
    ] {
        let texts = raw_texts(&ledger, select).await;
        assert_eq!(texts.len(), 1, "{column}");
        assert!(texts.iter().all(|text| text.starts_with("sealed:1:")), "{column} holds {texts:?}");
    }

    assert_eq!(store.job(job_id).await.unwrap().content().fields().len(), 2);
    let claimed = Courier::of(&store).await.claim(&sender).await;
    assert_eq!(claimed[0].fields.as_deref(), Some(r#"{"name":"Siti","package":"Hemat"}"#));
    assert_eq!(store.sender(TENANT, "default").await.unwrap().token(), "token-default");
    let read = |event: &kabar_store::NewEvent| match event.body.as_str() {
        "rahasia" => Ok(Vec::new()),
        other => Err(other.to_owned()),
    };
    let applied = store.apply_events(1, &policy(), read).await.unwrap();
    assert_eq!((applied.events, applied.unreadable), (1, 0));
}

async fn sealed_contents_need_their_key(ledger: TestLedger) {
    let store = sealed(&ledger).await;
    sender(&store, rate(20)).await;
    let job_id = enqueue(&store, send("a", 1)).await;
    assert!(matches!(ledger.store().job(job_id).await, Err(StoreError::Sealed)));
    let other = StoreOptions { master_key: Some([8; 32]), ..ledger.options().clone() };
    let other = Store::open(&other).await.unwrap();
    assert!(matches!(other.sender(TENANT, "default").await, Err(StoreError::Sealed)));
}

/// Postgres refuses NUL in any text and in JSON; one that came from outside must not stop what it came with.
async fn text_with_a_nul_is_taken(ledger: TestLedger) {
    let store = ledger.store();
    let fields = [("package".to_owned(), "He\0mat".to_owned())].into();
    let odd = NewRecipient { name: Some("Si\0ti".to_owned()), fields, ..NewRecipient::new(phone(1)) };
    store.import_recipients(TENANT, &[odd], Some("um\0roh")).await.unwrap();
    assert_eq!(store.recipient(TENANT, &phone(1)).await.unwrap().fields["package"], "He\u{fffd}mat");
    assert_eq!(store.groups(TENANT).await.unwrap()[0].name, "um\u{fffd}roh");
    store.put_items("jobs", &["a\0b".to_owned()]).await.unwrap();
    store
        .bury(TENANT, NewDeadLetter { line: "jobs", job_key: None, body: "a\0b", reason: "it holds \0" })
        .await
        .unwrap();
}

/// What a session was told is gone with the transaction, or another client's: that must not be a riddle.
#[tokio::test]
#[ignore = "needs PostgreSQL and PgBouncer: run tests/run"]
async fn a_pooler_that_the_settings_do_not_name_is_told_of() {
    let ledger = TestLedger::open(LedgerKind::Pooled, Time::System).await;
    let options = StoreOptions { pooler: false, ..ledger.options().clone() };
    let told = kabar_tests::eventually(Duration::from_secs(20), async || {
        // Opening may meet it, too.
        let (one, other) = match tokio::join!(Store::open(&options), Store::open(&options)) {
            (Ok(one), Ok(other)) => (one, other),
            (one, other) => return one.err().or(other.err()),
        };
        let results = tokio::join!(one.leases(), other.leases(), one.senders(TENANT), other.worker_lives("courier"));
        results.0.err().or(results.1.err()).or(results.2.err()).or(results.3.err())
    })
    .await;
    assert!(told.to_string().contains("ledger.pooler") && told.is_passing(), "{told}");
}

async fn other_processes_are_noticed(ledger: TestLedger) {
    const PLENTY: Duration = Duration::from_secs(20);
    let (store, other) = (ledger.store().clone(), ledger.reopen().await);
    sender(&other, rate(20)).await;
    let item = ["item".to_owned()];
    other.put_items("jobs", &item).await.unwrap();
    let noticing = tokio::spawn({
        let store = store.clone();
        async move { store.notice_other_processes(Duration::from_millis(5)).await }
    });
    let rung = async |topic: Topic| {
        let began = Instant::now();
        store.wake().wait(topic, PLENTY).await;
        assert!(began.elapsed() < PLENTY / 2, "{topic:?}");
    };
    // What was there at the first look counts as new.
    rung(Topic::IncomingJobs).await;
    other.put_items("jobs", &item).await.unwrap();
    rung(Topic::IncomingJobs).await;
    enqueue(&other, send("a", 1)).await;
    rung(Topic::Jobs).await;
    plan_all(&other).await;
    rung(Topic::Messages).await;
    other.append_event(PROVIDER, "{}", None).await.unwrap();
    rung(Topic::Events).await;
    noticing.abort();
}
