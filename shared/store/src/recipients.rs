//! People's numbers as one tenant knows them, with names, fields, consent, opt-outs and blocks.
//!
//! A number is one row, whoever brings it: a file, a job or an inbound message. What is brought along overwrites, what
//! is not stays.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use chrono_tz::Tz;
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
    BY_PHONE = "select id, phone, name, fields, timezone, consent_at, consent_source, unreachable_at,
  last_inbound_at, created_at
from recipients where tenant_id = $1 and phone = $2";
    LIST = "select id, phone, name, fields, timezone, consent_at, consent_source, unreachable_at,
  last_inbound_at, created_at
from recipients where tenant_id = $1 and id > $2 order by id limit $3";
    BY_PHONES = "select id, phone, name, fields, timezone, consent_at, consent_source, unreachable_at,
  last_inbound_at, created_at
from recipients where tenant_id = $1 and phone in (select value->>'phone' from json_each($2)) order by id";
    /// The members first, and then each by its key: as one join, Postgres would walk through everybody for each chunk as long
    /// as it has not counted the tables.
    IN_GROUP = "select r.id, r.phone, r.name, r.fields, r.timezone, r.consent_at, r.consent_source, r.unreachable_at,
  r.last_inbound_at, r.created_at
from (select recipient_id from group_members where group_id = $1 and recipient_id > $2 order by recipient_id limit $3) g
join recipients r on r.id = g.recipient_id order by r.id";
    COUNT_KNOWN = "select count(*) from recipients
where tenant_id = $1 and phone in (select value->>'phone' from json_each($2))";
    /// Rows that would stay as they are are not written again: a million known numbers cost no million writes.
    UPSERT = "insert into recipients (tenant_id, phone, name, fields, timezone, created_at)
select $1, value->>'phone', value->>'name', value->>'fields', value->>'timezone', $2 from json_each($3) where true
on conflict (tenant_id, phone) do update
set name = coalesce(excluded.name, recipients.name), fields = coalesce(excluded.fields, recipients.fields),
  timezone = coalesce(excluded.timezone, recipients.timezone)
where coalesce(excluded.name, recipients.name, '') <> coalesce(recipients.name, '')
  or coalesce(excluded.fields, recipients.fields, '') <> coalesce(recipients.fields, '')
  or coalesce(excluded.timezone, recipients.timezone, '') <> coalesce(recipients.timezone, '')
returning id";
    /// A consent that is known stays, unless a newer one with a time of its own comes.
    CONSENT = "update recipients set consent_at = coalesce(given.at, $2), consent_source = given.source
from (select value->>'phone' as phone, value->>'source' as source, cast(value->>'at' as bigint) as at
  from json_each($3)) given
where recipients.tenant_id = $1 and recipients.phone = given.phone
  and (recipients.consent_at is null or recipients.consent_at < given.at)
returning recipients.id";
    HEARD_CONSENT = "update recipients set consent_at = $2, consent_source = $3 where id = $1 and consent_at is null";
    /// Each number is looked up by itself. As a join, Postgres walks through the whole table for every list, by a plan that it
    /// made while the table was small and keeps until its statistics change: a first file then takes three times as long.
    IDS = "select value->>'phone', (select id from recipients where tenant_id = $1 and phone = value->>'phone')
from json_each($2)";
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
    /// Where the person is; overwrites what is known where it is given.
    pub timezone: Option<Tz>,
    /// That they agree to marketing. A consent that is known stays, unless this one has a later time.
    pub consent: Option<NewConsent>,
}

/// That a person agrees to marketing, as a file or a program says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsent {
    /// Where they said so, such as `web form`.
    pub source: String,
    /// When, in Unix milliseconds; now where it is not said.
    pub at: Option<i64>,
}

