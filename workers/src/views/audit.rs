//! A change that somebody made.

use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;

/// A change that somebody made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    /// When.
    pub(crate) happened_at: Timestamp,
    /// Who: `key:NAME`, `jwt:SUBJECT` or `cli:ACCOUNT`. Of a subject that may be personal, a hash.
    pub(crate) actor: String,
    /// What, such as `broadcast.pause`.
    pub(crate) action: String,
    /// To what, by its id or name. People go by the ledger's number of them.
    pub(crate) subject: String,
}

impl From<&kabar_store::AuditEntry> for AuditEntry {
    fn from(entry: &kabar_store::AuditEntry) -> Self {
        Self {
            happened_at: Timestamp(entry.happened_at),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
        }
    }
}
