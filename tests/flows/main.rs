//! Whole flows through a fleet: from a job to what the provider saw and what the ledger says of it.

mod broadcast;