/// That a person agrees to marketing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Where they said so.
    pub source: String,
    /// When, in Unix milliseconds.
    pub at: i64,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Those who are in it, by the ledger's ids, in no order.
    pub ids: Vec<i64>,
    /// How many were not known before.
    pub new: u64,
    /// How many were known, and with other values.
    pub changed: u64,
    /// How many came into the group that were not in it.
    pub joined: u64,
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
    /// Where the person is, where it is known.
    pub timezone: Option<Tz>,
    /// That they agree to marketing, where it is known.
    pub consent: Option<Consent>,
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
        timezone: Option<String>,
        consent_at: Option<i64>,
        consent_source: Option<String>,
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
    timezone: Option<&'static str>,
}

/// A number, as a row of a statement.
#[derive(Serialize)]
pub(crate) struct PhoneRow<'a> {
    pub(crate) phone: &'a str,
}

#[derive(Serialize)]
struct ConsentRow<'a> {
    phone: &'a str,
    source: &'a str,
    at: Option<i64>,
}

impl NewRecipient {
    /// A number of which nothing else is said.
    #[must_use]
    pub fn new(phone: PhoneNumber) -> Self {
        Self { phone, name: None, fields: Fields::new(), timezone: None, consent: None }
    }
}

impl Recipient {
    /// Whether the person opted out of such messages on the channel.
    #[must_use]
    pub fn declines(&self, channel: &str, category: Category) -> bool {
        self.opt_outs.iter().any(|opt_out| opt_out.channel == channel && opt_out.covers.includes(category))
    }
}

impl Store {
    /// Writes recipients down, at most 1,000, and puts them into `group`, which is made where it is absent. The same again
    /// changes nothing.
    ///
    /// # Errors
    /// When there are too many, or the ledger cannot be written; then nothing is written.
    pub async fn import_recipients(
        &self,
        tenant: TenantId,
        rows: &[NewRecipient],
        group: Option<&str>,
    ) -> StoreResult<Imported> {
        if rows.len() > MOST_ROWS {
            let problem = format!("{} recipients at once: import at most {MOST_ROWS} in a call", rows.len());
            return Err(StoreError::Refused(problem));
        }
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let fields = if row.fields.is_empty() { None } else { Some(to_json(&row.fields)?) };
            let (phone, timezone) = (row.phone.as_str(), row.timezone.map(Tz::name));
            values.push(UpsertRow { phone, name: row.name.clone(), fields, timezone });
        }
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let (known,): (i64,) = tx.one(COUNT_KNOWN, args![tenant.0, to_json(&values)?]).await?;
        let Upserted { ids, mut written } = upsert(&mut tx, tenant, &merged(values), now).await?;
        written.extend(note_consents(&mut tx, tenant, rows, now).await?);
        let mut imported = Imported { ids: ids.into_values().collect(), ..Imported::default() };
        imported.ids.sort_unstable();
        imported.new = (imported.ids.len() as u64).saturating_sub(known.unsigned_abs());
        imported.changed = (written.len() as u64).saturating_sub(imported.new);
        if let Some(group) = group {
            imported.joined = crate::groups::join(&mut tx, tenant, group, &imported.ids, now).await?;
        }
        let subject = group.map_or_else(String::new, |group| format!(" into group {group}"));
        self.note_change(&mut tx, tenant, "recipient.import", format!("{}{subject}", imported.ids.len())).await?;
        tx.commit().await?;
        Ok(imported)
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
        let phones: Vec<PhoneRow<'_>> = phones.iter().map(|phone| PhoneRow { phone: phone.as_str() }).collect();
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
            timezone: self.timezone.and_then(|zone| zone.parse().ok()),
            consent: self.consent_at.map(|at| Consent { source: self.consent_source.unwrap_or_default(), at }),
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
    let rows =
        rows.into_iter().map(|(phone, name, fields)| UpsertRow { phone: phone.as_str(), name, fields, timezone: None });
    Ok(upsert(tx, tenant, &merged(rows), now).await?.ids)
}

