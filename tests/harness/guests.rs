//! The people that tests write to: guests, numbered from 0.

use std::{collections::BTreeMap, ops::Range};

use kabar_sandbox::Arrival;
use serde_json::{Value, json};

/// The phone number of the guest with this index, as E.164.
#[must_use]
pub fn phone(index: usize) -> String {
    format!("+62812{:07}", 1_000_000 + index)
}

/// The same as the provider sees it: digits without a plus.
#[must_use]
pub fn digits(index: usize) -> String {
    phone(index).trim_start_matches('+').to_owned()
}

/// These guests as a job's audience, by number and name.
#[must_use]
pub fn recipients(guests: Range<usize>) -> Vec<Value> {
    guests.map(|index| json!({"to": phone(index), "name": name(index)})).collect()
}

/// The first `count` guests as a file for `kabar broadcast start`.
#[must_use]
pub fn csv(count: usize) -> String {
    let rows: String = (0..count).map(|index| format!("{},{}\n", phone(index), name(index))).collect();
    format!("phone,name\n{rows}")
}

fn name(index: usize) -> String {
    format!("Guest {index}")
}

/// How often the provider accepted a message for each recipient, by [`digits`].
#[must_use]
pub fn accepted(arrivals: &[Arrival]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.accepted) {
        *counts.entry(arrival.to.clone()).or_default() += 1;
    }
    counts
}

/// Fails unless the provider accepted one message for each of `count` recipients.
///
/// # Panics
/// When it accepted more for one, or for more or fewer of them.
#[track_caller]
pub fn assert_each_accepted_once(arrivals: &[Arrival], count: usize) {
    let accepted = accepted(arrivals);
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "accepted more than once: {twice:?}");
    assert_eq!(accepted.len(), count, "recipients that a message was accepted for");
}
