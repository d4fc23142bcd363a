//! People's numbers as one tenant knows them, with names, fields, opt-outs and blocks.
//!
//! A number is one row, whoever brings it: a file, a job or an inbound message. What is brought along overwrites, what
//! is not stays.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use kabar_domain::{category::Category, content::Fields, phone::PhoneNumber};
use serde::Serialize;

use crate::{
    Block, OptOut, Store, TenantId,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
    jobs::json_list,
};

/// The most recipients that one call of [`Store::import_recipients`] takes: what one transaction writes.
const MOST_ROWS: usize = 1_000;

statements! {
    BY_PHONE = "select id, phone, name, fields, unreachable_at, last_inbound_at, created_at
from recipients where tenant_id = $1 and phone = $2";
    LIST = "select id, phone, name, fields, unreachable_at, last_inbound_at, created_at
from recipients where tenant_id = $1 and id > $2 order by id limit $3";
    BY_PHONES = "select id, phone, name, fields, unreachable_at, last_inbound_at, created_at
from recipients where tenant_id = $1 and phone in (select value->>'phone' from json_each($2)) order by id";
    IN_GROUP = "select r.id, r.phone, r.name, r.fields, r.unreachable_at,
  r.last_inbound_at, r.created_at
from group_members g join recipients r on r.id = g.recipient_id
where g.group_id = $1 and g.recipient_id > $2 order by g.recipient_id limit $3";
    COUNT_KNOWN = "select count(*) from recipients
where tenant_id = $1 and phone in (select value->>'phone' from json_each($2))";
    /// Rows that would stay as they are are not written again: a million known numbers cost no million writes.
    UPSERT = "insert into recipients (tenant_id, phone, name, fields, created_at)
select $1, value->>'phone', value->>'name', value->>'fields', $2 from json_each($3) where true
on conflict (tenant_id, phone) do update
set name = coalesce(excluded.name, recipients.name), fields = coalesce(excluded.fields, recipients.fields)
where coalesce(excluded.name, recipients.name, '') <> coalesce(recipients.name, '')
  or coalesce(excluded.fields, recipients.fields, '') <> coalesce(recipients.fields, '')";
    IDS = "select phone, id from recipients
where tenant_id = $1 and phone in (select value->>'phone' from json_each($2))";
    ADD_GROUP = "insert into groups (tenant_id, name, created_at) values ($1, $2, $3)
on conflict (tenant_id, name) do nothing";
    GROUP = "select id from groups where tenant_id = $1 and name = $2";
    ADD_MEMBERS = "insert into group_members (group_id, recipient_id, added_at)
select $1, cast(value as bigint), $2 from json_each($3) where true
on conflict (group_id, recipient_id) do nothing";
    MARK_UNREACHABLE = "update recipients set unreachable_at = $2
where id in (select cast(value as bigint) from json_each($1))";
}

/// A recipient as a file brings it.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// The number.
    pub phone: PhoneNumber,
    /// The name; overwrites the known one where it is given.
    pub name: Option<String>,
    /// Values by field name; overwrite all known ones where there are any.
    pub fields: Fields,
}

/// A person's number as one tenant knows it. Times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The ledger's id.
    pub id: i64,
    /// The number.
    pub phone: PhoneNumber,
    /// The name.
    pub name: Option<String>,
    /// Values by field name, for the placeholders of broadcasts.
    pub fields: Fields,
    /// When a provider last said that the number cannot be reached.
    pub unreachable_at: Option<i64>,
    /// When the person last wrote to us.
    pub last_inbound_at: Option<i64>,
    /// Since when the number is known.
    pub created_at: i64,
    /// The channels on which the person may not be sent to.
    pub blocks: Vec<Block>,
    /// What the person wants no more.
    pub opt_outs: Vec<OptOut>,
}

impl fmt::Debug for NewRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRecipient").field("phone", &self.phone).finish_non_exhaustive()
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient")
            .field("id", &self.id)
            .field("phone", &self.phone)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}

row! {
    struct RecipientRow {
        id: i64,
        phone: String,
        name: Option<String>,
        fields: Option<String>,
        unreachable_at: Option<i64>,
        last_inbound_at: Option<i64>,
        created_at: i64,
    }
}

