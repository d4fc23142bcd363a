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
    db::{Tx, args, row, statements},
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

/// A limit's window: so much of it may be used at once.
const WINDOW_US: i64 = 60_000_000;

/// How often a charge is tried while other requests with the same key charge it, too.
const MOST_CHARGES: usize = 100;

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
    SPENT = "select messages_per_minute, spent_until_us from api_keys where id = $1 and messages_per_minute is not null";
    SPEND = "update api_keys set spent_until_us = $3 where id = $1 and spent_until_us = $2";
}

/// The ledger's id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(i64);

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

    /// Counts messages against the limit of the key that acts, if it has one, in the transaction that enqueues them.
    /// The last statement of a transaction: others with the same key wait for its end.
    pub(crate) async fn charge(&self, tx: &mut Tx, messages: u64) -> StoreResult<()> {
        let Some(KeyId(key)) = self.actor.as_ref().and_then(|actor| actor.key) else { return Ok(()) };
        let mut limit = 0;
        for _ in 0..MOST_CHARGES {
            let Some((per_minute, spent_us)) = tx.optional::<(i64, i64), _>(SPENT, args![key]).await? else {
                return Ok(());
            };
            limit = per_minute;
            let after_us = charged(spent_us, self.now_ms() * 1_000, messages, per_minute).map_err(|wait_us| {
                StoreError::OverLimit { per_minute, wait_ms: wait_us.unsigned_abs().div_ceil(1_000) }
            })?;
            if tx.execute(SPEND, args![key, spent_us, after_us]).await? > 0 {
                return Ok(());
            }
        }
        Err(StoreError::OverLimit { per_minute: limit, wait_ms: 1_000 })
    }
}

/// Up to when the limit is spent once these messages count, too; or for how long they must wait, in microseconds. A
/// minute's worth may come at once; more than that at once needs a limit of which nothing is spent, and the debt is
/// waited for by what comes next.
fn charged(spent_until_us: i64, now_us: i64, messages: u64, per_minute: i64) -> Result<i64, i64> {
    let messages = i64::try_from(messages).unwrap_or(i64::MAX);
    let cost_us = messages.saturating_mul(WINDOW_US / per_minute.max(1));
    let from_us = spent_until_us.max(now_us);
    let latest_us = now_us + WINDOW_US - cost_us.min(WINDOW_US);
    if from_us <= latest_us { Ok(from_us.saturating_add(cost_us)) } else { Err(from_us - latest_us) }
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn keys_differ_and_do_not_show_themselves() {
        let (one, other) = (KeyText::random().unwrap(), KeyText::random().unwrap());
        assert_ne!(one, other);
        assert!(one.expose().starts_with("kabar_") && one.expose().len() == 49, "{}", one.expose());
        assert_eq!(format!("{one:?}"), "KeyText(***)");
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_the_rest_waits() {
        let all = charged(0, 0, 60, 60).unwrap();
        assert_eq!(all, WINDOW_US);
        assert_eq!(charged(all, 0, 1, 60), Err(SECOND_US));
        assert_eq!(charged(all, SECOND_US, 1, 60), Ok(all + SECOND_US));
        assert_eq!(charged(all, 5 * SECOND_US, 10, 60), Err(5 * SECOND_US));
    }

    #[test]
    fn more_than_a_minutes_worth_goes_once_nothing_is_spent() {
        let debt = charged(0, 0, 600, 60).unwrap();
        assert_eq!(charged(debt, 0, 600, 60), Err(10 * WINDOW_US));
        assert_eq!(charged(debt, 0, 1, 60), Err(9 * WINDOW_US + SECOND_US));
        assert_eq!(charged(debt, 10 * WINDOW_US, 600, 60), Ok(20 * WINDOW_US));
    }

    proptest! {
        #[test]
        fn no_window_takes_more_than_two_minutes_worth(
            requests in prop::collection::vec((0_i64..5_000_000, 1_u64..30), 1..200),
            per_minute in 30_i64..10_000,
        ) {
            let (mut spent, mut now, mut taken) = (0, 0, Vec::new());
            for (later_us, messages) in requests {
                now += later_us;
                if let Ok(after) = charged(spent, now, messages, per_minute) {
                    spent = after;
                    taken.push((now, messages));
                }
            }
            for (from, _) in &taken {
                let within = taken.iter().filter(|(at, _)| (*from..*from + WINDOW_US).contains(at));
                let sum: u64 = within.map(|(_, messages)| messages).sum();
                // The price of a message is rounded down to whole microseconds.
                prop_assert!(sum <= 2 * per_minute.unsigned_abs() + 1, "{sum} of {per_minute}");
            }
        }
    }
}
