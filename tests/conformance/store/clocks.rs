//! Workers whose clocks are minutes off, and step while messages are sent: nothing is lost and nothing sent twice, as long
//! as receipts come before the grace time ends by the clock that is furthest ahead, or webhooks are out and none comes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kabar_domain::{
    message::{
        MessageState::{Accepted, InDoubt, Queued, Sending as InSending, Unresolved},
        Phase, ReceiptStatus,
    },
    outcome::Outcome,
};
use kabar_store::{ManualClock, Sender, Store, StoreOptions};
use kabar_tests::{LedgerKind, TestLedger, ledger::START_MS, on_both_ledgers};
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_janitor_ahead_of_its_time_costs_turns_and_no_message,
    a_janitor_behind_its_time_comes_late_and_comes,
    a_clock_that_steps_back_leaves_nothing_behind,
);

const GRACE: Duration = Duration::from_millis(GRACE_MS.unsigned_abs());

/// The same ledger as a machine sees it whose clock is off by this much, in milliseconds.
async fn off_by(ledger: &TestLedger, ms: i64) -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(ledger.store().now_ms() + ms));
    let store = Store::open(&StoreOptions { clock: clock.clone(), ..ledger.options().clone() }).await.unwrap();
    store.check_migrated().await.unwrap();
    (store, clock)
}

async fn a_janitor_ahead_of_its_time_costs_turns_and_no_message(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(2)).await;
    planned(store, broadcast("b", 0..4)).await;
    let sending = courier.send(&sender).await;
    let claimed = courier.claim(&sender).await;
    let (ahead, _) = off_by(&ledger, 5 * MINUTE_MS).await;
    assert_eq!(ahead.rescue(GRACE).await.unwrap(), (2, 2), "to it, every lease has ended");
    assert!(courier.start(&sender, &claimed).await.is_empty(), "what was taken back is not sent");
    courier.give_back(&claimed).await;
    courier.accept(&sending[0]).await;
    courier.settle(&sending[1], Outcome::in_doubt("no answer came")).await;
    assert_eq!(state(store, sending[0].id).await, Accepted, "an outcome counts whatever the janitor thinks");
    assert_eq!(state(store, sending[1].id).await, InDoubt);
    assert_eq!(courier.send(&sender).await.len(), 2);
    assert_adds_up(store).await;
}

async fn a_janitor_behind_its_time_comes_late_and_comes(ledger: TestLedger) {
    let (sender, _, sending) = one_sending(&ledger).await;
    let (behind, clock) = off_by(&ledger, -5 * MINUTE_MS).await;
    for clock in [ledger.clock(), &*clock] {
        clock.advance_ms(LEASE_MS);
    }
    assert_eq!(behind.rescue(GRACE).await.unwrap(), (0, 0));
    clock.advance_ms(5 * MINUTE_MS);
    assert_eq!(behind.rescue(GRACE).await.unwrap(), (0, 1));
    receive(&behind, [receipt(&sending, ReceiptStatus::Sent, START_MS)]).await;
    assert!(Courier::of(ledger.store()).await.claim(&sender).await.is_empty());
}

async fn a_clock_that_steps_back_leaves_nothing_behind(ledger: TestLedger) {
    let (store, courier) = (ledger.store(), Courier::of(ledger.store()).await);
    let sender = sender(store, rate(1)).await;
    planned(store, broadcast("b", 0..3)).await;
    let sending = courier.send_one(&sender).await;
    let claimed = courier.claim(&sender).await;
    ledger.clock().advance_ms(-10 * MINUTE_MS);
    assert!(courier.claim(&sender).await.is_empty(), "what is due lies ahead again");
    assert_eq!(courier.start(&sender, &claimed).await.len(), 1, "its lease holds all the longer");
    courier.accept(&sending).await;
    ledger.clock().advance_ms(10 * MINUTE_MS + LEASE_MS);
    assert_eq!(store.rescue(GRACE).await.unwrap(), (0, 1));
    let again = Courier::of(store).await;
    assert_eq!(again.send(&sender).await.len(), 1);
    let states = [state(store, sending.id).await, state(store, claimed[0].id).await];
    assert_eq!(states, [Accepted, InDoubt]);
    assert_eq!(store.job_counts(1).await.unwrap().get(InSending), 1);
    assert_adds_up(store).await;
}

/// How long a step of [`Fleet`] takes, in true time.
const STEP_MS: i64 = 15_000;
/// How far clocks are off at most.
const MOST_OFF_MS: i64 = 2 * MINUTE_MS;
/// How late receipts come at most, while webhooks work.
const RECEIPT_MS: i64 = MINUTE_MS;
/// How long webhooks are out at most, more than the grace time; what they had to tell comes afterwards.
const OUTAGE_MS: i64 = 25 * MINUTE_MS;

/// Two couriers and a janitor, each by a clock of its own, and a provider that counts what it takes.
struct Fleet {
    ledger: TestLedger,
    sender: Sender,
    clocks: Vec<Arc<ManualClock>>,
    stores: Vec<Store>,
    couriers: Vec<Courier>,
    /// Outcomes that are known and not yet written down, by courier.
    known: Vec<Vec<(Sending, Outcome)>>,
    taken: HashMap<i64, u32>,
    /// Receipts with the true time at which they come, all equally late.
    receipts: Vec<(i64, Sending)>,
    receipts_take: i64,
    webhooks_out_until: i64,
    now: i64,
    random: fastrand::Rng,
}

