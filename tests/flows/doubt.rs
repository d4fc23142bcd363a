//! Nobody knows whether a message left: evidence settles it, then its policy, and nothing is sent twice.

use std::time::Duration;

use kabar_domain::message::MessageState;
use kabar_sandbox::Faults;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{
    FleetOptions, TestFleet,
    guests::{accepted, assert_each_accepted_once, digits, phone},
};
use serde_json::json;

use crate::support::{self, WITH_PROVIDER, all_with_provider, asked_for, broadcast, message_is, send, with};

/// The provider takes every message over and never says so.
fn dropped_after() -> Faults {
    Faults { drop_after_accept_share: 1.0, ..Faults::default() }
}

/// The provider gets no message, which looks just the same from here.
fn dropped_before() -> Faults {
    Faults { drop_before_accept_share: 1.0, ..Faults::default() }
}

async fn fleet(grace: &str, receipts: bool, faults: Faults) -> TestFleet {
    let settings = vec![("doubt.grace", grace.to_owned()), ("courier.park_first", "100ms".to_owned())];
    let options = FleetOptions { settings, receipts, ..FleetOptions::default() };
    TestFleet::start(options, |config| config.faults = faults).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_settles_what_the_answer_left_open() {
    let fleet = fleet("10m", true, dropped_after()).await;
    let job = fleet.enqueue(broadcast("dep-1", 20)).await;
    all_with_provider(&fleet, job, 20).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 20);
    assert_eq!(fleet.sandbox.counters().received, 20, "nothing was asked again");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_never_got_is_sent_again_once_later_receipts_prove_it() {
    let fleet = fleet("6s", true, dropped_before()).await;
    let lost = fleet.enqueue(send("lost", &phone(0))).await;
    message_is(&fleet, lost, &[MessageState::InDoubt]).await;
    fleet.sandbox.set_faults(Faults::default());
    support::later().await;
    let later = fleet.enqueue(send("later", &phone(1))).await;
    message_is(&fleet, later, &[MessageState::Delivered, MessageState::Read]).await;
    let story = message_is(&fleet, lost, &WITH_PROVIDER).await;
    assert_eq!(story.attempts.len(), 2, "{story:?}");
    assert_eq!(story.attempts[0].outcome.as_deref(), Some("absent"), "{story:?}");
    let arrivals = fleet.sandbox.arrivals();
    assert_each_accepted_once(&arrivals, 2);
    assert_eq!(asked_for(&arrivals, 0), 2);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_hold_a_person_decides_whatever_receipts_say() {
    let fleet = fleet("1s", true, dropped_before()).await;
    let mut doubtful = Vec::new();
    for (index, id) in ["was-sent", "was-not"].into_iter().enumerate() {
        let job = with(send(id, &phone(index)), &[("on_doubt", json!("hold"))]);
        doubtful.push(fleet.enqueue(job).await);
    }
    for job in &doubtful {
        message_is(&fleet, *job, &[MessageState::InDoubt]).await;
    }
    fleet.sandbox.set_faults(Faults::default());
    let later = fleet.enqueue(send("later", &phone(2))).await;
    message_is(&fleet, later, &[MessageState::Delivered, MessageState::Read]).await;
    for (job, was_sent) in doubtful.iter().zip([true, false]) {
        let story = message_is(&fleet, *job, &[MessageState::Unresolved]).await;
        assert!(story.next.contains("resolve"), "{story:?}");
        fleet.store().resolve_message(DEFAULT_TENANT, story.id, was_sent).await.unwrap();
    }
    for job in &doubtful {
        message_is(&fleet, *job, &WITH_PROVIDER).await;
    }
    let arrivals = fleet.sandbox.arrivals();
    let accepted = accepted(&arrivals);
    assert_eq!((accepted.get(&digits(0)), accepted.get(&digits(1))), (None, Some(&1)), "{accepted:?}");
    assert_eq!((asked_for(&arrivals, 0), asked_for(&arrivals, 1)), (1, 2));
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_resend_it_goes_again_without_evidence() {
    let fleet = fleet("200ms", false, dropped_before()).await;
    let job = fleet.enqueue(with(send("lost", &phone(0)), &[("on_doubt", json!("resend"))])).await;
    message_is(&fleet, job, &[MessageState::InDoubt]).await;
    fleet.sandbox.set_faults(Faults::default());
    message_is(&fleet, job, &[MessageState::Accepted]).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 1);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_receipts_doubt_is_left_to_a_person_and_nothing_is_sent_blindly() {
    let fleet = fleet("200ms", false, dropped_after()).await;
    let job = fleet.enqueue(broadcast("dep-1", 3)).await;
    let unresolved = |counts: &kabar_domain::message::StateCounts| counts.get(MessageState::Unresolved) == 3;
    fleet.counts_where(job, crate::support::WITHIN, unresolved).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 3);
    assert_eq!(fleet.sandbox.counters().received, 3);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_times_out_is_in_doubt_and_not_sent_again() {
    let faults = Faults { latency: Duration::from_secs(20), ..Faults::default() };
    let settings = [("courier.request_timeout", "1s"), ("courier.connect_timeout", "500ms"), ("doubt.grace", "200ms")];
    let settings = settings.map(|(key, value)| (key, value.to_owned())).into();
    let options = FleetOptions { settings, receipts: false, ..FleetOptions::default() };
    let fleet = TestFleet::start(options, |config| config.faults = faults).await;
    let job = fleet.enqueue(send("slow", &phone(0))).await;
    let story = message_is(&fleet, job, &[MessageState::Unresolved]).await;
    assert!(story.attempts[0].meaning.as_deref().unwrap_or_default().contains("timeout"), "{story:?}");
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 1);
    assert_eq!(fleet.sandbox.counters().received, 1);
    fleet.shutdown().await;
}
