//! The business identities that messages come from, with their credentials and limits.
//!
//! A sender's row says who it is and whether people and providers let it send; how fast it may send now, and whether it
//! is parked, is in its `pace` row, which is written far more often. Both are made together.

use std::fmt;

use kabar_domain::{
    pace::Rate,
    sender::{ProviderKind, SenderState},
};

use crate::{
    Store, TenantId,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
};

mod change;
mod state;

pub use change::SenderChange;
pub(crate) use state::halt_senders;

/// The most names that an error lists.
const MOST_NAMES: i64 = 10;

statements! {
    SENDERS = "select id, tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, state_reason, receipts_through, last_receipt_at, created_at
from senders where tenant_id = $1 order by name";
    ALL = "select id, tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, state_reason, receipts_through, last_receipt_at, created_at
from senders order by tenant_id, name";
    BY_NAME = "select id, tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, state_reason, receipts_through, last_receipt_at, created_at
from senders where tenant_id = $1 and name = $2";
    BY_ID = "select id, tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, state_reason, receipts_through, last_receipt_at, created_at
from senders where id = $1";
    BY_ADDRESS = "select id, tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, state_reason, receipts_through, last_receipt_at, created_at
from senders where provider = $1 and address = $2 order by id";
    /// One number has one pace, and what its people say is heard by one tenant.
    ELSEWHERE = "select tenants.name from senders join tenants on tenants.id = senders.tenant_id
where senders.provider = $1 and senders.address = $2 and senders.tenant_id <> $3 limit 1";
    PROVIDER = "select provider from senders where id = $1";
    NAMES = "select name from senders where tenant_id = $1 order by name limit $2";
    ADD = "insert into senders (tenant_id, name, provider, address, account, app, portfolio, credentials, api_base, api_version,
  app_secret, rate_per_second, state, receipts_through, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10, $11, 'active', 0, $12, $12)
on conflict (tenant_id, name) do nothing
returning id";
    ADD_PACE = "insert into pace (sender_id, next_slot_us, clock_us, rate_changed_at, parked_until, park_streak,
  ticketed_until)
values ($1, 0, 0, 0, 0, 0, 0)";
    CHANGE = "update senders set address = coalesce($2, address), account = coalesce($3, account),
  app = coalesce($4, app), credentials = coalesce($5, credentials), api_base = coalesce($6, api_base),
  api_version = coalesce($7, api_version), app_secret = coalesce($8, app_secret), updated_at = $9
where id = $1";
    CHANGE_RATE = "update senders set rate_per_second = $2, updated_at = $3 where id = $1";
    /// A cut was measured against the old rate.
    FORGET_CUT = "update pace set effective_rate_milli = null where sender_id = $1";
    PAUSE = "update senders set state = 'paused', state_reason = $2, updated_at = $3 where id = $1";
    RESUME = "update senders set state = 'active', state_reason = null, updated_at = $2 where id = $1";
    UNPARK = "update pace set parked_until = 0, park_reason = null, park_streak = 0 where sender_id = $1";
    HALT = "update senders set state = 'halted', state_reason = $2, updated_at = $3
where id in (select cast(value as bigint) from json_each($1)) and state <> 'halted'";
    /// Few are claimed; hence no index for the sender.
    HELD = "select id from messages
where state = 'claimed' and +sender_id in (select cast(value as bigint) from json_each($1))";
    GIVE_BACK = "update messages set state = 'queued', lease_id = null, updated_at = $2
where id in (select cast(value as bigint) from json_each($1)) and state = 'claimed'";
}

/// A sender that is to be added.
#[derive(Clone)]
pub struct NewSender {
    /// What people call it; unique per tenant.
    pub name: String,
    /// Who carries its messages.
    pub provider: ProviderKind,
    /// Its address at the provider: a phone-number id.
    pub address: String,
    /// The business account whose limits it shares; where absent, senders with the same token count as one.
    pub account: Option<String>,
    /// The provider's application whose limits it shares; where absent, senders with the same token count as one.
    pub app: Option<String>,
    /// The provider's access token.
    pub access_token: String,
    /// The provider's address, without version.
    pub api_base: String,
    /// The version of the provider's API.
    pub api_version: String,
    /// Signs the provider's events for this sender alone; where absent, the deployment's secret does.
    pub app_secret: Option<String>,
    /// The most messages per second.
    pub rate: Rate,
}

/// Who a sender is, and whether people and providers let it send.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The ledger's id.
    pub id: i64,
    /// Who owns it.
    pub tenant: TenantId,
    /// What people call it; unique per tenant.
    pub name: String,
    /// Who carries its messages.
    pub provider: ProviderKind,
    /// Its address at the provider: a phone-number id.
    pub address: String,
    /// The business account whose limits it shares.
    pub account: String,
    /// The provider's application whose limits it shares.
    pub app: String,
    /// The business portfolio whose budget of people it shares; its account unless it was moved.
    pub portfolio: String,
    /// The provider's address, without version.
    pub api_base: String,
    /// The version of the provider's API.
    pub api_version: String,
    /// The most messages per second, as configured.
    pub rate: Rate,
    /// Whether it may send.
    pub state: SenderState,
    /// Why it may not.
    pub state_reason: Option<String>,
    /// The start of its latest attempt that a receipt vouched for, in Unix milliseconds; 0 before any.
    pub receipts_through: i64,
    /// When the latest receipt came, in Unix milliseconds.
    pub last_receipt_at: Option<i64>,
    /// When it was added, in Unix milliseconds.
    pub created_at: i64,
    token: Masked,
    app_secret: Option<Masked>,
}

