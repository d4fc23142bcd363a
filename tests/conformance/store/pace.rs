//! How fast senders may send: slots, parking, cuts and raises.

use std::time::Duration;

use kabar_domain::outcome::{Decision, Outcome, Scope};
use kabar_store::{Clock, NewSender, Parking, Reservation, Sender, SlotRequest, Store};
use kabar_tests::{LedgerKind, TestLedger, ledger::START_MS, on_both_ledgers};
use proptest::prelude::*;

use super::fixtures::*;

const MARGIN: Duration = Duration::from_millis(15);
const LEAD: Duration = Duration::from_millis(10);
const SECOND_US: i64 = 1_000_000;

on_both_ledgers!(
    slots_follow_each_other,
    slots_of_processes_at_once_never_overlap,
    no_slots_for_senders_that_may_not_send,
    many_processes_may_hold_a_slot_each_at_a_low_rate,
    a_step_of_the_clock_pauses_the_sender,
    throttles_park_for_longer_each_time,
    answers_of_one_throttle_count_once,
    what_the_provider_asks_for_is_kept,
    a_throttle_cuts_the_rate_and_time_raises_it_again,
    an_outage_parks_without_a_cut,
    an_account_throttle_parks_all_its_senders,
    an_unlimited_sender_is_parked_and_not_cut,
);

fn request(sender: &Sender, count: u32) -> SlotRequest {
    let rate_milli = u64::from(sender.rate.limit().unwrap()) * 1_000;
    SlotRequest { sender_id: sender.id, count, rate_milli, margin: MARGIN, lead: LEAD }
}

async fn reserve(store: &Store, sender: &Sender, count: u32) -> Reservation {
    store.reserve_slots(&request(sender, count)).await.unwrap().unwrap()
}

fn slots(reservation: &Reservation) -> impl Iterator<Item = i64> + use<> {
    let Reservation { first_us, spacing_us, count, .. } = *reservation;
    (0..i64::from(count)).map(move |index| first_us + index * spacing_us)
}

async fn slots_follow_each_other(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let first = reserve(store, &sender, 5).await;
    assert_eq!((first.spacing_us, first.count), (50_750, 5));
    assert_eq!(first.first_us, first.clock_us + 10_000, "the first is as near as the lead allows");
    let second = reserve(store, &sender, 0).await;
    assert_eq!(second.count, 1);
    assert_eq!(second.first_us, first.first_us + 5 * first.spacing_us);
}

async fn slots_of_processes_at_once_never_overlap(ledger: TestLedger) {
    let stores = [ledger.store().clone(), another(&ledger).await];
    let sender = sender(&stores[0], rate(1_000)).await;
    let mut tasks = Vec::new();
    for store in stores.iter().chain(&stores) {
        let (store, sender) = (store.clone(), sender.clone());
        tasks.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for count in 1..=25 {
                taken.extend(slots(&reserve(&store, &sender, count % 7 + 1).await));
            }
            taken
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= 1_015), "two slots are too near");
}

async fn no_slots_for_senders_that_may_not_send(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let request = request(&sender, 1);
    store.pause_sender(TENANT, "default", "by hand").await.unwrap();
    assert_eq!(store.reserve_slots(&request).await.unwrap(), None);
    assert!(!store.pace(sender.id).await.unwrap().unwrap().open);
    store.resume_sender(TENANT, "default").await.unwrap();
    park(store, &sender, None, false).await;
    assert_eq!(store.reserve_slots(&request).await.unwrap(), None);
    ledger.clock().advance_ms(1_000);
    assert!(store.reserve_slots(&request).await.unwrap().is_some());
    assert_eq!(store.reserve_slots(&SlotRequest { sender_id: sender.id + 1, ..request }).await.unwrap(), None);
    assert_eq!(store.pace(sender.id + 1).await.unwrap(), None);
}

/// That the next slot lies far ahead does not tell that the clock stepped back.
async fn many_processes_may_hold_a_slot_each_at_a_low_rate(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(1)).await;
    let mut all = Vec::new();
    for _ in 0..40 {
        all.extend(slots(&reserve(store, &sender, 1).await));
    }
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= SECOND_US), "two of {all:?} are too near");
}

async fn a_step_of_the_clock_pauses_the_sender(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let before = reserve(store, &sender, 1).await;
    assert_eq!(before.given_ahead, Duration::ZERO);
    store.reanchor_slots(sender.id, before.given_ahead).await.unwrap();
    let after = reserve(store, &sender, 1).await;
    assert!(after.first_us >= before.clock_us + SECOND_US);
    let later = reserve(store, &sender, 1).await;
    assert!(later.given_ahead >= Duration::from_secs(1), "slots had been given out for a second");
    store.reanchor_slots(sender.id, Duration::ZERO).await.unwrap();
    let last = reserve(store, &sender, 1).await;
    assert!(last.first_us > later.first_us, "never back");
    store.reanchor_slots(sender.id, Duration::from_secs(7)).await.unwrap();
    assert!(reserve(store, &sender, 1).await.first_us >= last.clock_us + 7 * SECOND_US);
}

