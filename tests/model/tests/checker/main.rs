//! Walks through everything that can happen to messages, and looks for an order of events that breaks a promise.
//!
//! Each broken variant leaves out one rule of the design and must be caught: that the checker would see it is as
//! much worth knowing as that it sees nothing wrong with the real rules.

mod promises;
mod same;
mod world;

use kabar_domain::job::OnDoubt;
use kabar_model::Rules;
use stateright::{Checker, HasDiscoveries, Model, Path};

use world::{Happens, World, Worlds};

/// Two processes, each with a courier; the receipts come within the grace time.
const TWO_PROCESSES: Worlds = Worlds {
    rules: Rules::REAL,
    couriers: &[0, 1],
    on_doubt: &[OnDoubt::Auto],
    misfortunes: 3,
    receipts_in_time: true,
    requests_end_in_time: true,
    stops: false,
    most_attempts: usize::MAX,
};

/// One process, two batches of which wait for their slots at the same time.
const ONE_PROCESS: Worlds = Worlds { couriers: &[0, 0], ..TWO_PROCESSES };

fn check(worlds: Worlds, until: HasDiscoveries) -> impl Checker<Worlds> {
    let checked = worlds.checker().threads(2).finish_when(until).spawn_bfs().join();
    println!("{} worlds in {} ways", checked.unique_state_count(), checked.state_count());
    checked
}

/// Every promise holds in every world.
fn holds(worlds: Worlds) {
    let checked = check(worlds, HasDiscoveries::AnyFailures);
    if let Some((promise, path)) = checked.discoveries().iter().next() {
        panic!("not so: {promise}\n{}", told(path));
    }
}

/// The checker finds a way to break this promise.
fn breaks(promise: &'static str, worlds: Worlds) {
    let checked = check(worlds, HasDiscoveries::AnyOf([promise].into()));
    let path = checked.discovery(promise).unwrap_or_else(|| panic!("nothing breaks this: {promise}"));
    println!("{promise}, broken:\n{}", told(&path));
}

/// This promise holds in every world, though others may not.
fn keeps(promise: &'static str, worlds: Worlds) {
    let checked = check(worlds, HasDiscoveries::AnyOf([promise].into()));
    if let Some(path) = checked.discovery(promise) {
        panic!("not so: {promise}\n{}", told(&path));
    }
}

fn told(path: &Path<World, Happens>) -> String {
    let steps = path.clone().into_vec();
    let step = |(world, next): &(World, Option<Happens>)| {
        let states: Vec<_> = world.ledger.messages.iter().map(|message| message.state.as_str()).collect();
        let next = next.as_ref().map(|next| format!("{next:?}")).unwrap_or_default();
        format!("  {:<22} {next}", states.join(" "))
    };
    steps.iter().map(step).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_promise_holds_with_two_processes() {
    holds(TWO_PROCESSES);
}

#[test]
fn every_promise_holds_with_two_batches_of_a_process() {
    holds(ONE_PROCESS);
}

#[test]
fn every_promise_holds_with_cancels_and_blocks() {
    holds(Worlds { misfortunes: 2, stops: true, ..TWO_PROCESSES });
}

#[test]
fn every_promise_holds_with_two_messages() {
    holds(Worlds { couriers: &[0], on_doubt: &[OnDoubt::Auto, OnDoubt::Hold], misfortunes: 1, ..TWO_PROCESSES });
}

#[test]
fn held_messages_are_never_sent_twice_whatever_the_receipts_do() {
    let worst = Worlds { receipts_in_time: false, requests_end_in_time: false, ..TWO_PROCESSES };
    holds(Worlds { on_doubt: &[OnDoubt::Hold], ..worst });
}

/// The residual risk, as `RELIABILITY.md` has it.
#[test]
fn a_receipt_that_never_comes_looks_like_absence() {
    breaks(promises::NOTHING_TWICE, Worlds { receipts_in_time: false, ..TWO_PROCESSES });
}

/// Why the grace time is longer than any request takes.
#[test]
fn a_request_that_outlives_the_grace_time_arrives_twice() {
    breaks(promises::NOTHING_TWICE, Worlds { requests_end_in_time: false, ..TWO_PROCESSES });
}

/// `resend` asks for it.
#[test]
fn a_policy_that_sends_again_may_send_twice() {
    let unheard = Worlds { receipts_in_time: false, ..TWO_PROCESSES };
    breaks(promises::NOTHING_TWICE, Worlds { on_doubt: &[OnDoubt::Resend], ..unheard });
}

#[test]
fn broken_a_rescue_that_sends_again() {
    let rules = Rules { rescue_doubts: false, ..Rules::REAL };
    breaks(promises::NOTHING_TWICE, Worlds { rules, ..TWO_PROCESSES });
}

#[test]
fn broken_a_timeout_that_sends_again() {
    let rules = Rules { timeouts_doubt: false, ..Rules::REAL };
    breaks(promises::NOTHING_TWICE, Worlds { rules, ..TWO_PROCESSES });
}

#[test]
fn broken_a_start_without_a_fence() {
    let rules = Rules { start_is_fenced: false, ..Rules::REAL };
    breaks(promises::NOTHING_TWICE, Worlds { rules, ..TWO_PROCESSES });
}

#[test]
fn broken_a_fence_that_refuses_late_outcomes() {
    let rules = Rules { late_outcomes_count: false, ..Rules::REAL };
    breaks(promises::EVIDENCE_COUNTS, Worlds { rules, ..TWO_PROCESSES });
}

#[test]
fn broken_a_start_that_does_not_look_again() {
    let rules = Rules { start_is_fenced: false, start_looks_again: false, ..Rules::REAL };
    breaks(promises::STOPPED_IS_STOPPED, Worlds { rules, stops: true, ..TWO_PROCESSES });
}

/// Of two batches that held the same message, the one that is refused must not undo the start of the other.
#[test]
fn broken_a_give_back_of_what_another_batch_is_sending() {
    let rules = Rules { starts_are_known_by_slot: false, ..Rules::REAL };
    breaks(promises::NOTHING_TWICE, Worlds { rules, ..ONE_PROCESS });
}

/// Cancelled while it waited to be sent again, and then it turns out to have been sent.
#[test]
fn broken_an_end_that_evidence_does_not_move() {
    let rules = Rules { evidence_moves_the_ended: false, ..Rules::REAL };
    let late = Worlds { receipts_in_time: false, stops: true, misfortunes: 2, ..TWO_PROCESSES };
    breaks(promises::RECEIPTS_SHOW, Worlds { rules, ..late });
}

/// However late a receipt comes, and whatever became of the message meanwhile.
#[test]
fn late_receipts_show() {
    let late = Worlds { receipts_in_time: false, stops: true, couriers: &[0], misfortunes: 0, ..TWO_PROCESSES };
    // Where receipts are late, a message may be sent again and again.
    let late = Worlds { most_attempts: 2, ..late };
    keeps(promises::RECEIPTS_SHOW, late);
}

#[test]
fn broken_a_claim_without_an_end() {
    let rules = Rules { old_claims_end: false, ..Rules::REAL };
    breaks(promises::A_WAY_FORWARD, Worlds { rules, ..TWO_PROCESSES });
}

#[test]
fn broken_sending_without_an_end() {
    let rules = Rules { old_sending_doubts: false, ..Rules::REAL };
    breaks(promises::A_WAY_FORWARD, Worlds { rules, ..TWO_PROCESSES });
}
