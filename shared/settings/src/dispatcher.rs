//! The dispatcher: how much work is out as tickets.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of the dispatcher.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    /// How much of a sender's work is out as tickets, 100 ms to 1 minute of sending at its rate.
    pub ticket_horizon: Duration,
    /// The most tickets of all senders that are out at the same time, 1 to 100,000.
    pub max_tickets: u32,
}

impl Dispatcher {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            ticket_horizon: reader.get("dispatcher.ticket_horizon")?,
            max_tickets: reader.get("dispatcher.max_tickets")?,
        })
    }
}
