//! Seeds of what names a job, a message and an attempt in traces.
//!
//! They are worked out from ids under this ledger's key, so that every process comes to the same ones and no two ledgers
//! do, and nothing of them is stored.

use ring::hmac;

use crate::Store;

/// What a trace tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traced {
    /// A job, by the ledger's id.
    Job(i64),
    /// A message.
    Message(i64),
    /// An attempt: its message and its number.
    Attempt(i64, i64),
}

impl Store {
    /// A seed that looks like chance and is always the same; none before the ledger's key is at hand.
    #[must_use]
    pub fn trace_seed(&self, of: Traced) -> Option<[u8; 32]> {
        // Unlike what attempts carry along, for which the key serves as well.
        let text = match of {
            Traced::Job(job) => format!("trace.job.{job}"),
            Traced::Message(message) => format!("trace.message.{message}"),
            Traced::Attempt(message, number) => format!("trace.attempt.{message}.{number}"),
        };
        hmac::sign(self.opaque_key.get()?, text.as_bytes()).as_ref().try_into().ok()
    }
}
