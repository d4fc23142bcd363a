//! Templates: the message forms which a provider approved.

use crate::reader::Reader;

/// Settings of templates.
#[derive(Debug, Clone)]
pub struct Templates {
    /// Whether a template that kabar does not know is refused rather than sent as given (`strict_templates`).
    pub strict: bool,
}

impl Templates {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { strict: reader.get("templates.strict")? })
    }
}