/// A number to be written down with what is known of it; fields as JSON.
#[derive(Serialize)]
struct UpsertRow<'a> {
    phone: &'a str,
    name: Option<String>,
    fields: Option<String>,
}

impl Recipient {
    /// Whether the person opted out of such messages on the channel.
    #[must_use]
    pub fn declines(&self, channel: &str, category: Category) -> bool {
        self.opt_outs.iter().any(|opt_out| opt_out.channel == channel && opt_out.covers.includes(category))
    }
}

impl Store {
    /// Writes recipients down, at most 1,000, and puts them into `group`, which is made where it is absent. How many of
    /// them were not known before.
    ///
    /// # Errors
    /// When there are too many, or the ledger cannot be written; then nothing is written.
    pub async fn import_recipients(
        &self,
        tenant: TenantId,
        rows: &[NewRecipient],
        group: Option<&str>,
    ) -> StoreResult<u64> {
        if rows.len() > MOST_ROWS {
            let problem = format!("{} recipients at once: import at most {MOST_ROWS} in a call", rows.len());
            return Err(StoreError::Refused(problem));
        }
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let fields = if row.fields.is_empty() { None } else { Some(to_json(&row.fields)?) };
            values.push((&row.phone, row.name.clone(), fields));
        }
        let phones: Vec<UpsertRow<'_>> =
            rows.iter().map(|row| UpsertRow { phone: row.phone.as_str(), name: None, fields: None }).collect();
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let (known,): (i64,) = tx.one(COUNT_KNOWN, args![tenant.0, to_json(&phones)?]).await?;
        let ids = upsert_recipients(&mut tx, tenant, values, now).await?;
        if let Some(group) = group {
            tx.execute(ADD_GROUP, args![tenant.0, group, now]).await?;
            let (group_id,): (i64,) = tx.one(GROUP, args![tenant.0, group]).await?;
            let mut members: Vec<i64> = ids.values().copied().collect();
            members.sort_unstable();
            tx.execute(ADD_MEMBERS, args![group_id, now, json_list(&members)]).await?;
        }
        let subject = group.map_or_else(String::new, |group| format!(" into group {group}"));
        self.note_change(&mut tx, tenant, "recipient.import", format!("{}{subject}", ids.len())).await?;
        tx.commit().await?;
        Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX).saturating_sub(known.unsigned_abs()))
    }

    /// The recipient with a number.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn recipient(&self, tenant: TenantId, phone: &PhoneNumber) -> StoreResult<Recipient> {
        let row: Option<RecipientRow> = self.db.optional(BY_PHONE, args![tenant.0, phone.as_str()]).await?;
        let row = row.ok_or_else(|| unknown(phone))?;
        self.with_blocks(vec![row]).await?.pop().ok_or_else(|| unknown(phone))
    }

    /// A tenant's recipients in the order of their ids, those after `after_id`, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn recipients(&self, tenant: TenantId, after_id: i64, limit: u32) -> StoreResult<Vec<Recipient>> {
        self.with_blocks(self.db.all(LIST, args![tenant.0, after_id, i64::from(limit)]).await?).await
    }

    /// Those of `phones` that are known, in the order of their ids.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn recipients_by_phone(&self, tenant: TenantId, phones: &[PhoneNumber]) -> StoreResult<Vec<Recipient>> {
        let phones: Vec<UpsertRow<'_>> =
            phones.iter().map(|phone| UpsertRow { phone: phone.as_str(), name: None, fields: None }).collect();
        self.with_blocks(self.db.all(BY_PHONES, args![tenant.0, to_json(&phones)?]).await?).await
    }

    /// A group's members in the order of their ids, those after `after_id`, at most `limit`. The group goes by the
    /// ledger's id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn recipients_in_group(&self, group_id: i64, after_id: i64, limit: u32) -> StoreResult<Vec<Recipient>> {
        self.with_blocks(self.db.all(IN_GROUP, args![group_id, after_id, i64::from(limit)]).await?).await
    }

    async fn with_blocks(&self, rows: Vec<RecipientRow>) -> StoreResult<Vec<Recipient>> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let (mut blocks, mut opt_outs) = (self.blocks_of_many(&ids).await?, self.opt_outs_of(&ids).await?);
        rows.into_iter()
            .map(|row| {
                let (blocks, opt_outs) = (blocks.remove(&row.id), opt_outs.remove(&row.id));
                row.into_recipient(blocks.unwrap_or_default(), opt_outs.unwrap_or_default())
            })
            .collect()
    }
}

