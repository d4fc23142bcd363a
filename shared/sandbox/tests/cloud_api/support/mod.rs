//! What the tests of this crate share: a client that speaks the Cloud API, and a receiver of webhooks.

pub(crate) mod client;
pub(crate) mod receiver;
