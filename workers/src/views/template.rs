//! A message form that a provider approved.

use kabar_domain::template::Parameter;
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
    /// `POSITIONAL` or `NAMED`.
    parameter_format: Option<String>,
    /// Why the provider refused it.
    rejected_reason: Option<String>,
    /// What messages must give it.
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Parameter>,
    /// The provider's own list.
    #[schema(value_type = Vec<Object>)]
    components: Vec<Value>,
    /// The account that it was taken over from; null where it was added by hand.
    account: Option<String>,
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
            parameter_format: template.parameter_format.clone(),
            rejected_reason: template.rejected_reason.clone(),
            parameters: template.parameters(),
            components: template.components.clone(),
            account: (!stored.account.is_empty()).then(|| stored.account.clone()),
            paused_until: (stored.paused_until > 0).then_some(Timestamp(stored.paused_until)),
            updated_at: Timestamp(stored.updated_at),
        }
    }
}
