//! Repair: the walk through the ledger that mends what has no way forward.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of the repair.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The rest between two walks, 1 s to 1 day.
    pub every: Duration,
}

impl Repair {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { every: reader.get("repair.every")? })
    }
}
