//! A message form that a provider approved.

use kabar_store::StoredTemplate;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Timestamp;

/// A message form that a provider approved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Template {
    name: String,
    /// Such as `id` or `en_US`.
    language: String,
    /// Such as `UTILITY`.
    category: String,
    /// Such as `APPROVED`.
    status: String,
    /// The provider's own list.
    #[schema(value_type = Vec<Object>)]
    components: Vec<Value>,
    /// Its messages wait until then; null where they do not.
    paused_until: Option<Timestamp>,
    /// When it last changed.
    updated_at: Timestamp,
}

impl From<&StoredTemplate> for Template {
    fn from(stored: &StoredTemplate) -> Self {
        let template = &stored.template;
        Self {
            name: template.name.clone(),
            language: template.language.clone(),
            category: template.category.clone(),
            status: template.status.clone(),
            components: template.components.clone(),
            paused_until: (stored.paused_until > 0).then_some(Timestamp(stored.paused_until)),
            updated_at: Timestamp(stored.updated_at),
        }
    }
}
