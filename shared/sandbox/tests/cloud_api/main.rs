//! The sandbox as its users meet it: over HTTP, one test binary for all of it.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod api;
mod control;
mod faults;
mod support;
mod templates;
mod webhooks;