/// A day of a sender in virtual time: what the ledger's clock shows is `real + off`, in microseconds.
struct Day {
    ledger: TestLedger,
    sender: Sender,
    stores: Vec<Store>,
    real_us: i64,
    off_us: i64,
    /// Up to when each process has slots, in real time: it asks for more when these are used.
    busy_until: Vec<i64>,
    /// Every slot, in real time.
    departures: Vec<i64>,
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Happens {
    TimePasses { us: i64 },
    ClockStepsBack { us: i64 },
    SlotsAreTaken { by: usize, wanted: u32 },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => (0..400_000_i64).prop_map(|us| Happens::TimePasses { us }),
        1 => (0..5_000_000_i64).prop_map(|us| Happens::TimePasses { us }),
        1 => (1..60_000_000_i64).prop_map(|us| Happens::ClockStepsBack { us }),
        9 => (0..4_usize, 1..300_u32).prop_map(|(by, wanted)| Happens::SlotsAreTaken { by, wanted }),
    ]
}

impl Day {
    async fn of(ledger: TestLedger, per_second: u32) -> Self {
        let sender = sender(ledger.store(), rate(per_second)).await;
        let mut stores = vec![ledger.store().clone()];
        while stores.len() < 4 {
            stores.push(another(&ledger).await);
        }
        let busy_until = vec![0; stores.len()];
        Self { ledger, sender, stores, real_us: 0, off_us: START_MS * 1_000, busy_until, departures: Vec::new() }
    }

