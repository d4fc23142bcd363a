//! What the sandbox has counted since it started.

use serde::Serialize;

/// Totals since the start. `received` is the sum of `accepted`, `throttled`, `failed` and the sends that were dropped
/// before they were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Sends that arrived.
    pub received: u64,
    /// Sends that were accepted, answered or not.
    pub accepted: u64,
    /// Sends refused because they came too fast, by a limit or by a burst of throttling.
    pub throttled: u64,
    /// Sends refused for any other reason.
    pub failed: u64,
    /// Connections closed without an answer, before or after the message was accepted.
    pub dropped: u64,
    /// Of `dropped`, those whose message had been accepted.
    pub dropped_after_accept: u64,
    /// Webhook requests that the receiver answered with 200.
    pub webhooks_posted: u64,
    /// Status and inbound updates in those requests.
    pub webhook_updates_posted: u64,
    /// Webhook requests that were not answered with 200, each of them tried again within a bound.
    pub webhook_posts_failed: u64,
    /// Status updates that were left out on purpose, by the loss fault.
    pub webhook_updates_lost: u64,
    /// Updates that were given up: the receiver never answered 200, or too many were waiting, or there is no target
    /// any more.
    pub webhook_updates_abandoned: u64,
}
