//! A business portfolio may write to so many people a day: the others wait, and go when it may write to more.

use kabar_domain::message::{MessageState, Phase, StateCounts};
use kabar_tests::{FleetOptions, Home, TestFleet, fleet::SENDER, guests::assert_each_accepted_once};

use crate::support::{WITHIN, all_with_provider, broadcast};

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_budget_does_not_fit_waits_until_it_grows() {
    let fleet = TestFleet::start(FleetOptions::default(), |_| {}).await;
    let home = Home::new().on_ledger(fleet.ledger());
    let budget = async |people| home.kabar(&["sender", "budget", SENDER, "--people-per-day", people]).await.success();
    assert_eq!(budget("20").await.stdout.lines().count(), 1);
    let job = fleet.enqueue(broadcast("dep-1", 30)).await;
    let held = |counts: &StateCounts| counts.of(Phase::Done) == 18 && counts.get(MessageState::Queued) == 12;
    fleet.counts_where(job, WITHIN, held).await;
    let shown = home.kabar(&["sender", "budget", SENDER, "--json"]).await.success().json();
    assert_eq!(shown, serde_json::json!({"people_per_day": 20, "people": 18}), "a tenth is kept for urgent messages");
    let waiting = home.kabar(&["message", "list", "--state", "queued", "--json"]).await.success().json();
    let id = waiting.pointer("/0/id").map(ToString::to_string).unwrap_or_default();
    let story = home.kabar(&["message", "show", &id]).await.success().stdout;
    assert!(story.contains("the day's budget of people is used up"), "{story}");

    budget("unlimited").await;
    all_with_provider(&fleet, job, 30).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 30);
    fleet.shutdown().await;
}
