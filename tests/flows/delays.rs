//! What one tenant does delays nobody else.

use std::time::{Duration, Instant};

use kabar_domain::{
    job::{Door, Job},
    message::{MessageState, StateCounts},
    pace::Rate,
};
use kabar_store::{DEFAULT_TENANT, NewRecipient, NewSender, TenantId};
use kabar_tests::{FleetOptions, LedgerKind, TestFleet, eventually, fleet::sender, guests::digits, guests::phone};
use serde_json::{Value, json};

use crate::support::{WITHIN, departure, number, send, with};

const THEIR_NUMBER: &str = "206540352242922";

/// The most that anybody else's message may be delayed by a broadcast, beyond what the same takes at the same moment in a fleet
/// that has nothing else to do: dozens of tests may run beside this one.
const DELAY_MOST: Duration = Duration::from_secs(2);

/// How many messages a second the broadcast's sender may send.
const RATE: u32 = 80;

/// How many people the broadcast is for.
const PEOPLE: usize = 100_000;

/// The most people that are imported at once.
const CHUNK: usize = 1_000;

async fn enqueue(fleet: &TestFleet, tenant: TenantId, job: Value) -> i64 {
    let job = Job::from_value(job, Door::default(), None).expect("the job is valid");
    fleet.store().enqueue(tenant, &job).await.expect("the job is enqueued").job_id()
}

/// How long it takes from enqueueing a message for a guest until the provider has it.
async fn takes(fleet: &TestFleet, tenant: TenantId, job: Value, guest: usize) -> Duration {
    let began = Instant::now();
    enqueue(fleet, tenant, job).await;
    let arrived = eventually(WITHIN, async || {
        fleet.sandbox.arrivals().iter().rev().find(|arrival| arrival.to == digits(guest)).map(|arrival| arrival.at)
    })
    .await;
    arrived.saturating_duration_since(began)
}

/// A broadcast to many people of one tenant is planned and sent; another tenant sends one message after the other meanwhile,
/// each by its own sender, and the first tenant an urgent one by the broadcast's sender.
async fn a_broadcast_delays_nobody_else(ledger: LedgerKind) {
    let rate = Rate::per_second(RATE).expect("it is a rate");
    let options = || FleetOptions { ledger, rate, ..FleetOptions::default() };
    let idle = TestFleet::start(options(), |_| {}).await;
    let fleet = TestFleet::start(options(), |config| config.phone_number_ids.push(THEIR_NUMBER.to_owned())).await;
    let store = fleet.store();
    let other = store.ensure_tenant("other").await.expect("there is a tenant");
    let theirs = NewSender { address: THEIR_NUMBER.into(), ..sender(&fleet.sandbox, Rate::default()) };
    store.add_sender(other, &theirs).await.expect("the sender can be added");
    // Guests from 0 on are the other tenant's.
    let people: Vec<NewRecipient> = (1_000..1_000 + PEOPLE)
        .map(|guest| NewRecipient { name: Some("Siti".to_owned()), ..NewRecipient::new(number(&phone(guest))) })
        .collect();
    for people in people.chunks(CHUNK) {
        store.import_recipients(DEFAULT_TENANT, people, Some("all")).await.expect("they can be imported");
    }
    let broadcast = json!({"type": "broadcast", "id": "all", "audience": {"group": "all"}, "content": departure()});
    let job = enqueue(&fleet, DEFAULT_TENANT, broadcast).await;

    let (mut guest, mut while_planned, mut longest, mut delay) = (0, 0, Duration::ZERO, Duration::ZERO);
    // While it is planned, and a while beyond.
    while guest < while_planned + 10 {
        let message = send(&format!("s-{guest}"), &phone(guest));
        let (took, idly) =
            tokio::join!(takes(&fleet, other, message.clone(), guest), takes(&idle, DEFAULT_TENANT, message, guest));
        longest = longest.max(took);
        delay = delay.max(took.saturating_sub(idly));
        guest += 1;
        if !store.job_is_planned(job).await.expect("the job can be read") {
            while_planned = guest;
        }
    }
    let urgent = with(send("urgent", &phone(999)), &[("priority", json!("urgent"))]);
    let before = fleet.sandbox.arrivals().len();
    let overtook = takes(&fleet, DEFAULT_TENANT, urgent, 999).await;
    let urgent_at = fleet.sandbox.arrivals().iter().position(|arrival| arrival.to == digits(999)).expect("it arrived");
    let went_before = urgent_at.saturating_sub(before);
    let counts: StateCounts = store.job_counts(job).await.expect("the counts can be read");
    let waiting = counts.get(MessageState::Queued);
    println!(
        "{while_planned} single messages while {PEOPLE} were planned, {guest} in all: the longest took {longest:?} and was \
         delayed by {delay:?}; the urgent one overtook {waiting} in {overtook:?}, after {went_before}"
    );
    assert!(while_planned > 2, "the broadcast was planned too soon to show anything");
    assert!(delay < DELAY_MOST, "a message of another tenant was delayed by {delay:?}");
    assert!(waiting > PEOPLE as u64 / 2, "{counts:?}");
    // Couriers hold two seconds' worth of tickets, and what they have claimed goes before it.
    assert!(went_before < 4 * RATE as usize, "{went_before} messages of the broadcast went before the urgent one");
    fleet.shutdown().await;
    idle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_of_100_000_delays_nobody_else_on_sqlite() {
    a_broadcast_delays_nobody_else(LedgerKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn a_broadcast_of_100_000_delays_nobody_else_on_postgres() {
    a_broadcast_delays_nobody_else(LedgerKind::Postgres).await;
}
