//! Adding senders and changing who they are.

use std::fmt;

use kabar_domain::{pace::Rate, sender::ProviderKind};
use ring::digest;

use super::{ADD, ADD_PACE, BY_NAME, CHANGE, CHANGE_RATE, ELSEWHERE, FORGET_CUT, NewSender, Sender};
use crate::{
    Store, TenantId, Topic,
    db::{Tx, args},
    error::{StoreError, StoreResult},
    jobs::hex,
};

/// How much of a token's digest names the limits that its senders share: beyond chance, and no help in guessing the
/// token.
const SHARED_BY_BYTES: usize = 8;

/// What is to change of a sender; what is none stays.
#[derive(Clone, Default)]
pub struct SenderChange {
    /// Its address at the provider: a phone-number id.
    pub address: Option<String>,
    /// The business account whose limits it shares.
    pub account: Option<String>,
    /// The provider's application whose limits it shares.
    pub app: Option<String>,
    /// The provider's access token.
    pub access_token: Option<String>,
    /// The provider's address, without version.
    pub api_base: Option<String>,
    /// The version of the provider's API.
    pub api_version: Option<String>,
    /// Signs the provider's events for this sender alone.
    pub app_secret: Option<String>,
    /// The most messages per second; a cut of the old rate is forgotten.
    pub rate: Option<Rate>,
}

impl SenderChange {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { address, account, app, access_token, api_base, api_version, app_secret, rate } = self;
        let texts = [address, account, app, access_token, api_base, api_version, app_secret];
        texts.into_iter().all(Option::is_none) && rate.is_none()
    }
}

impl fmt::Debug for SenderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderChange")
            .field("address", &self.address)
            .field("api_base", &self.api_base)
            .field("api_version", &self.api_version)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Adds a sender, active, with a pace of its own.
    ///
    /// # Errors
    /// When the name is taken, the address is another tenant's, or the ledger cannot be written.
    pub async fn add_sender(&self, tenant: TenantId, new: &NewSender) -> StoreResult<Sender> {
        let mut tx = self.db.begin().await?;
        if !self.add_sender_in(&mut tx, tenant, new).await? {
            let name = &new.name;
            return Err(StoreError::Refused(format!(
                "there is a sender {name:?} already: change it with `kabar sender set {name}`"
            )));
        }
        tx.commit().await?;
        self.sender(tenant, &new.name).await
    }

    /// Adds the sender that the environment defines, or brings its address, token and API up to date. Its rate and
    /// state stay as people set them: a sender that was halted is resumed by a person alone.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn ensure_sender(&self, tenant: TenantId, new: &NewSender) -> StoreResult<Sender> {
        // Looked at without the write lock first: at nearly every start nothing has changed.
        let mut known = match self.db.optional(BY_NAME, args![tenant.0, new.name.as_str()]).await? {
            Some(row) => Some(self.opened(row)?),
            None => None,
        };
        if known.is_none() {
            let mut tx = self.db.begin().await?;
            self.add_sender_in(&mut tx, tenant, new).await?;
            tx.commit().await?;
        }
        let sender = match known.take() {
            Some(sender) => sender,
            None => self.sender(tenant, &new.name).await?,
        };
        let differs = |old: &str, new: &str| (old != new).then(|| new.to_owned());
        let change = SenderChange {
            address: differs(&sender.address, &new.address),
            account: new.account.as_deref().and_then(|account| differs(&sender.account, account)),
            app: new.app.as_deref().and_then(|app| differs(&sender.app, app)),
            access_token: differs(sender.token(), &new.access_token),
            api_base: differs(&sender.api_base, &new.api_base),
            api_version: differs(&sender.api_version, &new.api_version),
            app_secret: None,
            rate: None,
        };
        if change.is_empty() {
            return Ok(sender);
        }
        self.change_sender(tenant, &new.name, &change).await
    }

    /// Changes a sender; what it becomes.
    ///
    /// # Errors
    /// When there is none of the name, its new address is another tenant's, or the ledger cannot be written.
    pub async fn change_sender(&self, tenant: TenantId, name: &str, change: &SenderChange) -> StoreResult<Sender> {
        let sender = self.sender(tenant, name).await?;
        let token = change.access_token.as_deref();
        // Limits that were shared because of the old token are shared because of the new one.
        let moved = |of: &str| token.filter(|_| of == shared_by(sender.token())).map(shared_by);
        let values = args![
            sender.id,
            change.address.as_deref(),
            change.account.clone().or_else(|| moved(&sender.account)),
            change.app.clone().or_else(|| moved(&sender.app)),
            self.sealed(token)?,
            change.api_base.as_deref(),
            change.api_version.as_deref(),
            self.sealed(change.app_secret.as_deref())?,
            self.now_ms(),
        ];
        let mut tx = self.db.begin().await?;
        if let Some(address) = &change.address {
            ensure_not_elsewhere(&mut tx, tenant, sender.provider, address).await?;
        }
        tx.execute(CHANGE, values).await?;
        if let Some(rate) = change.rate {
            tx.execute(CHANGE_RATE, args![sender.id, rate.limit().map(i64::from), self.now_ms()]).await?;
            tx.execute(FORGET_CUT, args![sender.id]).await?;
        }
        self.note_change(&mut tx, tenant, "sender.change", name).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        self.sender(tenant, name).await
    }

    /// Whether it was added; not where the name is taken.
    async fn add_sender_in(&self, tx: &mut Tx, tenant: TenantId, new: &NewSender) -> StoreResult<bool> {
        ensure_not_elsewhere(tx, tenant, new.provider, &new.address).await?;
        let values = args![
            tenant.0,
            new.name.as_str(),
            new.provider.as_str(),
            new.address.as_str(),
            new.account.clone().unwrap_or_else(|| shared_by(&new.access_token)),
            new.app.clone().unwrap_or_else(|| shared_by(&new.access_token)),
            self.sealed(Some(&new.access_token))?,
            new.api_base.as_str(),
            new.api_version.as_str(),
            self.sealed(new.app_secret.as_deref())?,
            new.rate.limit().map(i64::from),
            self.now_ms(),
        ];
        let Some((id,)) = tx.optional::<(i64,), _>(ADD, values).await? else { return Ok(false) };
        tx.execute(ADD_PACE, args![id]).await?;
        self.note_change(tx, tenant, "sender.add", &new.name).await?;
        Ok(true)
    }

    fn sealed(&self, secret: Option<&str>) -> StoreResult<Option<String>> {
        secret.map(|secret| self.sealer.seal(secret.to_owned())).transpose()
    }
}

/// Refuses an address that a sender of another tenant has.
async fn ensure_not_elsewhere(tx: &mut Tx, tenant: TenantId, provider: ProviderKind, address: &str) -> StoreResult<()> {
    match tx.optional::<(String,), _>(ELSEWHERE, args![provider.as_str(), address, tenant.0]).await? {
        None => Ok(()),
        Some((owner,)) => Err(StoreError::Refused(format!(
            "{address} is a sender of the tenant {owner} already: one number has one owner, who hears its people"
        ))),
    }
}

/// The account and application of a sender that names none: those with the same token share limits.
fn shared_by(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    format!("token:{}", hex(&digest.as_ref()[..SHARED_BY_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_with_one_token_share_limits_and_do_not_show_it() {
        assert_eq!(shared_by("abc"), "token:ba7816bf8f01cfea");
        assert_ne!(shared_by("abc"), shared_by("abd"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let change = SenderChange { access_token: Some("EAAG".to_owned()), ..SenderChange::default() };
        assert!(!format!("{change:?}").contains("EAAG"));
    }
}
