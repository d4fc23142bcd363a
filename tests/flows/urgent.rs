//! Who goes first, and what a person may still stop.

use kabar_domain::{
    message::{MessageState, StateCounts},
    pace::Rate,
};
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{
    FleetOptions, Home, TestFleet,
    fleet::SENDER,
    guests::{assert_each_accepted_once, digits, phone, recipients},
};
use serde_json::json;

use crate::support::{WITHIN, all_with_provider, asked_for, broadcast, received, send, with};

async fn fleet(per_second: u32) -> TestFleet {
    let rate = Rate::per_second(per_second).unwrap_or(Rate::Unlimited);
    TestFleet::start(FleetOptions { rate, ..FleetOptions::default() }, |_| {}).await
}

/// How many messages have been started so far, if they were planned: neither waiting nor taken back.
fn started(counts: &StateCounts) -> u64 {
    let left = [MessageState::Queued, MessageState::Claimed, MessageState::Cancelled];
    counts.total() - left.iter().map(|state| counts.get(*state)).sum::<u64>()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_urgent_message_overtakes_a_broadcast() {
    let fleet = fleet(100).await;
    fleet.enqueue(broadcast("dep-1", 600)).await;
    received(&fleet, 20).await;
    let urgent = with(send("urgent", &phone(900)), &[("priority", json!("urgent"))]);
    let urgent = fleet.enqueue(urgent).await;
    all_with_provider(&fleet, urgent, 1).await;
    let place = fleet.sandbox.arrivals().iter().position(|arrival| arrival.to == digits(900)).unwrap();
    // What couriers hold goes before it: the two seconds that tickets reach, and what left meanwhile.
    assert!(place < 400, "{place} messages went first");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_broadcasts_go_on_side_by_side() {
    let fleet = fleet(100).await;
    fleet.store().pause_sender(DEFAULT_TENANT, SENDER, "until both are there").await.unwrap();
    let first = fleet.enqueue(broadcast("dep-1", 150)).await;
    let people: Vec<_> = recipients(0..300).split_off(150);
    let second = with(broadcast("dep-2", 1), &[("audience", json!({"recipients": people}))]);
    let second = fleet.enqueue(second).await;
    for job in [first, second] {
        fleet.counts_where(job, WITHIN, |counts| counts.get(MessageState::Queued) == 150).await;
    }
    fleet.store().resume_sender(DEFAULT_TENANT, SENDER).await.unwrap();
    received(&fleet, 100).await;
    let arrivals = fleet.sandbox.arrivals();
    let of_first = (0..150).filter(|index| asked_for(&arrivals[..100], *index) > 0).count();
    assert!((25..=75).contains(&of_first), "{of_first} of the first 100 are of the first broadcast");
    for job in [first, second] {
        all_with_provider(&fleet, job, 150).await;
    }
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 300);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_of_a_paused_broadcast_and_all_of_a_resumed_one() {
    let fleet = fleet(100).await;
    let job = fleet.enqueue(broadcast("dep-1", 200)).await;
    received(&fleet, 30).await;
    fleet.store().pause_broadcast(DEFAULT_TENANT, "dep-1").await.unwrap();
    let may_leave = started(&fleet.store().job_counts(job).await.unwrap());
    // A message outside of it shows that the fleet goes on.
    let control = fleet.enqueue(send("control", &phone(900))).await;
    all_with_provider(&fleet, control, 1).await;
    fleet.counts_where(job, WITHIN, |counts| counts.get(MessageState::Sending) == 0).await;
    let left = fleet.sandbox.counters().received - 1;
    assert!(left <= may_leave, "{left} left, though {may_leave} had been started");
    assert_eq!(fleet.store().broadcast(DEFAULT_TENANT, "dep-1").await.unwrap().state.as_str(), "paused");
    fleet.store().resume_broadcast(DEFAULT_TENANT, "dep-1").await.unwrap();
    all_with_provider(&fleet, job, 200).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 201);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_of_a_broadcast_once_its_cancellation_is_committed() {
    let fleet = fleet(100).await;
    let job = fleet.enqueue(broadcast("dep-1", 300)).await;
    received(&fleet, 30).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let said = home.kabar(&["broadcast", "cancel", "dep-1"]).await.success().stdout;
    assert!(said.contains("cancelled"), "{said}");
    let counts = fleet.store().job_counts(job).await.unwrap();
    assert_eq!((counts.get(MessageState::Queued), counts.get(MessageState::Claimed)), (0, 0), "{counts:?}");
    let may_leave = started(&counts);
    let control = fleet.enqueue(send("control", &phone(900))).await;
    all_with_provider(&fleet, control, 1).await;
    let counts = fleet.finished(job, WITHIN).await;
    let left = fleet.sandbox.counters().received - 1;
    assert!(left <= may_leave, "{left} left, though {may_leave} had been started");
    assert_eq!(left + counts.get(MessageState::Cancelled), 300, "{counts:?}");
    let shown = home.kabar(&["broadcast", "show", "dep-1", "--json"]).await.success().json();
    assert_eq!(shown["state"], "cancelled", "{shown}");
    fleet.shutdown().await;
}
