//! The real program: processes that share a ledger, die, stop and come back.

use std::time::Duration;

use kabar_sandbox::Sandbox;
use kabar_tests::{
    Home, KabarProcess, eventually,
    guests::{assert_each_accepted_once, csv, phone},
    sandbox,
};
use serde_json::Value;

use crate::support::WITHIN;

/// A home on this sandbox whose sender may send so many messages a second.
fn home(sandbox: &Sandbox, rate: u32) -> Home {
    Home::new().on_sandbox(sandbox).with("KABAR_PACE_DEFAULT_RATE", rate.to_string()).with("KABAR_LOG", "info")
}

/// A file with the first `count` guests.
fn guests(home: &Home, count: usize) {
    home.write("guests.csv", &csv(count));
}

/// `kabar broadcast start` of that file as `dep-1`.
const START: [&str; 11] = [
    "broadcast",
    "start",
    "--file",
    "guests.csv",
    "--template",
    "departure_reminder",
    "--language",
    "id",
    "--param",
    "{name}",
    "--id=dep-1",
];

async fn start_broadcast(home: &Home) {
    let started = home.kabar(&START).await.success();
    assert!(started.stdout.contains("dep-1"), "{started:?}");
}

/// A running fleet to which the sandbox reports.
async fn reported_fleet(home: &Home, sandbox: &Sandbox) -> KabarProcess {
    let fleet = home.fleet().await;
    sandbox::report_to(sandbox, fleet.address());
    fleet
}

async fn accepted(sandbox: &Sandbox, count: u64) {
    eventually(WITHIN, async || {
        let accepted = sandbox.counters().accepted;
        (accepted >= count).then_some(()).ok_or_else(|| format!("{accepted} of {count} accepted"))
    })
    .await;
}

async fn broadcast(home: &Home) -> Value {
    home.kabar(&["broadcast", "show", "dep-1", "--json"]).await.success().json()
}

async fn completed(home: &Home) -> Value {
    eventually(WITHIN, async || {
        let shown = broadcast(home).await;
        if shown["state"] == "completed" { Ok(shown) } else { Err(shown.to_string()) }
    })
    .await
}

/// How many messages the provider has, by what `broadcast show` says.
fn with_provider(shown: &Value) -> u64 {
    ["accepted", "sent", "delivered", "read"].iter().filter_map(|state| shown["counts"][*state].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_from_the_command_line_is_waited_for_and_told_of() {
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, 100);
    let fleet = reported_fleet(&home, &sandbox).await;
    let sent = home.kabar(&["send", "--to", &phone(0), "--text", "Halo", "--id", "hello", "--wait"]).await.success();
    assert!(sent.stdout.contains("hello"), "{sent:?}");
    let told = home.kabar(&["message", "show", "hello"]).await.success().stdout;
    assert!(told.contains(&phone(0)) && told.contains("default"), "{told}");
    eventually(WITHIN, async || {
        let shown = home.kabar(&["message", "show", "hello", "--json"]).await.success().json();
        let state = shown["state"].as_str().unwrap_or_default().to_owned();
        ["delivered", "read"].contains(&state.as_str()).then_some(()).ok_or(state)
    })
    .await;
    let status = home.kabar(&["status", "--json"]).await.success().json();
    assert_eq!(status["messages"].as_object().map(serde_json::Map::len), Some(14), "{status}");
    assert_eq!(status["senders"][0]["state"], "active", "{status}");
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(status["dead"], 0, "{status}");
    let refused = home.kabar(&["send", "--to", "+15550102", "--text", "Halo", "--wait"]).await.code(1);
    assert!(refused.stderr.contains("131047"), "{refused:?}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_of_a_file_is_waited_for_beside_a_running_fleet() {
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, 100);
    let fleet = reported_fleet(&home, &sandbox).await;
    guests(&home, 60);
    let arguments = [&START[..], &["--wait", "--json"]].concat();
    let done = home.kabar(&arguments).await.success().json();
    assert_eq!(done["id"], "dep-1", "{done}");
    assert_eq!(with_provider(&done), 60, "{done}");
    assert_each_accepted_once(&sandbox.arrivals(), 60);
    let again = home.kabar(&arguments).await.success().json();
    assert_eq!(with_provider(&again), 60, "the same broadcast again is the same broadcast: {again}");
    assert_eq!(sandbox.counters().received, 60);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_file_keep_one_pace_and_send_each_message_once() {
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, 60);
    let (mut first, mut second) = (home.start(&["run"]), home.start(&["run"]));
    first.ready().await;
    second.ready().await;
    sandbox::report_to(&sandbox, first.address());
    guests(&home, 200);
    start_broadcast(&home).await;
    // People look and write meanwhile.
    let urgent = ["send", "--to", &phone(900), "--text", "Halo", "--urgent", "--wait"];
    assert!(home.kabar(&urgent).await.success().stdout.contains("send-"));
    let status = home.kabar(&["status", "--json"]).await.success().json();
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(2), "{status}");
    let shown = completed(&home).await;
    assert_eq!(with_provider(&shown), 200, "{shown}");
    assert_each_accepted_once(&sandbox.arrivals(), 201);
    sandbox::assert_pace(&sandbox, 60);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_the_middle_loses_nothing_and_sends_nothing_twice() {
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, 50).with("KABAR_FLEET_LEASE", "4s").with("KABAR_DOUBT_GRACE", "3s");
    let fleet = reported_fleet(&home, &sandbox).await;
    let address = fleet.address().to_owned();
    guests(&home, 150);
    start_broadcast(&home).await;
    accepted(&sandbox, 40).await;
    fleet.kill().await;
    let mut again = home.start_at(&address, &["run"]);
    again.ready().await;
    let shown = completed(&home).await;
    assert_eq!(with_provider(&shown), 150, "{shown}");
    assert_each_accepted_once(&sandbox.arrivals(), 150);
    sandbox::assert_pace(&sandbox, 50);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_ends_well_and_gives_everything_back() {
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, 50).with("KABAR_FLEET_SHUTDOWN_DEADLINE", "20s");
    let mut fleet = reported_fleet(&home, &sandbox).await;
    guests(&home, 120);
    start_broadcast(&home).await;
    accepted(&sandbox, 20).await;
    fleet.signal("TERM").await;
    let status = fleet.wait(Duration::from_secs(25)).await;
    assert!(status.success(), "{status}\n{}", fleet.log());
    let shown = broadcast(&home).await;
    for state in ["claimed", "sending", "in_doubt", "unresolved"] {
        assert_eq!(shown["counts"][state], 0, "{shown}");
    }
    assert!(shown["counts"]["queued"].as_u64() > Some(0), "{shown}");
    assert_eq!(with_provider(&shown), sandbox.counters().received, "{shown}");
    let status = home.kabar(&["status", "--json"]).await.success().json();
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(0), "{status}");
    let again = reported_fleet(&home, &sandbox).await;
    completed(&home).await;
    assert_each_accepted_once(&sandbox.arrivals(), 120);
    again.stop().await;
}
