//! Doubt: messages that were perhaps posted, perhaps not.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of the settling of doubt.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// How long an in-doubt message waits for a receipt before evidence or policy decides, 100 ms to 7 days.
    pub grace: Duration,
}

impl Doubt {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { grace: reader.get("doubt.grace")? })
    }
}
