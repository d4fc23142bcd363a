//! The fleet: the life of a process that runs workers.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of each process of the fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How long a process is taken for alive after its last heartbeat, 1 s to 10 minutes.
    pub lease: Duration,
    /// How long a process may take to stop, 1 s to 10 minutes.
    pub shutdown_deadline: Duration,
}

impl Fleet {
    /// How often the lease is renewed: every third of it, so that two renewals may fail.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.lease / 3
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { lease: reader.get("fleet.lease")?, shutdown_deadline: reader.get("fleet.shutdown_deadline")? })
    }
}
