//! The provider is away or out of its mind: nothing is lost, nothing goes twice, and a backlog does not pay for it.

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_sandbox::Faults;
use kabar_tests::{
    FleetOptions, TestFleet,
    fleet::SENDER,
    guests::{accepted, assert_each_accepted_once, phone},
    sandbox,
};

use crate::support::{all_with_provider, broadcast, later, received, send, sender_is};

async fn fleet(grace: &str, faults: Faults) -> TestFleet {
    let settings = [("doubt.grace", grace), ("courier.park_first", "200ms"), ("courier.retry_first", "100ms")];
    let settings = settings.map(|(key, value)| (key, value.to_owned())).into();
    let rate = Rate::per_second(100).unwrap_or(Rate::Unlimited);
    TestFleet::start(FleetOptions { rate, settings, ..FleetOptions::default() }, |config| config.faults = faults).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_parks_the_sender_and_spends_few_tries() {
    let fleet = fleet("10m", Faults { down: true, ..Faults::default() }).await;
    let job = fleet.enqueue(broadcast("dep-1", 80)).await;
    let parked = sender_is(fleet.store(), SENDER, "parked").await;
    assert!(parked.reason.as_deref().unwrap_or_default().contains("in a row"), "{parked:?}");
    received(&fleet, 12).await;
    fleet.sandbox.set_faults(Faults::default());
    all_with_provider(&fleet, job, 80).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 80);
    // Each time it goes on, a run of five and what is under way with it find out; without parking it were thousands.
    let in_vain = fleet.sandbox.counters().failed;
    assert!(in_vain <= 80, "{in_vain} requests went out in vain");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_now_and_then_lose_nothing() {
    let fleet = fleet("10m", Faults { server_error_share: 0.3, ..Faults::default() }).await;
    let job = fleet.enqueue(broadcast("dep-1", 80)).await;
    all_with_provider(&fleet, job, 80).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 80);
    assert!(fleet.sandbox.counters().failed > 0);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_proxy_and_broken_off_ones_are_doubt_that_receipts_settle() {
    let faults = Faults { html_share: 0.2, half_answer_share: 0.2, ..Faults::default() };
    let fleet = fleet("6s", faults).await;
    let job = fleet.enqueue(broadcast("dep-1", 80)).await;
    received(&fleet, 60).await;
    // What comes later gets through, so that its receipts prove which of the first never left.
    fleet.sandbox.set_faults(Faults::default());
    received(&fleet, 80).await;
    later().await;
    let last = fleet.enqueue(send("last", &phone(80))).await;
    all_with_provider(&fleet, last, 1).await;
    all_with_provider(&fleet, job, 80).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 81);
    assert!(fleet.sandbox.counters().failed > 0);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_for_a_moment_is_waited_for() {
    let mut fleet = fleet("6s", Faults::default()).await;
    let job = fleet.enqueue(broadcast("dep-1", 400)).await;
    received(&fleet, 40).await;
    let address = fleet.sandbox.address();
    // A sandbox elsewhere stands in for none at all: nobody knows where it listens.
    let elsewhere = sandbox::start(|_| {}).await;
    let before = std::mem::replace(&mut fleet.sandbox, elsewhere);
    let first = before.arrivals();
    before.shutdown().await;
    let parked = sender_is(fleet.store(), SENDER, "parked").await;
    assert!(parked.reason.as_deref().unwrap_or_default().contains("refused"), "{parked:?}");
    let back = sandbox::start(|config| config.listen = address).await;
    sandbox::report_to(&back, &fleet.gateway());
    std::mem::replace(&mut fleet.sandbox, back).shutdown().await;
    all_with_provider(&fleet, job, 400).await;
    let (first, then) = (accepted(&first), accepted(&fleet.sandbox.arrivals()));
    let twice: Vec<_> = then.iter().filter(|(to, times)| **times > 1 || first.contains_key(*to)).collect();
    assert!(twice.is_empty(), "accepted more than once: {twice:?}");
    let counts = fleet.store().job_counts(job).await.unwrap();
    assert_eq!(counts.get(MessageState::Failed), 0);
    fleet.shutdown().await;
}
