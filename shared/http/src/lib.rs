//! The HTTP client of everything that asks others: the providers of messages and of identities.
//!
//! It is made in one place, so that trust, proxies and what must never be repeated are decided once.

mod client;

pub use client::{ClientError, ClientOptions, client};
