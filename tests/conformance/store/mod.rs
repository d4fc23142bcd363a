//! What the ledger must do, on every database that it may live in. Each check is a test of SQLite, one of Postgres and one
//! of Postgres behind PgBouncer, on a ledger of its own whose clock stands still until the check moves it.
//!
//! Together the checks call every public function of `Store` and of the writer. What several need is in [`fixtures`].
#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

mod fixtures;

mod access;
mod broadcasts;
mod budgets;
mod claims;
mod clocks;
mod courtesy;
mod dead_letters;
mod doubts;
mod jobs;
mod leases;
mod lines;
mod model;
mod pace;
mod pairs;
mod people;
mod planning;
mod receipts;
mod reminders;
mod repair;
mod schedules;
mod senders;
mod settling;
mod starts;
mod tables;
mod templates;
mod views;
mod wishes;
mod writer;
