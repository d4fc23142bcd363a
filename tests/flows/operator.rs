//! What a person does about what waits for them, by the command line beside a fleet.

use kabar_domain::message::MessageState;
use kabar_sandbox::Faults;
use kabar_store::{DEFAULT_TENANT, NewDeadLetter};
use kabar_tests::{FleetOptions, Home, LedgerKind, TestFleet, TestLedger, Time, guests::phone, sandbox};
use serde_json::Value;

use crate::support::{WITHIN, broadcast, send};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unresolved_is_pointed_to_listed_explained_and_settled() {
    let options = FleetOptions {
        settings: vec![("doubt.grace", "200ms".to_owned())],
        receipts: false,
        ..FleetOptions::default()
    };
    let faults = Faults { drop_after_accept_share: 1.0, ..Faults::default() };
    let fleet = TestFleet::start(options, |config| config.faults = faults).await;
    let job = fleet.enqueue(broadcast("dep-1", 3)).await;
    fleet.counts_where(job, WITHIN, |counts| counts.get(MessageState::Unresolved) == 3).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let pointer = "`kabar message list --state unresolved";
    let status = home.kabar(&["status"]).await.success().stdout;
    assert!(status.contains(&format!("3 wait for a person ({pointer}`)")), "{status}");
    let shown = home.kabar(&["broadcast", "show", "dep-1"]).await.success().stdout;
    assert!(shown.contains(&format!("{pointer} --job dep-1`")), "{shown}");
    let doctor = home.kabar(&["doctor"]).await;
    assert!(doctor.stdout.contains(&format!("3 messages perhaps sent: {pointer}`")), "{doctor:?}");

    let list = async |more: &[&str]| {
        let arguments = [&["message", "list", "--state", "unresolved", "--json"], more].concat();
        home.kabar(&arguments).await.success().json().as_array().cloned().unwrap_or_default()
    };
    let listed = list(&["--broadcast", "dep-1", "--sender", "default"]).await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    let first = home.kabar(&["message", "list", "--state", "unresolved", "--limit", "2"]).await.success();
    let cursor = first.stderr.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert_eq!(list(&["--after", &cursor]).await.len(), 1, "{first:?}");
    for (wrong, told) in
        [(["--job", "none"], "no job"), (["--sender", "none"], "no sender"), (["--state", "lost"], "unresolved")]
    {
        let refused = home.kabar(&[&["message", "list"], &wrong[..]].concat()).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(told), "{refused:?}");
    }

    let id = listed[0]["id"].to_string();
    let story = home.kabar(&["message", "show", &id]).await.success().stdout;
    for told in [
        "unresolved: it was perhaps sent; a person must find out",
        &format!("kabar message resolve {id} --sent"),
        "attempt 1 got no clear answer",
    ] {
        assert!(story.contains(told), "{told}\n{story}");
    }
    let _ = home.kabar(&["message", "resolve", &id, "--sent"]).await.success();
    fleet.sandbox.set_faults(Faults::default());
    let other = listed[1]["id"].to_string();
    let _ = home.kabar(&["message", "resolve", &other, "--resend"]).await.success();
    fleet.counts_where(job, WITHIN, |counts| counts.get(MessageState::Accepted) == 2).await;
    let story = home.kabar(&["message", "show", &other]).await.success().stdout;
    assert!(story.contains("sent again: a person says that it did not arrive"), "{story}");
    assert_eq!(list(&[]).await.len(), 1);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_put_back_by_their_reason_and_dropped_on_purpose_alone() {
    let ledger = TestLedger::open(LedgerKind::Sqlite, Time::System).await;
    let store = ledger.store();
    let bury = async |job_key: Option<&str>, body: Value, reason: &str| {
        let body = body.to_string();
        let letter = NewDeadLetter { line: "jobs", job_key, body: &body, reason };
        store.bury(DEFAULT_TENANT, letter).await.unwrap().to_string()
    };
    let named = bury(Some("invoice-1"), send("invoice-1", &phone(0)), "there is no sender \"default\"").await;
    let mut nameless = send("x", &phone(1));
    nameless.as_object_mut().unwrap().remove("id");
    let nameless = bury(None, nameless, "no sender, and no id either").await;
    let broken = bury(None, Value::Null, "job: must be a JSON object").await;
    let sandbox = sandbox::start(|_| {}).await;
    let home = Home::new().on_ledger(&ledger);
    let listed = async |more: &[&str]| {
        let arguments = [&["dead", "list", "--json"], more].concat();
        let letters = home.kabar(&arguments).await.success().json();
        letters.as_array().unwrap().iter().map(|letter| letter["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--reason", "NO SENDER"]).await, [named.clone(), nameless.clone()]);
    assert_eq!(listed(&["--job", "invoice-1"]).await, std::slice::from_ref(&named));
    assert_eq!(home.kabar(&["dead", "retry"]).await.code, Some(2), "all is not what nobody asked for");
    let early = home.kabar(&["dead", "retry", "--reason", "no sender"]).await.code(1);
    assert!(early.stderr.contains("sender"), "{early:?}");
    assert_eq!(listed(&[]).await.len(), 3, "they stay while their cause does");

    let home = home.on_sandbox(&sandbox);
    let retried = home.kabar(&["dead", "retry", "--reason", "no sender", "--json"]).await.success().json();
    assert_eq!(retried[0]["job"], "invoice-1", "{retried}");
    assert_eq!(retried[1]["job"], format!("dead-{nameless}"), "what had no id is known by its letter");
    let listed = async |more: &[&str]| {
        let arguments = [&["dead", "list", "--json"], more].concat();
        home.kabar(&arguments).await.success().json().as_array().map(Vec::len)
    };
    assert_eq!(listed(&[]).await, Some(1));
    assert_eq!(store.jobs(DEFAULT_TENANT, "send", None, 9).await.unwrap().len(), 2);

    let second = bury(None, Value::Null, "job: must be a JSON object").await;
    let unsure = home.kabar(&["dead", "drop", "--line", "jobs"]).await.code(1);
    assert!(unsure.stderr.contains("2 dead letters") && unsure.stderr.contains("--yes"), "{unsure:?}");
    assert_eq!(home.kabar(&["dead", "drop", &broken, &second]).await.code, Some(1));
    assert_eq!(listed(&[]).await, Some(2));
    let _ = home.kabar(&["dead", "drop", &broken]).await.success();
    let _ = home.kabar(&["dead", "drop", "--line", "jobs", "--yes"]).await.success();
    assert_eq!(listed(&[]).await, Some(0));
    sandbox.shutdown().await;
}