impl Fleet {
    async fn of(ledger: TestLedger, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // One message a batch, so that what is sent lies minutes apart.
        let sender = sender(ledger.store(), rate(1)).await;
        let policies =
            ["auto", "hold"].map(|policy| (policy, with(broadcast(policy, 0..5), json!({"on_doubt": policy}))));
        for (_, job) in policies {
            planned(ledger.store(), job).await;
        }
        let (mut clocks, mut stores, mut couriers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let (store, clock) = off_by(&ledger, random.i64(-MOST_OFF_MS..MOST_OFF_MS)).await;
            couriers.push(Courier::of(&store).await);
            stores.push(store);
            clocks.push(clock);
        }
        let known = vec![Vec::new(); stores.len()];
        let (taken, receipts, receipts_take) = (HashMap::new(), Vec::new(), random.i64(0..RECEIPT_MS));
        let (webhooks_out_until, now) = (0, 0);
        Self {
            ledger,
            sender,
            clocks,
            stores,
            couriers,
            known,
            taken,
            receipts,
            receipts_take,
            webhooks_out_until,
            now,
            random,
        }
    }

    fn one_in(&mut self, many: u8) -> bool {
        self.random.u8(0..many) == 0
    }

    /// A courier's turn, unless it stands still.
    async fn courier(&mut self, at: usize) {
        let length = Duration::from_millis(LEASE_MS.unsigned_abs());
        if self.stores[at].renew_lease(self.couriers[at].lease, length).await.unwrap().is_none() {
            // As a process does whose lease has ended: it writes down what it knows, ends, and is started again.
            self.write_down(at).await;
            self.couriers[at] = Courier::of(&self.stores[at]).await;
        }
        let claimed = self.couriers[at].claim(&self.sender).await;
        if self.one_in(4) {
            return;
        }
        // Whatever its own clock says, the pace has one.
        let slots = requests(&self.sender, &claimed, Some((START_MS + self.now) * 1_000));
        let mut started = self.couriers[at].writer.start(CHANNEL, slots).await.unwrap();
        for message in claimed {
            let Some(attempt) = started.remove(&message.id) else { continue };
            let sending = Sending { id: message.id, attempt };
            self.request(at, sending);
        }
        if !self.one_in(3) {
            self.write_down(at).await;
        }
    }

    fn request(&mut self, at: usize, sending: Sending) {
        let arrives = !self.one_in(4);
        if arrives {
            *self.taken.entry(sending.id).or_default() += 1;
            self.receipts.push((self.now + self.receipts_take, sending.clone()));
        }
        // Its process may die before it knows.
        if !self.one_in(5) {
            let answered = arrives && !self.one_in(3);
            let outcome =
                if answered { Outcome::accepted(provider_id(&sending)) } else { Outcome::in_doubt("no answer") };
            self.known[at].push((sending, outcome));
        }
    }

    async fn write_down(&mut self, at: usize) {
        for (sending, outcome) in std::mem::take(&mut self.known[at]) {
            self.couriers[at].settle(&sending, outcome).await;
        }
    }

    async fn step(&mut self) {
        self.now += STEP_MS;
        for clock in &self.clocks {
            clock.advance_ms(STEP_MS);
        }
        if self.one_in(8) {
            let clock = self.random.usize(0..self.clocks.len());
            let (shown, wanted) = (self.stores[clock].now_ms(), START_MS + self.now);
            let off = self.random.i64(-MOST_OFF_MS..MOST_OFF_MS);
            self.clocks[clock].advance_ms(wanted + off - shown);
        }
        for at in 0..2 {
            if !self.one_in(4) {
                self.courier(at).await;
            }
        }
        if self.webhooks_out_until < self.now && self.one_in(12) {
            self.webhooks_out_until = self.now + self.random.i64(0..OUTAGE_MS);
        }
        let (now, works) = (self.now, self.webhooks_out_until < self.now);
        let receipts = std::mem::take(&mut self.receipts);
        let (come, later): (Vec<_>, Vec<_>) = receipts.into_iter().partition(|(at, _)| works && *at <= now);
        self.receipts = later;
        let come = come.into_iter().map(|(_, sending)| receipt(&sending, ReceiptStatus::Delivered, START_MS));
        receive(&self.stores[2], come).await;
        self.stores[2].rescue(GRACE).await.unwrap();
        self.stores[2].settle_doubts(100).await.unwrap();
        assert_adds_up(self.ledger.store()).await;
    }

    /// Whether everything has ended; a person settles by the truth what waits for one.
    async fn is_over(&self) -> bool {
        let store = self.ledger.store();
        let mut over = true;
        for (job_id, _) in store.jobs(TENANT, "broadcast", None, 10).await.unwrap() {
            for message in store.messages_of_job(job_id, 0, 100).await.unwrap() {
                over &= message.state.phase() == Phase::Done;
                if message.state == Unresolved {
                    let taken = self.taken.contains_key(&message.id);
                    store.resolve_message(TENANT, message.id, taken).await.unwrap();
                }
                let twice = self.taken.get(&message.id).is_some_and(|taken| *taken > 1);
                assert!(!twice, "message {} was sent twice and is {}", message.id, message.state);
                let waits = message.state == Queued && self.taken.contains_key(&message.id);
                assert!(!waits, "message {} was sent and waits to be sent", message.id);
            }
        }
        over
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clocks_that_are_off_and_step_lose_and_double_nothing(seed in any::<u64>()) {
        kabar_tests::ledger::check(LedgerKind::Sqlite, async move |ledger| {
            let mut fleet = Fleet::of(ledger, seed).await;
            let mut steps = 0;
            while !fleet.is_over().await {
                fleet.step().await;
                steps += 1;
                assert!(steps < 1_000, "something waits for ever");
            }
        });
    }
}