impl Sender {
    /// The provider's access token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token.0
    }

    /// The secret that signs the provider's events for this sender alone.
    #[must_use]
    pub fn app_secret(&self) -> Option<&str> {
        self.app_secret.as_ref().map(|secret| secret.0.as_str())
    }
}

/// A secret, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
struct Masked(String);

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for NewSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSender")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("address", &self.address)
            .field("api_base", &self.api_base)
            .field("api_version", &self.api_version)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

row! {
    struct SenderRow {
        id: i64,
        tenant_id: i64,
        name: String,
        provider: String,
        address: String,
        account: String,
        app: String,
        portfolio: String,
        credentials: String,
        api_base: String,
        api_version: String,
        app_secret: Option<String>,
        rate_per_second: Option<i64>,
        state: String,
        state_reason: Option<String>,
        receipts_through: i64,
        last_receipt_at: Option<i64>,
        created_at: i64,
    }
}

/// The rate that the ledger holds as `rate_per_second`; none is unlimited.
pub(crate) fn rate_of(per_second: Option<i64>) -> Rate {
    match per_second {
        None => Rate::Unlimited,
        Some(rate) => u32::try_from(rate).ok().and_then(|rate| Rate::per_second(rate).ok()).unwrap_or_default(),
    }
}

/// The name of the channel that the provider with this name carries.
pub(crate) fn channel_of(provider: &str) -> StoreResult<&'static str> {
    provider_of(provider).map(|provider| provider.channel().as_str())
}

fn provider_of(name: &str) -> StoreResult<ProviderKind> {
    name.parse().map_err(|error| StoreError::unreadable("a sender's provider", error))
}

impl Store {
    /// A tenant's senders, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read, or its credentials are sealed with another key.
    pub async fn senders(&self, tenant: TenantId) -> StoreResult<Vec<Sender>> {
        let rows: Vec<SenderRow> = self.db.all(SENDERS, args![tenant.0]).await?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// The senders of all tenants, by tenant and name.
    ///
    /// # Errors
    /// When the ledger cannot be read, or its credentials are sealed with another key.
    pub async fn all_senders(&self) -> StoreResult<Vec<Sender>> {
        let rows: Vec<SenderRow> = self.db.all(ALL, args![]).await?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// The sender of a name.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn sender(&self, tenant: TenantId, name: &str) -> StoreResult<Sender> {
        match self.db.optional(BY_NAME, args![tenant.0, name]).await? {
            Some(row) => self.opened(row),
            None => Err(self.no_sender(tenant, name).await),
        }
    }

    /// The sender with the ledger's id.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn sender_by_id(&self, id: i64) -> StoreResult<Sender> {
        let row: Option<SenderRow> = self.db.optional(BY_ID, args![id]).await?;
        self.opened(row.ok_or_else(|| StoreError::not_found("sender", id.to_string()))?)
    }

    /// The senders, of all tenants, with this address at this provider.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn senders_by_address(&self, provider: ProviderKind, address: &str) -> StoreResult<Vec<Sender>> {
        let rows: Vec<SenderRow> = self.db.all(BY_ADDRESS, args![provider.as_str(), address]).await?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// The name of the channel of a sender that exists.
    pub(crate) async fn channel_of_sender(&self, tx: &mut Tx, id: i64) -> StoreResult<&'static str> {
        let (provider,): (String,) = tx.one(PROVIDER, args![id]).await?;
        channel_of(&provider)
    }

    /// The error for a sender that does not exist, with those that do.
    async fn no_sender(&self, tenant: TenantId, name: &str) -> StoreError {
        let known: Vec<(String,)> = match self.db.all(NAMES, args![tenant.0, MOST_NAMES]).await {
            Ok(known) => known,
            Err(error) => return error,
        };
        let known: Vec<String> = known.into_iter().map(|(name,)| format!("{name:?}")).collect();
        let hint = if known.is_empty() {
            ": there is none yet; `kabar sender add` adds one".to_owned()
        } else {
            format!(": there is {}; `kabar sender add` adds one", known.join(", "))
        };
        StoreError::NotFound { what: "sender", name: name.to_owned(), hint }
    }

    fn opened(&self, row: SenderRow) -> StoreResult<Sender> {
        Ok(Sender {
            id: row.id,
            tenant: TenantId(row.tenant_id),
            name: row.name,
            provider: provider_of(&row.provider)?,
            address: row.address,
            account: row.account,
            app: row.app,
            portfolio: row.portfolio,
            api_base: row.api_base,
            api_version: row.api_version,
            rate: rate_of(row.rate_per_second),
            state: row.state.parse().map_err(|error| StoreError::unreadable("a sender's state", error))?,
            state_reason: row.state_reason,
            receipts_through: row.receipts_through,
            last_receipt_at: row.last_receipt_at,
            created_at: row.created_at,
            token: Masked(self.sealer.open(row.credentials)?),
            app_secret: row.app_secret.map(|secret| self.sealer.open(secret).map(Masked)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_unlimited_where_the_ledger_holds_none() {
        assert_eq!(rate_of(None), Rate::Unlimited);
        assert_eq!(rate_of(Some(80)).limit(), Some(80));
        assert_eq!(rate_of(Some(-1)), Rate::default());
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Masked("token".to_owned())), "***");
    }
}
