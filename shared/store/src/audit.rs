//! Who changed what, and when.
//!
//! An entry is written in the transaction of the change that it tells of, so neither is there without the other. Workers
//! carry out what was decided before and leave no entries. Nothing personal is kept: people go by the ledger's ids.

use std::sync::Arc;

use ring::digest;

use crate::{
    Store, TenantId,
    allowances::Allowance,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::StoreResult,
    jobs::hex,
    keys::ApiKey,
};

statements! {
    NOTE = "insert into audit (tenant_id, happened_at, actor, action, subject)
select $1, $2, $3, $4, value->>0 from json_each($5)";
    LIST = "select id, happened_at, actor, action, subject from audit
where tenant_id = $1 and id < $2 order by id desc limit $3";
}

/// The longest subject of a token that is shown as it is, in characters.
const MOST_SUBJECT_CHARS: usize = 64;

/// From how many digits on a text of nothing else may be a phone number, and up to how many (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// How much of the hash of a subject is shown, in bytes.
const SUBJECT_HASH_BYTES: usize = 8;

/// Who changes things through a handle of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub(crate) name: String,
    /// What the messages that they enqueue count against.
    pub(crate) allowance: Option<Allowance>,
}

impl Actor {
    /// Whoever uses the command line under this account of the system.
    #[must_use]
    pub fn command_line(account: &str) -> Self {
        Self { name: format!("cli:{account}"), allowance: None }
    }

    /// Whoever has this key; what they enqueue counts against its limit.
    #[must_use]
    pub fn key(key: &ApiKey) -> Self {
        Self { name: format!("key:{}", key.name), allowance: Some(Allowance::Key(key.id)) }
    }

    /// Whoever an identity provider gave a token to, by its subject. Providers use ids, names of services, and sometimes
    /// what a person is known by: of e-mail addresses and phone numbers only a hash is kept. All their tokens together may
    /// enqueue so many messages in a minute; none: no limit.
    #[must_use]
    pub fn token(subject: &str, messages_per_minute: Option<u32>) -> Self {
        let allowance = messages_per_minute.map(|per_minute| Allowance::Subject { per_minute });
        Self { name: format!("jwt:{}", shown(subject)), allowance }
    }
}

/// A subject as it may stand in the log: `#` and the beginning of its SHA-256 in place of what may be personal, or long or
/// odd.
fn shown(subject: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:|/".contains(&byte);
    let digits = subject.bytes().filter(u8::is_ascii_digit).count();
    let is_number = PHONE_DIGITS.contains(&digits) && !subject.bytes().any(|byte| byte.is_ascii_alphabetic());
    if subject.len() <= MOST_SUBJECT_CHARS && subject.bytes().all(plain) && !is_number {
        return subject.to_owned();
    }
    let hash = digest::digest(&digest::SHA256, subject.as_bytes());
    format!("#{}", hex(&hash.as_ref()[..SUBJECT_HASH_BYTES]))
}

row! {
    /// A change that somebody made.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AuditEntry {
        /// The ledger's id; the cursor of lists.
        pub id: i64,
        /// When, in Unix milliseconds.
        pub happened_at: i64,
        /// Who: `key:NAME`, `jwt:SUBJECT` or `cli:ACCOUNT`.
        pub actor: String,
        /// What, such as `broadcast.pause`.
        pub action: String,
        /// To what, by its id or name.
        pub subject: String,
    }
}

impl Store {
    /// The same ledger, in the hands of `actor`: each change made through it leaves an entry.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor: Some(Arc::new(actor)), ..self.clone() }
    }

    /// A tenant's entries, the newest first, those before the entry `before` (the largest number begins), at most
    /// `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn audit(&self, tenant: TenantId, before: i64, limit: u32) -> StoreResult<Vec<AuditEntry>> {
        self.db.all(LIST, args![tenant.0, before, i64::from(limit)]).await
    }

    /// Notes a change in its transaction, where a person or another program makes it.
    pub(crate) async fn note_change(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        action: &'static str,
        subject: impl ToString,
    ) -> StoreResult<()> {
        self.note_changes(tx, tenant, action, &[subject]).await
    }

    /// Notes the same change of several things.
    pub(crate) async fn note_changes(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        action: &'static str,
        subjects: &[impl ToString],
    ) -> StoreResult<()> {
        let Some(actor) = self.actor.as_ref().filter(|_| !subjects.is_empty()) else { return Ok(()) };
        let subjects: Vec<[String; 1]> = subjects.iter().map(|subject| [subject.to_string()]).collect();
        let values = args![tenant.0, self.now_ms(), actor.name.as_str(), action, to_json(&subjects)?];
        tx.execute(NOTE, values).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_shown_unless_they_may_be_personal() {
        for subject in ["shop-backend", "auth0|5f7c8ec7c33c6c004bbafe82", "110169484474386276334", "svc/sms:v2"] {
            assert_eq!(Actor::token(subject, None).name, format!("jwt:{subject}"));
        }
        for subject in ["siti@example.com", "+628123456789", "0812-3456-789", "Siti Rahayu", "é", &"x".repeat(65)] {
            let name = Actor::token(subject, None).name;
            assert!(name.starts_with("jwt:#") && name.len() == 21 && !name.contains(subject), "{name}");
        }
        // What `printf %s siti@example.com | sha256sum` begins with.
        assert_eq!(Actor::token("siti@example.com", None).name, "jwt:#3684a581ce82ee39");
        assert_ne!(Actor::token("a@b", None).name, Actor::token("a@c", None).name);
    }
}
