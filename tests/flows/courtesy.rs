//! Consent, quiet hours and frequency caps as settings of a fleet, and groups, on the command line beside it.

use chrono::{Duration, Utc};
use kabar_domain::message::MessageState;
use kabar_tests::{FleetOptions, Home, LedgerKind, TestFleet, TestLedger, Time, guests::phone};
use serde_json::json;

use crate::support::{WITHIN, all_with_provider, broadcast, send};

/// From an hour ago to an hour from now, in UTC.
fn now_is_quiet() -> String {
    let time = |hours| (Utc::now() + Duration::hours(hours)).format("%H:%M").to_string();
    format!("{}-{}", time(-1), time(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_marketing_back_and_nothing_else() {
    let quiet = now_is_quiet();
    let settings = vec![("quiet_hours.marketing", quiet.clone())];
    let fleet = TestFleet::start(FleetOptions { settings, ..FleetOptions::default() }, |_| {}).await;
    let home = Home::new().on_ledger(fleet.ledger()).with("KABAR_QUIET_HOURS_MARKETING", quiet);
    // Where it is half a day earlier or later, nobody sleeps now.
    let file = home
        .write("people.csv", &format!("phone,name,timezone\n{},Tamu,Etc/GMT+12\n{},Tamu,UTC\n", phone(0), phone(1)));
    let _ = home.kabar(&["recipient", "import", file, "--group", "both"]).await.success();
    let start = [
        "broadcast",
        "start",
        "--group",
        "both",
        "--template",
        "departure_reminder",
        "--language",
        "id",
        "--param",
        "{name}",
        "--param",
        "x",
        "--id",
        "offer",
    ];
    let preview = home.kabar(&[&start[..], &["--dry-run", "--json"]].concat()).await.success().json();
    assert_eq!((&preview["to_send"], &preview["after_quiet_hours"]), (&json!(2), &json!(1)), "{preview}");
    let _ = home.kabar(&start).await.success();
    let job = fleet.store().job_id(kabar_store::DEFAULT_TENANT, "offer").await.unwrap().unwrap();
    all_with_provider(&fleet, job, 1).await;
    let waiting = fleet.store().messages_of_job(job, 0, 10).await.unwrap();
    let waiting = waiting.iter().find(|message| message.state == MessageState::Queued).unwrap();
    assert_eq!(waiting.phone.as_str(), phone(1));
    let shown = home.kabar(&["message", "show", &waiting.id.to_string()]).await.success().stdout;
    assert!(shown.contains("quiet hours of the person until"), "{shown}");
    let answer = fleet.enqueue(send("answer", &phone(1))).await;
    all_with_provider(&fleet, answer, 1).await;
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_and_a_consent_leave_people_out_and_the_preview_says_so() {
    let settings =
        vec![("frequency_caps.marketing", "1/7d".to_owned()), ("people.marketing_needs_consent", "true".to_owned())];
    let fleet = TestFleet::start(FleetOptions { settings, ..FleetOptions::default() }, |_| {}).await;
    let home = Home::new()
        .on_ledger(fleet.ledger())
        .with("KABAR_FREQUENCY_CAPS_MARKETING", "1/7d")
        .with("KABAR_PEOPLE_MARKETING_NEEDS_CONSENT", "true");
    let file = home.write("people.csv", &format!("phone,name\n{},Tamu\n", phone(0)));
    let _ = home.kabar(&["recipient", "import", file, "--consent", "signed up at the fair"]).await.success();
    let first = fleet.enqueue(broadcast("first", 2)).await;
    let counts = fleet.finished(first, WITHIN).await;
    assert_eq!(counts.get(MessageState::Skipped), 1);
    let all = home.write("all.csv", &format!("phone,name\n{},Tamu\n{},Tamu\n", phone(0), phone(1)));
    let start = [
        "broadcast",
        "start",
        "--file",
        all,
        "--template",
        "departure_reminder",
        "--language",
        "id",
        "--param",
        "{name}",
        "--param",
        "x",
        "--id",
        "second",
    ];
    let preview = home.kabar(&[&start[..], &["--dry-run"]].concat()).await.success().stdout;
    assert!(preview.contains("over the cap") && preview.contains("no consent"), "{preview}");
    let _ = home.kabar(&start).await.success();
    let second = fleet.store().job_id(kabar_store::DEFAULT_TENANT, "second").await.unwrap().unwrap();
    fleet.finished(second, WITHIN).await;
    let messages = fleet.store().messages_of_job(second, 0, 10).await.unwrap();
    let mut reasons: Vec<_> = messages.iter().map(|message| message.reason.clone().unwrap_or_default()).collect();
    reasons.sort();
    assert_eq!(reasons, ["frequency_cap", "no_consent"]);
    let shown = home.kabar(&["message", "show", &messages[0].id.to_string()]).await.success().stdout;
    assert!(shown.contains("frequency cap") || shown.contains("agreed to it"), "{shown}");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_kept_by_file_and_by_hand() {
    let ledger = TestLedger::open(LedgerKind::Sqlite, Time::System).await;
    let home = Home::new().on_ledger(&ledger);
    let file = format!("phone,name\n{},Siti\n{},Budi\nnobody,X\n", phone(0), phone(1));
    let file = home.write("people.csv", &file);
    let import = ["recipient", "import", file, "--group", "umroh"];
    let told = home.kabar(&import).await.success();
    assert!(told.stdout.contains("2 new, 0 changed, 0 as they were"), "{told:?}");
    assert!(told.stderr.contains("line 4: phone \"nobody\""), "{told:?}");
    let again = home.kabar(&[&import[..], &["--json"]].concat()).await.success().json();
    assert_eq!(
        (&again["new"], &again["changed"], &again["unchanged"], &again["bad"]),
        (&json!(0), &json!(0), &json!(2), &json!(1))
    );

    let told = home.kabar(&["group", "add", "umroh", &phone(1), &phone(2)]).await.success().stdout;
    assert!(told.contains("1 came into group umroh; 1 were in it before"), "{told}");
    let replaced = home.kabar(&[&import[..], &["--replace", "--json"]].concat()).await.success().json();
    assert_eq!((&replaced["left"], &replaced["joined"]), (&json!(1), &json!(0)), "{replaced}");
    let told = home.kabar(&["group", "remove", "umroh", &phone(0), &phone(9)]).await.success().stdout;
    assert!(told.contains("1 left group umroh"), "{told}");
    let shown = home.kabar(&["group", "show", "umroh", "--json"]).await.success().json();
    assert_eq!(shown["recipients"].as_array().map(Vec::len), Some(1), "{shown}");
    let refused = home.kabar(&["group", "remove", "none", &phone(0)]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("no group"), "{refused:?}");
    let refused = home.kabar(&["group", "add", "umroh", "nobody"]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("nobody"), "{refused:?}");
    let file = home.write("bad.csv", &format!("phone,timezone\n{},WIB\n{},Asia/Jakarta\n", phone(3), phone(4)));
    let told = home.kabar(&["recipient", "import", file]).await.success();
    assert!(told.stderr.contains("line 2: timezone \"WIB\" is no time zone"), "{told:?}");
    let shown = home.kabar(&["recipient", "show", &phone(4)]).await.success().stdout;
    assert!(shown.contains("Asia/Jakarta"), "{shown}");
}
