//! What must hold when a worker dies, a service is away or a provider misbehaves.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends with a clear text")]

mod clock_steps;
mod disk_full;
mod killed;
mod many_at_once;
mod migrating;
mod points;
mod rabbitmq;
mod rabbitmq_fleet;
mod server_away;
mod sqs;
mod stage;
mod stalled;
mod stopping;
mod storm;
mod tickets_gone;
