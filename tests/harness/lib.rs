//! What the tests stand on: ledgers of their own, the real program as a child process, a simulated provider, and the
//! one way to wait.
//!
//! A test never sleeps for a fixed time, and never shares a ledger, a port or a folder with another. Tests that need a
//! service carry `#[ignore = "needs …: run tests/run"]`; `tests/run` starts the services and leaves none out.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends with a clear text")]

pub mod collector;
mod finished;
pub mod fleet;
pub mod guests;
mod home;
pub mod http;
pub mod identity;
pub mod inputs;
pub mod ledger;
pub mod ports;
mod postgres;
mod process;
pub mod rabbitmq;
pub mod relay;
pub mod sandbox;
pub mod server;
mod shared_queue;
mod sqs;
pub mod wait;

pub use collector::Collector;
pub use finished::Finished;
pub use fleet::{FleetOptions, TestFleet};
pub use home::Home;
pub use identity::IdentityProvider;
pub use ledger::{LedgerKind, TestLedger, Time};
pub use process::KabarProcess;
pub use rabbitmq::{FreshExchange, PrivateBroker};
pub use relay::Relay;
pub use server::{PostgresServer, Stop};
pub use shared_queue::{QueueKind, SharedQueue};
pub use sqs::TestSqs;
pub use wait::eventually;
