//! Whole flows through a fleet: from a job to what the provider saw and what the ledger says of it.

mod blocks;
mod broadcast;
mod halt;
mod support;
mod throttle;
