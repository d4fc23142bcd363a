//! Whole flows through a fleet: from a job to what the provider saw and what the ledger says of it.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends with a clear text")]

mod admission;
mod apart;
mod api;
mod bad_input;
mod blocks;
mod broadcast;
mod budget;
mod changes;
mod courtesy;
mod delays;
mod doubt;
mod examples;
mod halt;
mod logs;
mod operator;
mod pairs;
mod program;
mod provider_down;
mod reminders;
mod support;
mod templates;
mod tenants;
mod throttle;
mod traces;
mod urgent;
mod webhooks;
mod wishes;
