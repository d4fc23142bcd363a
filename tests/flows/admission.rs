//! What other doors refuse at once becomes a dead letter where nobody waits for an answer: on the line of jobs, and at the
//! tick of a schedule. Nothing does for the sake of a ledger that is away for a moment.

use chrono_tz::Tz;
use kabar_domain::{job::Door, schedule::Missed};
use kabar_store::{DEFAULT_TENANT, DeadLetter, DeadLetterFilter, NewSchedule, Place, Store};
use kabar_tests::{FleetOptions, Home, TestFleet, eventually, guests::phone};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::support::{WITHIN, all_with_provider, send, with};

/// A template with one value, as the provider lists it.
fn template(home: &Home, status: &str) {
    let object = json!({"name": "news", "language": "id", "category": "UTILITY", "status": status,
        "components": [{"type": "BODY", "text": "Halo {{1}}"}]});
    home.write("news.json", &object.to_string());
}

async fn set_template(home: &Home, status: &str) {
    template(home, status);
    let _ = home.kabar(&["template", "add", "news.json"]).await.success();
}

/// A message with that template and these values.
fn news(id: &str, params: &[&str]) -> Value {
    with(send(id, &phone(0)), &[("content", json!({"template": {"name": "news", "language": "id", "params": params}}))])
}

async fn publish(store: &Store, jobs: &[Value]) {
    let bodies: Vec<String> = jobs.iter().map(Value::to_string).collect();
    store.put_items("jobs", &bodies).await.expect("the line takes jobs");
}

/// Waits until there are `count` dead letters.
async fn letters(store: &Store, count: usize) -> Vec<DeadLetter> {
    eventually(WITHIN, async || {
        let letters = store.dead_letters(DEFAULT_TENANT, &DeadLetterFilter::default(), 0, 100).await;
        let letters = letters.expect("the letters can be read");
        if letters.len() == count { Ok(letters) } else { Err(format!("{} letters", letters.len())) }
    })
    .await
}

/// Waits until the ledger has a job.
async fn job_id(store: &Store, key: &str) -> i64 {
    eventually(WITHIN, async || store.job_id(DEFAULT_TENANT, key).await.ok().flatten()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_line_that_is_not_admitted_is_a_dead_letter_until_its_cause_is_mended() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let (store, home) = (fleet.store(), Home::new().on_ledger(fleet.ledger()));
    set_template(&home, "PAUSED").await;
    let unknown = with(send("nobody", &phone(1)), &[("sender", json!("nobody"))]);
    publish(store, &[news("fits", &["Siti"]), unknown, news("misfit", &[]), send("plain", &phone(2))]).await;
    let plain = job_id(store, "plain").await;
    all_with_provider(&fleet, plain, 1).await;
    let found = letters(store, 3).await;
    for (key, words) in [("fits", "PAUSED"), ("nobody", "no sender"), ("misfit", "PAUSED")] {
        let letter = found.iter().find(|letter| letter.job_key.as_deref() == Some(key));
        let letter = letter.unwrap_or_else(|| panic!("no letter of {key}: {found:?}"));
        assert!(letter.reason.contains(words) && letter.body.contains(key), "{letter:?}");
    }
    let early = home.kabar(&["dead", "retry", "--job", "fits"]).await.code(1);
    assert!(early.stderr.contains("PAUSED"), "{early:?}");

    set_template(&home, "APPROVED").await;
    let _ = home.kabar(&["dead", "retry", "--job", "fits"]).await.success();
    let fits = job_id(store, "fits").await;
    all_with_provider(&fleet, fits, 1).await;
    let misfit = home.kabar(&["dead", "retry", "--job", "misfit"]).await.code(1);
    assert!(misfit.stderr.contains("news"), "{misfit:?}");
    letters(store, 2).await;

    // What came before is the same job, whatever has become of its template.
    set_template(&home, "PAUSED").await;
    publish(store, &[news("fits", &["Siti"]), send("after", &phone(3))]).await;
    job_id(store, "after").await;
    eventually(WITHIN, async || (store.items_ready("jobs").await.ok()? == 0).then_some(())).await;
    letters(store, 2).await;
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_template_is_paused_is_a_dead_letter() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let (store, home) = (fleet.store(), Home::new().on_ledger(fleet.ledger()));
    set_template(&home, "PAUSED").await;
    let job = news("rent", &["Siti"]);
    let new = NewSchedule { cron: "* * * * * *", timezone: Tz::UTC, job: &job, missed: Missed::default() };
    let schedule = store.add_schedule(DEFAULT_TENANT, &new, Door::default()).await.expect("it can be added").id;
    let letter = eventually(WITHIN, async || {
        let letters = store.dead_letters(DEFAULT_TENANT, &DeadLetterFilter::default(), 0, 1).await.ok()?;
        letters.into_iter().next()
    })
    .await;
    assert!(letter.reason.contains(&format!("schedule {schedule}")) && letter.reason.contains("PAUSED"), "{letter:?}");
    assert!(letter.job_key.as_deref().unwrap_or_default().starts_with("rent:"), "{letter:?}");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_in_its_line_while_the_ledger_cannot_answer() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let (store, home) = (fleet.store(), Home::new().on_ledger(fleet.ledger()));
    set_template(&home, "APPROVED").await;
    let Place::File(path) = fleet.ledger().direct_place() else { panic!("the ledger is a file") };
    let mut file = SqliteConnection::connect(&path.display().to_string()).await.expect("the file opens");
    let mut rename = async |from: &str, to: &str| {
        let statement = AssertSqlSafe(format!("alter table {from} rename to {to}"));
        let _ = sqlx::query(statement).execute(&mut file).await.expect("the table is renamed");
    };
    rename("templates", "templates_away").await;
    publish(store, &[send("before", &phone(1)), news("waits", &["Siti"])]).await;
    job_id(store, "before").await;
    eventually(WITHIN, async || (store.items_ready("jobs").await.ok()? > 0).then_some(())).await;
    rename("templates_away", "templates").await;
    let waits = job_id(store, "waits").await;
    all_with_provider(&fleet, waits, 1).await;
    letters(store, 0).await;
    fleet.shutdown().await;
}
