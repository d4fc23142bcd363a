//! A business identity that messages come from, without its secrets.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Rate, Timestamp};

/// A business identity that messages come from, without its secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Sender {
    name: String,
    /// Who carries its messages, such as `whatsapp_cloud`.
    provider: &'static str,
    /// Its address at the provider.
    phone_number_id: String,
    /// The business account whose limits it shares.
    account: String,
    /// The provider's application whose limits it shares.
    app: String,
    /// The business portfolio whose budget of people it shares.
    portfolio: String,
    /// The provider's address, without version.
    api_base: String,
    /// The version of the provider's API.
    api_version: String,
    /// Whether it has an app secret of its own.
    own_app_secret: bool,
    /// The most messages per second, as configured.
    rate: Rate,
    /// `active`, `paused` or `halted`.
    state: &'static str,
    /// Why it does not send.
    reason: Option<String>,
    /// When the latest receipt came.
    last_receipt_at: Option<Timestamp>,
    /// When it was added.
    created_at: Timestamp,
}

/// How many different people a business portfolio may write to in a moving day.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Budget {
    /// How many; none: as many as there are.
    people_per_day: Option<u64>,
    /// How many it has, those aside who wrote within a day before.
    people: u64,
}

impl From<kabar_store::Budget> for Budget {
    fn from(budget: kabar_store::Budget) -> Self {
        Self { people_per_day: budget.people_per_day, people: budget.people }
    }
}

impl From<&kabar_store::Sender> for Sender {
    fn from(sender: &kabar_store::Sender) -> Self {
        Self {
            name: sender.name.clone(),
            provider: sender.provider.as_str(),
            phone_number_id: sender.address.clone(),
            account: sender.account.clone(),
            app: sender.app.clone(),
            portfolio: sender.portfolio.clone(),
            api_base: sender.api_base.clone(),
            api_version: sender.api_version.clone(),
            own_app_secret: sender.app_secret().is_some(),
            rate: Rate(sender.rate),
            state: sender.state.as_str(),
            reason: sender.state_reason.clone(),
            last_receipt_at: sender.last_receipt_at.map(Timestamp),
            created_at: Timestamp(sender.created_at),
        }
    }
}
