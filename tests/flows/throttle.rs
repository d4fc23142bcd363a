//! The provider asks to slow down: the sender waits, no message pays for it.

use std::{collections::BTreeMap, time::Duration};

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_sandbox::Faults;
use kabar_store::{Clock, DEFAULT_TENANT, NewSender, SystemClock};
use kabar_tests::{
    FleetOptions, TestFleet, eventually,
    fleet::{SENDER, sender},
    guests::{accepted, assert_each_accepted_once, digits, phone},
    sandbox::{self, PHONE_NUMBER_ID},
};

use crate::support::{
    WITHIN, all_with_provider, asked_for, broadcast, message_is, received, send, sender_is, sender_status, with,
};

/// A fleet whose messages fail with the first try that they spend, so that a throttle which spends one is noticed.
fn one_try(rate: Rate) -> FleetOptions {
    let settings = vec![("courier.max_tries", "1".to_owned()), ("courier.park_first", "100ms".to_owned())];
    FleetOptions { rate, settings, ..FleetOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_broadcast_is_delivered_once_and_no_message_fails() {
    let fleet = TestFleet::start(one_try(Rate::per_second(200).unwrap()), |config| {
        config.faults = Faults { throttle_every: Some(30), throttle_burst: 4, ..Faults::default() };
    })
    .await;
    let job = fleet.enqueue(broadcast("dep-1", 120)).await;
    eventually(WITHIN, async || fleet.sandbox.counters().throttled >= 8).await;
    fleet.sandbox.set_faults(Faults::default());
    all_with_provider(&fleet, job, 120).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 120);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_cuts_the_rate_which_then_rises_to_what_is_configured() {
    let fleet = TestFleet::start(one_try(Rate::per_second(100).unwrap()), |config| {
        config.faults = Faults { throttle_every: Some(10), throttle_burst: 1, ..Faults::default() };
    })
    .await;
    let job = fleet.enqueue(broadcast("dep-1", 60)).await;
    eventually(WITHIN, async || fleet.sandbox.counters().throttled >= 1).await;
    fleet.sandbox.set_faults(Faults::default());
    let rate = async || sender_status(fleet.store(), SENDER).await.effective_rate.unwrap_or_default();
    eventually(WITHIN, async || rate().await < 100.0).await;
    all_with_provider(&fleet, job, 60).await;
    eventually(WITHIN, async || rate().await >= 100.0).await;
    sandbox::assert_pace(&fleet.sandbox, 100);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_429_parks_for_as_long_as_its_retry_after_says() {
    let fleet = TestFleet::start(one_try(Rate::per_second(50).unwrap()), |config| {
        let hour = Some(Duration::from_secs(3_600));
        let faults = Faults { throttle_every: Some(5), throttle_burst: 1, throttle_code: 429, ..Faults::default() };
        config.faults = Faults { retry_after: hour, ..faults };
    })
    .await;
    let job = fleet.enqueue(broadcast("dep-1", 30)).await;
    let parked = sender_is(fleet.store(), SENDER, "parked").await;
    let left = parked.parked_until.unwrap_or_default() - SystemClock.now_ms();
    assert!((3_000_000..=3_600_000).contains(&left), "parked for {left} ms: {parked:?}");
    assert!(parked.reason.as_deref().unwrap_or_default().contains("429"), "{parked:?}");
    fleet.sandbox.set_faults(Faults::default());
    fleet.store().resume_sender(DEFAULT_TENANT, SENDER).await.unwrap();
    all_with_provider(&fleet, job, 30).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 30);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_sender_goes_on_by_itself() {
    let fleet = TestFleet::start(one_try(Rate::per_second(50).unwrap()), |config| {
        let second = Some(Duration::from_secs(1));
        config.faults = Faults { throttle_every: Some(1), throttle_burst: 1, retry_after: second, ..Faults::default() };
    })
    .await;
    let job = fleet.enqueue(broadcast("dep-1", 5)).await;
    sender_is(fleet.store(), SENDER, "parked").await;
    fleet.sandbox.set_faults(Faults::default());
    all_with_provider(&fleet, job, 5).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 5);
    fleet.shutdown().await;
}

const OTHER_NUMBER: &str = "206540352242922";
const STRANGERS_NUMBER: &str = "306540352242922";
const STRANGERS_TOKEN: &str = "strangers-token";

/// A sender at the default one's account, and one at another account.
async fn neighbours(fleet: &TestFleet) {
    let rate = Rate::Unlimited;
    let other = NewSender { name: "other".into(), address: OTHER_NUMBER.into(), ..sender(&fleet.sandbox, rate) };
    let stranger = NewSender {
        name: "stranger".into(),
        address: STRANGERS_NUMBER.into(),
        access_token: STRANGERS_TOKEN.into(),
        ..sender(&fleet.sandbox, rate)
    };
    for sender in [other, stranger] {
        fleet.store().add_sender(DEFAULT_TENANT, &sender).await.expect("the sender can be added");
    }
}

async fn parks_its_neighbours(code: i64) {
    let fleet = TestFleet::start(one_try(Rate::Unlimited), |config| {
        config.access_tokens.push(STRANGERS_TOKEN.to_owned());
        config.phone_number_ids = [PHONE_NUMBER_ID, OTHER_NUMBER, STRANGERS_NUMBER].map(str::to_owned).into();
        config.faults = Faults { fail_codes: BTreeMap::from([(digits(0), code)]), ..Faults::default() };
    })
    .await;
    neighbours(&fleet).await;
    fleet.enqueue(send("hit", &phone(0))).await;
    for name in [SENDER, "other"] {
        let parked = sender_is(fleet.store(), name, "parked").await;
        let left = parked.parked_until.unwrap_or_default() - SystemClock.now_ms();
        assert!(left > 1_000, "{name} is parked for {left} ms only");
    }
    let waits = fleet.enqueue(with(send("waits", &phone(1)), &[("sender", "other".into())])).await;
    let goes = fleet.enqueue(with(send("goes", &phone(2)), &[("sender", "stranger".into())])).await;
    all_with_provider(&fleet, goes, 1).await;
    message_is(&fleet, waits, &[MessageState::Queued]).await;
    assert_eq!(asked_for(&fleet.sandbox.arrivals(), 1), 0, "nothing leaves from a parked sender");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_account_parks_all_its_senders_and_no_other() {
    parks_its_neighbours(80_007).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_app_parks_all_its_senders_and_no_other() {
    parks_its_neighbours(4).await;
}

/// The provider tells with each answer how much of its limit is used up; it never has to refuse.
async fn slows_down_ahead_of(limit: Faults) {
    let parked_for = ["courier.park_first", "courier.park_most"].map(|key| (key, "1h".to_owned()));
    let rate = Rate::per_second(50).expect("it is a rate");
    let options = FleetOptions { rate, settings: parked_for.into(), ..FleetOptions::default() };
    let fleet = TestFleet::start(options, |config| {
        config.access_tokens.push(STRANGERS_TOKEN.to_owned());
        config.phone_number_ids = [PHONE_NUMBER_ID, OTHER_NUMBER, STRANGERS_NUMBER].map(str::to_owned).into();
        config.faults = limit;
    })
    .await;
    neighbours(&fleet).await;
    let job = fleet.enqueue(broadcast("dep-1", 120)).await;
    for name in [SENDER, "other"] {
        let parked = sender_is(fleet.store(), name, "parked").await;
        let reason = parked.reason.unwrap_or_default();
        assert!(reason.contains("9") && reason.contains("of the calls are used up"), "{name}: {reason}");
    }
    assert_eq!(sender_status(fleet.store(), "stranger").await.state, "active");
    let counters = fleet.sandbox.counters();
    assert!((90..100).contains(&counters.received) && counters.throttled == 0, "{counters:?}");
    fleet.sandbox.set_faults(Faults::default());
    fleet.store().resume_sender(DEFAULT_TENANT, SENDER).await.expect("it can be resumed");
    all_with_provider(&fleet, job, 120).await;
    assert_each_accepted_once(&fleet.sandbox.arrivals(), 120);
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_used_limit_of_the_account_slows_all_its_senders_ahead_of_a_refusal() {
    slows_down_ahead_of(Faults { account_calls_per_hour: Some(100), ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_used_limit_of_the_app_slows_all_its_senders_ahead_of_a_refusal() {
    slows_down_ahead_of(Faults { app_calls_per_hour: Some(100), ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spam_restriction_parks_for_hours() {
    let fleet = TestFleet::start(one_try(Rate::Unlimited), |config| {
        config.faults = Faults { fail_codes: BTreeMap::from([(digits(0), 131_048)]), ..Faults::default() };
    })
    .await;
    let job = fleet.enqueue(send("hit", &phone(0))).await;
    let parked = sender_is(fleet.store(), SENDER, "parked").await;
    let left = parked.parked_until.unwrap_or_default() - SystemClock.now_ms();
    assert!(left > 3 * 3_600_000, "parked for {left} ms");
    let story = message_is(&fleet, job, &[MessageState::Queued]).await;
    assert!(story.waits_because.as_deref().unwrap_or_default().contains("parked"), "{story:?}");
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_limit_delays_that_recipient_alone() {
    let fleet = TestFleet::start(one_try(Rate::Unlimited), |config| {
        config.faults = Faults { fail_codes: BTreeMap::from([(digits(0), 131_056)]), ..Faults::default() };
    })
    .await;
    let limited = fleet.enqueue(send("limited", &phone(0))).await;
    eventually(WITHIN, async || fleet.sandbox.counters().received >= 1).await;
    let others = fleet.enqueue(broadcast("dep-1", 40)).await;
    // All but guest 0, whose message waits with the first.
    let most =
        |counts: &kabar_domain::message::StateCounts| counts.get(MessageState::Queued) <= 1 && counts.total() == 40;
    fleet.counts_where(others, WITHIN, most).await;
    eventually(WITHIN, async || accepted(&fleet.sandbox.arrivals()).len() == 39).await;
    assert_eq!(sender_status(fleet.store(), SENDER).await.state, "active");
    fleet.sandbox.set_faults(Faults::default());
    all_with_provider(&fleet, limited, 1).await;
    all_with_provider(&fleet, others, 40).await;
    for (to, times) in accepted(&fleet.sandbox.arrivals()) {
        assert_eq!(times, if to == digits(0) { 2 } else { 1 }, "{to}");
    }
    fleet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_throttled_goes_before_what_had_its_place_behind_it() {
    // At this rate a batch is five messages and two are out at a time, so that places can be told apart.
    let fleet = TestFleet::start(one_try(Rate::per_second(5).unwrap()), |config| {
        config.faults = Faults { throttle_every: Some(4), throttle_burst: 1, ..Faults::default() };
    })
    .await;
    fleet.enqueue(broadcast("dep-1", 60)).await;
    eventually(WITHIN, async || fleet.sandbox.counters().throttled >= 1).await;
    fleet.sandbox.set_faults(Faults::default());
    received(&fleet, 14).await;
    let arrivals = fleet.sandbox.arrivals();
    let place = |digits: &str| (0..60).find(|index| self::digits(*index) == digits).unwrap_or(usize::MAX);
    let throttled = arrivals.iter().position(|arrival| arrival.code.is_some()).unwrap();
    let after: Vec<usize> = arrivals[throttled + 1..].iter().map(|arrival| place(&arrival.to)).collect();
    let again = after.iter().position(|index| *index == place(&arrivals[throttled].to));
    assert!(again.is_some(), "what was throttled was not tried again among the next {after:?}");
    assert!(after.iter().all(|index| *index < 40), "messages from far behind went first: {after:?}");
    fleet.shutdown().await;
}