/// What writing recipients down came to.
struct Upserted {
    /// All of them, by number.
    ids: HashMap<String, i64>,
    /// Those that were not there, or otherwise.
    written: BTreeSet<i64>,
}

async fn upsert(tx: &mut Tx, tenant: TenantId, rows: &[UpsertRow<'_>], now: i64) -> StoreResult<Upserted> {
    let rows = to_json(rows)?;
    let written: Vec<(i64,)> = tx.all(UPSERT, args![tenant.0, now, rows.as_str()]).await?;
    let ids: Vec<(String, i64)> = tx.all(IDS, args![tenant.0, rows]).await?;
    Ok(Upserted { ids: ids.into_iter().collect(), written: written.into_iter().map(|(id,)| id).collect() })
}

/// Each number once, since one statement may touch a row once, and in one order, so that no two transactions wait for
/// each other. What comes later overwrites.
fn merged<'a>(rows: impl IntoIterator<Item = UpsertRow<'a>>) -> Vec<UpsertRow<'a>> {
    let mut merged: BTreeMap<&str, UpsertRow<'a>> = BTreeMap::new();
    for UpsertRow { phone, name, fields, timezone } in rows {
        let row = merged.entry(phone).or_insert(UpsertRow { phone, name: None, fields: None, timezone: None });
        // Postgres takes no NUL in a text.
        row.name = name.map(|name| name.replace('\0', "")).or(row.name.take());
        row.fields = fields.or(row.fields.take());
        row.timezone = timezone.or(row.timezone);
    }
    merged.into_values().collect()
}

/// Writes down who agrees to marketing; those of whom it was not known.
async fn note_consents(tx: &mut Tx, tenant: TenantId, rows: &[NewRecipient], now: i64) -> StoreResult<Vec<i64>> {
    let consents: BTreeMap<&str, ConsentRow<'_>> = rows
        .iter()
        .filter_map(|row| Some((row.phone.as_str(), row.consent.as_ref()?)))
        .map(|(phone, consent)| (phone, ConsentRow { phone, source: &consent.source, at: consent.at }))
        .collect();
    if consents.is_empty() {
        return Ok(Vec::new());
    }
    let consents: Vec<ConsentRow<'_>> = consents.into_values().collect();
    let noted: Vec<(i64,)> = tx.all(CONSENT, args![tenant.0, now, to_json(&consents)?]).await?;
    Ok(noted.into_iter().map(|(id,)| id).collect())
}

/// Notes that a person agrees to marketing by what they said themselves, unless that is known already.
pub(crate) async fn hear_consent(tx: &mut Tx, recipient_id: i64, source: &str, at: i64) -> StoreResult<()> {
    tx.execute(HEARD_CONSENT, args![recipient_id, at, source]).await.map(drop)
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
        let row = |phone, name: Option<&str>, fields: Option<&str>| UpsertRow {
            phone,
            name: name.map(str::to_owned),
            fields: fields.map(str::to_owned),
            timezone: None,
        };
        let (a, b) = (a.as_str(), b.as_str());
        let rows = merged([row(a, Some("Siti"), Some("{}")), row(b, None, None), row(a, Some("Si\0ti A"), None)]);
        let rows: Vec<_> = rows.iter().map(|row| (row.phone, row.name.as_deref(), row.fields.as_deref())).collect();
        assert_eq!(rows, [("+60123456789", None, None), ("+6281234567890", Some("Siti A"), Some("{}"))]);
    }

    #[test]
    fn errors_and_debug_hide_the_number_and_the_name() {
        let phone = phone("+6281234567890");
        let error = unknown(&phone).to_string();
        assert!(error.contains("…90") && !error.contains("8123"), "{error}");
        let recipient = NewRecipient { name: Some("Siti".to_owned()), ..NewRecipient::new(phone) };
        assert_eq!(format!("{recipient:?}"), "NewRecipient { phone: PhoneNumber(…90), .. }");
    }
}
