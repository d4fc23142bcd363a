//! A person gets no more of a sender than the platform allows, so it has nothing to refuse.

use kabar_domain::pace::Rate;
use kabar_tests::{
    FleetOptions, Home, TestFleet, eventually,
    guests::{accepted, digits, phone},
};

use crate::support::{WITHIN, broadcast, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_refuses_nothing_of_a_burst_to_one_person_and_the_rest_is_told_to_wait() {
    const AT_ONCE: usize = 44;
    let rate = Rate::per_second(80).expect("it is a rate");
    let options = FleetOptions { rate, ..FleetOptions::default() };
    let fleet = TestFleet::start(options, |config| config.pair_limit = true).await;
    for index in 0..AT_ONCE + 8 {
        fleet.enqueue(send(&format!("s-{index}"), &phone(0))).await;
    }
    fleet.enqueue(broadcast("dep-1", 40)).await;
    // All but guest 0, to whom everything else goes.
    let got = |index: usize| accepted(&fleet.sandbox.arrivals()).get(&digits(index)).copied().unwrap_or_default();
    eventually(WITHIN, async || ((1..40).all(|index| got(index) == 1)).then_some(())).await;
    eventually(WITHIN, async || (got(0) > AT_ONCE).then_some(())).await;
    assert_eq!(fleet.sandbox.counters().throttled, 0);
    let home = Home::new().on_ledger(fleet.ledger());
    let waiting = home.kabar(&["message", "list", "--state", "queued", "--json"]).await.success().json();
    let id = waiting.pointer("/0/id").map(ToString::to_string).unwrap_or_default();
    let story = home.kabar(&["message", "show", &id]).await.success().stdout;
    assert!(story.contains("as many messages as the platform allows at once"), "{story}");
    fleet.shutdown().await;
}