impl RecipientRow {
    fn into_recipient(self, blocks: Vec<Block>, opt_outs: Vec<OptOut>) -> StoreResult<Recipient> {
        let fields = self.fields.map(|fields| serde_json::from_str(&fields)).transpose();
        Ok(Recipient {
            id: self.id,
            phone: phone_of(self.phone)?,
            name: self.name,
            fields: fields.map_err(|error| StoreError::unreadable("a recipient's fields", error))?.unwrap_or_default(),
            unreachable_at: self.unreachable_at,
            last_inbound_at: self.last_inbound_at,
            created_at: self.created_at,
            blocks,
            opt_outs,
        })
    }
}

/// A number as the ledger holds it.
pub(crate) fn phone_of(text: String) -> StoreResult<PhoneNumber> {
    PhoneNumber::from_e164(text).map_err(|error| StoreError::unreadable("a number", error))
}

/// The error for a number that is not known; it shows the last two digits alone.
pub(crate) fn unknown(phone: &PhoneNumber) -> StoreError {
    let text = phone.as_str();
    StoreError::NotFound {
        what: "recipient",
        name: format!("…{}", &text[text.len().saturating_sub(2)..]),
        hint: ": `kabar recipient list` shows who is known, `kabar recipient import` adds more".to_owned(),
    }
}

/// Writes numbers down with their names and fields (as JSON), where those are given; the ids by number.
pub(crate) async fn upsert_recipients<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    rows: impl IntoIterator<Item = (&'a PhoneNumber, Option<String>, Option<String>)>,
    now: i64,
) -> StoreResult<HashMap<String, i64>> {
    let rows = to_json(&merged(rows))?;
    tx.execute(UPSERT, args![tenant.0, now, rows.as_str()]).await?;
    let ids: Vec<(String, i64)> = tx.all(IDS, args![tenant.0, rows]).await?;
    Ok(ids.into_iter().collect())
}

/// Each number once, since one statement may touch a row once, and in one order, so that no two transactions wait for
/// each other. What comes later overwrites.
fn merged<'a>(rows: impl IntoIterator<Item = (&'a PhoneNumber, Option<String>, Option<String>)>) -> Vec<UpsertRow<'a>> {
    let mut merged: BTreeMap<&str, UpsertRow<'a>> = BTreeMap::new();
    for (phone, name, fields) in rows {
        let phone = phone.as_str();
        let row = merged.entry(phone).or_insert(UpsertRow { phone, name: None, fields: None });
        // Postgres takes no NUL in a text.
        row.name = name.map(|name| name.replace('\0', "")).or(row.name.take());
        row.fields = fields.or(row.fields.take());
    }
    merged.into_values().collect()
}

/// Notes that a provider said that these numbers cannot be reached.
pub(crate) async fn mark_unreachable(tx: &mut Tx, ids: &[i64], now: i64) -> StoreResult<()> {
    tx.execute(MARK_UNREACHABLE, args![json_list(ids), now]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(text: &str) -> PhoneNumber {
        PhoneNumber::from_e164(text).unwrap()
    }

    #[test]
    fn a_repeated_number_is_one_row_and_the_last_value_given_stands() {
        let (a, b) = (phone("+6281234567890"), phone("+60123456789"));
        let text = |text: &str| Some(text.to_owned());
        let rows = merged([(&a, text("Siti"), text("{}")), (&b, None, None), (&a, text("Si\0ti A"), None)]);
        let rows: Vec<_> = rows.iter().map(|row| (row.phone, row.name.as_deref(), row.fields.as_deref())).collect();
        assert_eq!(rows, [("+60123456789", None, None), ("+6281234567890", Some("Siti A"), Some("{}"))]);
    }

    #[test]
    fn errors_and_debug_hide_the_number_and_the_name() {
        let phone = phone("+6281234567890");
        let error = unknown(&phone).to_string();
        assert!(error.contains("…90") && !error.contains("8123"), "{error}");
        let recipient = NewRecipient { phone, name: Some("Siti".to_owned()), fields: Fields::new() };
        assert_eq!(format!("{recipient:?}"), "NewRecipient { phone: PhoneNumber(…90), .. }");
    }
}