    async fn goes_on(&mut self, next: Happens) {
        match next {
            Happens::TimePasses { us } => {
                self.real_us += us;
                self.ledger.clock().advance_us(us);
            }
            Happens::ClockStepsBack { us } => {
                self.off_us -= us;
                self.ledger.clock().advance_us(-us);
            }
            Happens::SlotsAreTaken { by, wanted } if self.busy_until[by] <= self.real_us => {
                assert_eq!(self.ledger.clock().now_us(), self.real_us + self.off_us);
                // As the courier does: at most a quarter of a second, or one slot.
                let per_second = self.sender.rate.limit().unwrap();
                let count = wanted.min(per_second / 4).max(1);
                let taken = reserve(&self.stores[by], &self.sender, count).await;
                let real: Vec<i64> = slots(&taken).map(|slot| slot - self.off_us).collect();
                assert!(real[0] > self.real_us, "a slot in the past");
                self.busy_until[by] = real[real.len() - 1];
                self.departures.extend(real);
            }
            Happens::SlotsAreTaken { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the clock does: it is the machine's on SQLite, so it can be held here; on Postgres it cannot.
    #[test]
    fn no_window_of_a_second_holds_more_than_the_rate(
        per_second in prop_oneof![Just(1_u32), Just(3), Just(20), Just(80), Just(1_000)],
        day in proptest::collection::vec(happens(), 1..80),
    ) {
        kabar_tests::ledger::check(LedgerKind::Sqlite, async move |ledger| {
            let mut sending = Day::of(ledger, per_second).await;
            for next in day {
                sending.goes_on(next).await;
            }
            let mut departures = sending.departures;
            departures.sort_unstable();
            let over = departures.windows(per_second as usize + 1).find(|w| w[w.len() - 1] - w[0] < SECOND_US);
            assert!(over.is_none(), "more than {per_second} in a second: {over:?}");
        });
    }
}

async fn park(store: &Store, sender: &Sender, delay: Option<Duration>, cut: bool) {
    let parking = Parking {
        scope: Scope::Sender,
        delay,
        first: Duration::from_secs(1),
        most: Duration::from_secs(300),
        reason: "it asked for it",
        cut,
    };
    store.park(sender.id, &parking).await.unwrap();
}

/// How long the sender is parked from now on, in milliseconds.
async fn parked_for(store: &Store, name: &str) -> i64 {
    let status = store.status(TENANT).await.unwrap();
    let sender = status.senders.iter().find(|sender| sender.name == name).unwrap();
    sender.parked_until.map_or(0, |until| until - store.now_ms())
}

async fn throttles_park_for_longer_each_time(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        park(store, &sender, None, false).await;
        assert_eq!(parked_for(store, "default").await, seconds * 1_000);
        ledger.clock().advance_ms(seconds * 1_000 + 29_999);
    }
    ledger.clock().advance_ms(1);
    park(store, &sender, None, false).await;
    assert_eq!(parked_for(store, "default").await, 1_000, "after a calm while it begins anew");
}

async fn answers_of_one_throttle_count_once(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(20)).await;
    planned(store, broadcast("b", 0..20)).await;
    for one in courier.send(&sender).await {
        courier.settle(&one, outcome(Decision::Throttled, Scope::Sender)).await;
    }
    assert_eq!(parked_for(store, "default").await, 1_000);
    assert_eq!(store.pace(sender.id).await.unwrap().unwrap().rate_milli, Some(10_000), "halved once");
    let shown = &store.status(TENANT).await.unwrap().senders[0];
    assert_eq!((shown.state.as_str(), shown.reason.as_deref()), ("parked", Some("as the provider said")));
    assert_adds_up(store).await;
}

async fn what_the_provider_asks_for_is_kept(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let asked = Outcome { delay: Some(Duration::from_secs(90)), ..outcome(Decision::Throttled, Scope::Sender) };
    courier.settle(&sending, asked).await;
    assert_eq!(parked_for(ledger.store(), "default").await, 90_000);
    park(ledger.store(), &sender, Some(Duration::from_secs(5)), true).await;
    assert_eq!(parked_for(ledger.store(), "default").await, 90_000, "a shorter one does not end it");
    park(ledger.store(), &sender, Some(Duration::from_secs(120)), true).await;
    assert_eq!(parked_for(ledger.store(), "default").await, 120_000);
}

async fn a_throttle_cuts_the_rate_and_time_raises_it_again(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let sender = sender(&one, rate(20)).await;
    let rate_milli = async || one.pace(sender.id).await.unwrap().unwrap().rate_milli;
    park(&one, &sender, None, true).await;
    assert_eq!(rate_milli().await, Some(10_000));
    assert_eq!(one.raise_rates().await.unwrap(), 0, "not while it is parked");
    ledger.clock().advance_ms(1_999);
    assert_eq!(one.raise_rates().await.unwrap(), 0, "nor in the first second after");
    ledger.clock().advance_ms(1);
    for expected in [12_000, 14_000, 16_000, 18_000, 20_000] {
        let (first, second) = tokio::join!(one.raise_rates(), other.raise_rates());
        assert_eq!(first.unwrap() + second.unwrap(), 1, "one step, whoever takes it");
        assert_eq!(rate_milli().await, Some(expected));
        ledger.clock().advance_ms(1_000);
    }
    assert_eq!(one.raise_rates().await.unwrap(), 0);
    park(&one, &sender, None, true).await;
    one.resume_sender(TENANT, "default").await.unwrap();
    assert!(one.pace(sender.id).await.unwrap().unwrap().open);
    assert_eq!(rate_milli().await, Some(10_000), "resuming ends the parking alone");
}

async fn an_outage_parks_without_a_cut(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    park(store, &sender, None, false).await;
    let pace = store.pace(sender.id).await.unwrap().unwrap();
    assert_eq!((pace.open, pace.rate_milli), (false, Some(20_000)));
}

async fn an_account_throttle_parks_all_its_senders(ledger: TestLedger) {
    let store = ledger.store();
    let named = |name: &str, account: &str, app: &str| NewSender {
        account: Some(account.to_owned()),
        app: Some(app.to_owned()),
        ..new_sender(name, rate(20))
    };
    let first = store.add_sender(TENANT, &named("first", "A", "X")).await.unwrap();
    store.add_sender(TENANT, &named("same account", "A", "Y")).await.unwrap();
    store.add_sender(TENANT, &named("same app", "B", "X")).await.unwrap();
    let parked = async || {
        let senders = store.status(TENANT).await.unwrap().senders;
        senders.into_iter().filter(|sender| sender.state == "parked").map(|sender| sender.name).collect::<Vec<_>>()
    };
    let parking = Parking {
        scope: Scope::Account,
        delay: None,
        first: Duration::from_secs(1),
        most: Duration::from_secs(9),
        reason: "busy",
        cut: true,
    };
    store.park(first.id, &parking).await.unwrap();
    assert_eq!(parked().await, ["first", "same account"]);
    ledger.clock().advance_ms(1_000);
    store.park(first.id, &Parking { scope: Scope::App, ..parking }).await.unwrap();
    assert_eq!(parked().await, ["first", "same app"]);
}

async fn an_unlimited_sender_is_parked_and_not_cut(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, kabar_domain::pace::Rate::Unlimited).await;
    park(store, &sender, None, true).await;
    let pace = store.pace(sender.id).await.unwrap().unwrap();
    assert_eq!((pace.open, pace.rate_milli), (false, None));
    ledger.clock().advance_ms(10_000);
    assert_eq!(store.raise_rates().await.unwrap(), 0);
}
