//! Webhooks: what is to be reported and when, its JSON, its signature, and the task that posts it.

pub(crate) mod outbox;
pub(crate) mod payload;
pub(crate) mod plan;
pub(crate) mod poster;
pub(crate) mod update;
