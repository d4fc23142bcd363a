//! The few statements that must differ between the databases, each with its reason.

use crate::db::Sql;

mod accept;
mod clock;
mod locking;

pub(crate) use accept::{ACCEPT_ATTEMPTS, ACCEPT_MESSAGES};
pub(crate) use clock::{READ_CLOCK, REANCHOR_SLOTS, RESERVE_SLOTS};
pub(crate) use locking::{
    CLAIM_AND_START_LANE, CLAIM_EVENTS, CLAIM_JOB, CLAIM_LANE, LOCK_BUDGET, LOCK_MESSAGES, LOCK_PACE, LOCK_PAIRS,
    LOCK_TENANT, NOTE_TURN, TAKE_LINE_ITEMS,
};

/// Every statement of this folder, for the test that prepares them all.
pub(crate) const STATEMENTS: &[(&str, Sql)] = &[
    ("ACCEPT_MESSAGES", ACCEPT_MESSAGES),
    ("ACCEPT_ATTEMPTS", Sql { sqlite: ACCEPT_ATTEMPTS, postgres: ACCEPT_ATTEMPTS }),
    ("RESERVE_SLOTS", RESERVE_SLOTS),
    ("REANCHOR_SLOTS", REANCHOR_SLOTS),
    ("READ_CLOCK", READ_CLOCK),
    ("CLAIM_LANE", CLAIM_LANE),
    ("CLAIM_AND_START_LANE", CLAIM_AND_START_LANE),
    ("NOTE_TURN", NOTE_TURN),
    ("CLAIM_EVENTS", CLAIM_EVENTS),
    ("CLAIM_JOB", CLAIM_JOB),
    ("LOCK_MESSAGES", LOCK_MESSAGES),
    ("LOCK_BUDGET", LOCK_BUDGET),
    ("LOCK_PACE", LOCK_PACE),
    ("LOCK_PAIRS", LOCK_PAIRS),
    ("LOCK_TENANT", LOCK_TENANT),
    ("TAKE_LINE_ITEMS", TAKE_LINE_ITEMS),
];
