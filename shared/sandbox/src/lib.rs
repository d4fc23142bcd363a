//! A server that speaks the WhatsApp Cloud API, so that a fleet can be run, tested and measured without an account.
//!
//! `kabar demo`, the tests and the benches start it in-process with [`Sandbox::start`]; `kabar sandbox` serves it
//! alone. It validates what the platform validates, answers in the platform's shapes, posts signed status webhooks
//! and, when told to by [`Faults`], misbehaves in the ways that the platform and the network do.
//!
//! The way of one send: `server` accepts the connection, `api` reads and checks the request with the rules in
//! `content`, `sends` decides its fate and records its arrival, and `webhooks` posts what became of it.
//!
//! ```
//! use kabar_sandbox::{Faults, Sandbox, SandboxConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kabar_sandbox::SandboxError> {
//! let sandbox = Sandbox::start(SandboxConfig::default()).await?;
//! // Point a client's API base at `sandbox.base_url()` and send; then make the way to it bad:
//! sandbox.set_faults(Faults { drop_after_accept_share: 0.01, ..Faults::default() });
//! assert_eq!(sandbox.counters().accepted, sandbox.arrivals().len() as u64);
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! What is not simulated: media upload, groups, business-scoped user ids, calls, and the 24-hour service window (a
//! free-form message is accepted at any time; see [`TEST_NUMBERS`] for a recipient that answers 131047).

mod api;
mod arrival;
mod config;
mod content;
mod control;
mod counters;
mod error;
mod faults;
mod numbers;
mod sandbox;
mod sends;
mod server;
mod shared;
mod templates;
mod test_numbers;
mod webhooks;

pub use arrival::Arrival;
pub use config::{SandboxConfig, WebhookTarget};
pub use counters::Counters;
pub use error::SandboxError;
pub use faults::Faults;
pub use sandbox::Sandbox;
pub use sends::log::ARRIVALS_KEPT_MAX;
pub use test_numbers::{Behaviour, TEST_NUMBERS, TestNumber};
pub use webhooks::payload::signature;
