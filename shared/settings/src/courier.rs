//! The couriers: how much they send at once, how long they wait, when they try again.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of the couriers.
#[derive(Debug, Clone)]
pub struct Courier {
    /// The most batches that one process sends at the same time, 1 to 1024.
    pub max_batches: usize,
    /// The most tries that a message may spend before it fails, 1 to 100.
    pub max_tries: u32,
    /// The longest wait for a connection to a provider, 100 ms to 1 minute; at most the request timeout.
    pub connect_timeout: Duration,
    /// The longest wait for a provider's whole answer, 1 s to 5 minutes.
    pub request_timeout: Duration,
    /// The wait before the second try, 100 ms to 1 hour; at most `retry_most`.
    pub retry_first: Duration,
    /// The longest wait between two tries, 1 s to 1 day.
    pub retry_most: Duration,
    /// How long a throttled sender is parked at first, 100 ms to 1 hour; at most `park_most`.
    pub park_first: Duration,
    /// The longest that a sender is parked at a time unless the provider says longer, 1 s to 1 day.
    pub park_most: Duration,
    /// Connect errors and 5xx answers in a row which park a sender, 1 to 1000.
    pub outage_run: u32,
}

impl Courier {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let courier = Self {
            max_batches: reader.get("courier.max_batches")?,
            max_tries: reader.get("courier.max_tries")?,
            connect_timeout: reader.get("courier.connect_timeout")?,
            request_timeout: reader.get("courier.request_timeout")?,
            retry_first: reader.get("courier.retry_first")?,
            retry_most: reader.get("courier.retry_most")?,
            park_first: reader.get("courier.park_first")?,
            park_most: reader.get("courier.park_most")?,
            outage_run: reader.get("courier.outage_run")?,
        };
        for (less, more, keys) in [
            (courier.connect_timeout, courier.request_timeout, ["courier.connect_timeout", "courier.request_timeout"]),
            (courier.retry_first, courier.retry_most, ["courier.retry_first", "courier.retry_most"]),
            (courier.park_first, courier.park_most, ["courier.park_first", "courier.park_most"]),
        ] {
            reader.require(less <= more, &keys, "the first must not be longer than the second");
        }
        Some(courier)
    }
}
