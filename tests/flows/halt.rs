//! The provider refuses the sender itself: it is asked once, everything is kept, and a person is told what to do.

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_sandbox::Faults;
use kabar_store::{DEFAULT_TENANT, SenderChange};
use kabar_tests::{FleetOptions, Home, TestFleet, fleet::SENDER, guests::assert_each_accepted_once};

use crate::support::{WITHIN, all_with_provider, broadcast, sender_is};

const RIGHT_TOKEN: &str = "the-right-token";

async fn with_a_wrong_token() -> TestFleet {
    let options = FleetOptions { rate: Rate::per_second(20).unwrap_or(Rate::Unlimited), ..FleetOptions::default() };
    TestFleet::start(options, |config| config.access_tokens = vec![RIGHT_TOKEN.to_owned()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_tried_once_and_not_with_every_message() {
    let fleet = with_a_wrong_token().await;
    let job = fleet.enqueue(broadcast("dep-1", 50)).await;
    let halted = sender_is(fleet.store(), SENDER, "halted").await;
    assert!(halted.reason.as_deref().unwrap_or_default().contains("token"), "{halted:?}");
    let kept = |counts: &kabar_domain::message::StateCounts| counts.get(MessageState::Queued) == 50;
    fleet.counts_where(job, WITHIN, kept).await;
    // One a slot apart may have been on its way.
    let received = fleet.sandbox.counters().received;
    assert!(received <= 3, "the provider was asked {received} times");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_that_a_sender_is_halted_and_what_to_do() {
    let fleet = with_a_wrong_token().await;
    fleet.enqueue(broadcast("dep-1", 5)).await;
    sender_is(fleet.store(), SENDER, "halted").await;
    let home = Home::new().on_ledger(fleet.ledger());
    let shown = home.kabar(&["sender", "show", SENDER]).await.success().stdout;
    assert!(shown.contains("halted") && shown.contains("token") && shown.contains("resume"), "{shown}");
    let status = home.kabar(&["status"]).await.success().stdout;
    assert!(status.contains("halted") && status.contains("token"), "{status}");
    let status = home.kabar(&["status", "--json"]).await.success().json();
    assert_eq!(status.pointer("/senders/0/state").and_then(|state| state.as_str()), Some("halted"), "{status}");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_token_and_a_resume_everything_goes_at_once() {
    let fleet = with_a_wrong_token().await;
    let job = fleet.enqueue(broadcast("dep-1", 30)).await;
    sender_is(fleet.store(), SENDER, "halted").await;
    let change = SenderChange { access_token: Some(RIGHT_TOKEN.to_owned()), ..SenderChange::default() };
    fleet.store().change_sender(DEFAULT_TENANT, SENDER, &change).await.unwrap();
    fleet.store().resume_sender(DEFAULT_TENANT, SENDER).await.unwrap();
    all_with_provider(&fleet, job, 30).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 30);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_the_middle_loses_nothing() {
    let options = FleetOptions { rate: Rate::per_second(100).unwrap(), ..FleetOptions::default() };
    let fleet = TestFleet::start(options, |config| {
        config.faults = Faults { token_expires_after: Some(30), ..Faults::default() };
    })
    .await;
    let job = fleet.enqueue(broadcast("dep-1", 80)).await;
    sender_is(fleet.store(), SENDER, "halted").await;
    let counters = fleet.sandbox.counters();
    assert_eq!(counters.accepted, 30, "{counters:?}");
    // What was within its slot already when the first refusal came.
    assert!(counters.received <= 30 + 10, "{counters:?}");
    fleet.sandbox.set_faults(Faults::default());
    fleet.store().resume_sender(DEFAULT_TENANT, SENDER).await.unwrap();
    all_with_provider(&fleet, job, 80).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 80);
    fleet.shutdown().await;
}
