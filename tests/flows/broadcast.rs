//! A broadcast, from its job to what the provider saw.

use std::{collections::HashSet, time::Duration};

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_tests::{FleetOptions, TestFleet, sandbox};
use serde_json::Value;

use crate::support::broadcast;

#[tokio::test(flavor = "multi_thread")]
async fn every_recipient_gets_it_once_with_their_own_values() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let job = fleet.enqueue(broadcast("dep-1", 300)).await;
    let done = |counts: &kabar_domain::message::StateCounts| {
        counts.get(MessageState::Delivered) + counts.get(MessageState::Read) == 300
    };
    fleet.counts_where(job, Duration::from_secs(30), done).await;
    let arrivals = fleet.sandbox.arrivals();
    let to: HashSet<_> = arrivals.iter().map(|arrival| arrival.to.clone()).collect();
    assert_eq!((arrivals.len(), to.len()), (300, 300), "everybody once");
    for arrival in &arrivals {
        let body = arrival.body.as_ref().unwrap();
        let name = body.pointer("/template/components/0/parameters/0/text").and_then(Value::as_str).unwrap();
        assert!(name.starts_with("Guest "), "{body}");
    }
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_holds_more_than_the_rate() {
    let rate = Rate::per_second(50).unwrap();
    let fleet = TestFleet::start(FleetOptions { rate, ..FleetOptions::default() }, |_| {}).await;
    let job = fleet.enqueue(broadcast("dep-1", 150)).await;
    fleet.finished(job, Duration::from_secs(30)).await;
    sandbox::assert_pace(&fleet.sandbox, 50);
    fleet.shutdown().await;
}
