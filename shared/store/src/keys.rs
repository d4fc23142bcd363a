//! Keys of the HTTP API: who may do what for which tenant, and how much.
//!
//! A key is 256 random bits, so its plain SHA-256 is as safe to keep as a slow hash is for a password, and finds the key
//! by an index. It is shown once, when it is made.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kabar_domain::scope::Scope;
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
    jobs::hex,
};

/// How every key begins, so that people and scanners know one when they see it.
const MARK: &str = "kabar_";

/// Random bytes of a key.
const SECRET_BYTES: usize = 32;

/// How much of a key is kept to be shown: enough to tell keys apart, no help in guessing.
const PREFIX_CHARS: usize = MARK.len() + 6;

/// The use of a key is noted this often at most, so that a busy one costs no commit a request.
const NOTE_USE_EVERY_MS: i64 = 60_000;

statements! {
    ADD = "insert into api_keys (tenant_id, name, prefix, hash, scopes, messages_per_minute, spent_until_us, created_at,
  expires_at)
values ($1, $2, $3, $4, $5, $6, 0, $7, $8)
on conflict (tenant_id, name) do nothing returning id";
    LIST = "select id, tenant_id, name, prefix, scopes, messages_per_minute, created_at, expires_at, revoked_at,
  last_used_at
from api_keys where tenant_id = $1 order by id";
    BY_HASH = "select id, tenant_id, name, prefix, scopes, messages_per_minute, created_at, expires_at, revoked_at,
  last_used_at
from api_keys where hash = $1";
    BY_NAME = "select id, tenant_id, name, prefix, scopes, messages_per_minute, created_at, expires_at, revoked_at,
  last_used_at
from api_keys where tenant_id = $1 and name = $2";
    NOTE_USE = "update api_keys set last_used_at = $2 where id = $1";
    REVOKE = "update api_keys set revoked_at = $2 where id = $1 and revoked_at is null";
}

/// The ledger's id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) i64);

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// What people and the audit log call it; never used again, even when it is revoked.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The most messages that it may enqueue in a minute; none: no limit.
    pub messages_per_minute: Option<u32>,
    /// When it ends, in Unix milliseconds.
    pub expires_at: Option<i64>,
}

/// A key, without what proves it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The ledger's id.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people and the audit log call it.
    pub name: String,
    /// How the key begins.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The most messages that it may enqueue in a minute; none: no limit.
    pub messages_per_minute: Option<i64>,
    /// When it was made.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When somebody ended it.
    pub revoked_at: Option<i64>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<i64>,
}

impl ApiKey {
    /// Whether `text` has the form of a key, whatever it is worth.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(MARK)
    }

    /// Whether it is worth anything at `now`, in Unix milliseconds.
    #[must_use]
    pub fn is_valid(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What proves a key; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    fn random() -> StoreResult<Self> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| StoreError::Sealed)?;
        Ok(Self(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(secret))))
    }

    /// The key, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(***)")
    }
}

row! {
    struct KeyRow {
        id: i64,
        tenant_id: i64,
        name: String,
        prefix: String,
        scopes: String,
        messages_per_minute: Option<i64>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        last_used_at: Option<i64>,
    }
}

impl KeyRow {
    fn into_key(self) -> StoreResult<ApiKey> {
        let scopes = self.scopes.split(' ').map(str::parse).collect::<Result<Vec<Scope>, _>>();
        Ok(ApiKey {
            id: KeyId(self.id),
            tenant: TenantId(self.tenant_id),
            name: self.name,
            prefix: self.prefix,
            scopes: scopes.map_err(|error| StoreError::unreadable("a key's scopes", error))?,
            messages_per_minute: self.messages_per_minute,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        })
    }
}

impl Store {
    /// Makes a key; it and what proves it, which nobody can see again.
    ///
    /// # Errors
    /// When the name is taken, or the ledger cannot be written.
    pub async fn add_key(&self, tenant: TenantId, new: &NewApiKey) -> StoreResult<(ApiKey, KeyText)> {
        let text = KeyText::random()?;
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let name = new.name.as_str();
        let values = args![
            tenant.0,
            name,
            &text.0[..PREFIX_CHARS],
            hash(&text.0),
            scopes.join(" "),
            new.messages_per_minute.map(i64::from),
            self.now_ms(),
            new.expires_at,
        ];
        let mut tx = self.db.begin().await?;
        if tx.optional::<(i64,), _>(ADD, values).await?.is_none() {
            return Err(StoreError::Refused(format!(
                "there is or was a key {name:?} already: give another name, so that the audit log stays clear"
            )));
        }
        self.note_change(&mut tx, tenant, "key.add", name).await?;
        tx.commit().await?;
        Ok((self.key_named(tenant, name).await?, text))
    }

    /// A tenant's keys, the oldest first, those that have ended among them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn keys(&self, tenant: TenantId) -> StoreResult<Vec<ApiKey>> {
        let rows: Vec<KeyRow> = self.db.all(LIST, args![tenant.0]).await?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }

    /// Ends a key at once. Revoking one that is revoked changes nothing.
    ///
    /// # Errors
    /// When there is none of the name, or the ledger cannot be written.
    pub async fn revoke_key(&self, tenant: TenantId, name: &str) -> StoreResult<ApiKey> {
        let key = self.key_named(tenant, name).await?;
        let mut tx = self.db.begin().await?;
        if tx.execute(REVOKE, args![key.id.0, self.now_ms()]).await? > 0 {
            self.note_change(&mut tx, tenant, "key.revoke", name).await?;
        }
        tx.commit().await?;
        self.key_named(tenant, name).await
    }

    /// The key that `text` proves, if it is worth anything now; its use is noted.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub async fn prove_key(&self, text: &str) -> StoreResult<Option<ApiKey>> {
        if !ApiKey::looks_like(text) {
            return Ok(None);
        }
        let row: Option<KeyRow> = self.db.optional(BY_HASH, args![hash(text)]).await?;
        let now = self.now_ms();
        let Some(key) = row.map(KeyRow::into_key).transpose()?.filter(|key| key.is_valid(now)) else {
            return Ok(None);
        };
        if key.last_used_at.is_none_or(|at| at + NOTE_USE_EVERY_MS <= now) {
            let mut tx = self.db.begin().await?;
            tx.execute(NOTE_USE, args![key.id.0, now]).await?;
            tx.commit().await?;
        }
        Ok(Some(key))
    }

    async fn key_named(&self, tenant: TenantId, name: &str) -> StoreResult<ApiKey> {
        let row: Option<KeyRow> = self.db.optional(BY_NAME, args![tenant.0, name]).await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "key",
            name: name.to_owned(),
            hint: ": `kabar key list` shows what there is".to_owned(),
        })?;
        row.into_key()
    }
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_do_not_show_themselves() {
        let (one, other) = (KeyText::random().unwrap(), KeyText::random().unwrap());
        assert_ne!(one, other);
        assert!(one.expose().starts_with("kabar_") && one.expose().len() == 49, "{}", one.expose());
        assert_eq!(format!("{one:?}"), "KeyText(***)");
    }
}
