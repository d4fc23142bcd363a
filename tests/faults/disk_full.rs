//! The ledger's disk is full: the fleet stands still and says why; once there is room it goes on as if nothing had been.

use std::time::Duration;

use kabar_tests::{
    Home, eventually,
    guests::{assert_each_accepted_once, csv},
    http, sandbox,
};

const WITHIN: Duration = Duration::from_secs(60);

/// Room for the tables and a part of the broadcast's writes: the write-ahead log is put back only at four times this.
const ROOM_BYTES: u64 = 1_048_576;

const GUESTS: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_stands_still_on_a_full_disk_and_ends_with_everybody_once() {
    let sandbox = sandbox::start(|_| {}).await;
    // A process whose lease ends stops, so that another may take its place; here it shall live to see room again.
    let home = Home::new().on_sandbox(&sandbox).with("KABAR_FLEET_LEASE", "5m").with("KABAR_PACE_DEFAULT_RATE", "100");
    home.write("guests.csv", &csv(GUESTS));
    assert!(home.kabar(&["status"]).await.success().stdout.contains("default"));
    let mut fleet = home.start_with_file_limit(ROOM_BYTES, &["run"]);
    fleet.ready().await;
    sandbox::report_to(&sandbox, fleet.address());
    let start = ["broadcast", "start", "--file", "guests.csv", "--template", "news", "--language", "id", "--id=dep-1"];
    assert!(home.kabar(&start).await.success().stdout.contains("dep-1"));

    fleet.logged("could not be written").await;
    assert!(fleet.ended().is_none(), "the process ended:\n{}", fleet.log());
    assert_eq!(http::get(fleet.address(), "/healthz").await.unwrap().status, 200);
    assert!((sandbox.counters().accepted as usize) < GUESTS, "the disk was not full in time");
    let state = async || home.kabar(&["broadcast", "show", "dep-1", "--json"]).await.success().json()["state"].clone();
    assert_eq!(state().await, "running");

    fleet.lift_file_limit().await;
    eventually(WITHIN, async || {
        let state = state().await;
        if state == "completed" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    assert_each_accepted_once(&sandbox.arrivals(), GUESTS);
    assert!(!fleet.log().contains("panicked"), "{}", fleet.log());
    fleet.stop().await;
}
