//! Templates: the message forms which a provider approved.

use std::time::Duration;

use crate::reader::Reader;

/// Settings of templates.
#[derive(Debug, Clone)]
pub struct Templates {
    /// Whether a template that kabar does not know is refused rather than sent as given (`strict_templates`).
    pub strict: bool,
    /// How often the provider's list is taken over, 1 minute to 30 days; none: only when a person asks for it.
    pub sync_every: Option<Duration>,
}

impl Templates {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let strict = reader.get("templates.strict");
        let sync_every = reader.get("templates.sync_every");
        Some(Self { strict: strict?, sync_every: sync_every? })
    }
}
