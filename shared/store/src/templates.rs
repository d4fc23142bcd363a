//! Provider-approved message forms as this ledger knows them.
//!
//! A template that is not known is no error: it goes to the provider as given. One that is known is checked before
//! anything is sent, and may be paused for a while.

use kabar_domain::{report::TemplateChange, template::Template};

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
};

mod holds;
mod sync;

pub(crate) use holds::STATEMENTS as HOLD_STATEMENTS;
pub use sync::{StatusChange, SyncDue, TemplatesSynced};

statements! {
    PUT = "insert into templates (tenant_id, account, name, language, status, definition, paused_until, updated_at)
values ($1, '', $2, $3, $4, $5, 0, $6)
on conflict (tenant_id, account, name, language) do update
set status = excluded.status, definition = excluded.definition, paused_until = 0, updated_at = excluded.updated_at";
    ALL = "select id, account, status, definition, paused_until, updated_at from templates
where tenant_id = $1 order by name, language, account";
    OF_NAME = "select id, account, status, definition, paused_until, updated_at from templates
where tenant_id = $1 and name = $2 order by language, account";
    /// What the account itself says goes before what a person added for all.
    ONE = "select id, account, status, definition, paused_until, updated_at from templates
where tenant_id = $1 and account in ($2, '') and name = $3 and language = $4 order by account desc limit 1";
    OF_ACCOUNT = "select id, account, status, definition, paused_until, updated_at from templates
where tenant_id = $1 and account = $2 order by name, language";
    /// Whose templates are due to be asked for: each account once, however many senders it has.
    SYNC_DUE = "select min(id), account, max(templates_synced_at) from senders
where state = 'active' group by tenant_id, account having max(templates_synced_at) <= $1 order by 3 limit $2";
    SYNC_BEGINS = "update senders set templates_synced_at = $2
where account = (select account from senders where id = $1)
  and tenant_id = (select tenant_id from senders where id = $1) and templates_synced_at <= $3";
    /// A template that may be sent again waits for nothing.
    CHANGE_STATUS = "update templates set status = $4, updated_at = $5,
  paused_until = case when $4 in ('APPROVED', 'REINSTATED') then 0 else paused_until end
where tenant_id = $1 and name = $2 and language = $3 and account in ($6, '')";
    SYNC = "insert into templates (tenant_id, account, name, language, status, definition, paused_until, updated_at)
select $1, $2, value->>'name', value->>'language', value->>'status', value->>'definition', 0, $3
from json_each($4) where true
on conflict (tenant_id, account, name, language) do update
set status = excluded.status, definition = excluded.definition, updated_at = excluded.updated_at";
}

/// A template as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTemplate {
    /// The ledger's id.
    pub id: i64,
    /// The business account that it was synced from; empty for one that was added by hand, which stands for all.
    pub account: String,
    /// The template, with its newest status.
    pub template: Template,
    /// Its messages wait until then, in Unix milliseconds; 0 where they do not.
    pub paused_until: i64,
    /// When it last changed, in Unix milliseconds.
    pub updated_at: i64,
}

row! {
    struct TemplateRow {
        id: i64,
        account: String,
        status: String,
        definition: String,
        paused_until: i64,
        updated_at: i64,
    }
}

impl TemplateRow {
    fn into_stored(self) -> StoreResult<StoredTemplate> {
        let template: Template =
            serde_json::from_str(&self.definition).map_err(|error| StoreError::unreadable("a template", error))?;
        Ok(StoredTemplate {
            id: self.id,
            account: self.account,
            template: Template { status: self.status, ..template },
            paused_until: self.paused_until,
            updated_at: self.updated_at,
        })
    }
}

impl Store {
    /// Writes a template down, in the place of the one with its name and language.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn put_template(&self, tenant: TenantId, template: &Template) -> StoreResult<()> {
        let values = args![
            tenant.0,
            template.name.as_str(),
            template.language.as_str(),
            template.status.as_str(),
            to_json(template)?,
            self.now_ms(),
        ];
        let mut tx = self.db.begin().await?;
        tx.execute(PUT, values).await?;
        let subject = format!("{} ({})", template.name, template.language);
        self.note_change(&mut tx, tenant, "template.put", subject).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(())
    }

    /// A tenant's templates, by name and language.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn templates(&self, tenant: TenantId) -> StoreResult<Vec<StoredTemplate>> {
        let rows: Vec<TemplateRow> = self.db.all(ALL, args![tenant.0]).await?;
        rows.into_iter().map(TemplateRow::into_stored).collect()
    }

    /// The template of a name in all its languages.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn template(&self, tenant: TenantId, name: &str) -> StoreResult<Vec<StoredTemplate>> {
        let rows: Vec<TemplateRow> = self.db.all(OF_NAME, args![tenant.0, name]).await?;
        if rows.is_empty() {
            let hint = ": `kabar template list` shows what there is, `kabar template add` adds one".to_owned();
            return Err(StoreError::NotFound { what: "template", name: name.to_owned(), hint });
        }
        rows.into_iter().map(TemplateRow::into_stored).collect()
    }

    /// The template of a name in a language as `account` has it, or as it was added by hand, if it is known.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn find_template(
        &self,
        tenant: TenantId,
        account: &str,
        name: &str,
        language: &str,
    ) -> StoreResult<Option<StoredTemplate>> {
        let row: Option<TemplateRow> = self.db.optional(ONE, args![tenant.0, account, name, language]).await?;
        row.map(TemplateRow::into_stored).transpose()
    }
}

/// Notes a template's new status, in capitals, and lets its broadcasts follow; whether the template is known.
pub(crate) async fn change_template_status(
    tx: &mut Tx,
    tenant_id: i64,
    change: &TemplateChange,
    now: i64,
) -> StoreResult<bool> {
    let TemplateChange { account, name, language, status } = change;
    let template = Template::with_status(name, language, status);
    holds::follow_status(tx, tenant_id, account, &template, now).await?;
    let values = args![tenant_id, name.as_str(), language.as_str(), status.as_str(), now, account.as_str()];
    Ok(tx.execute(CHANGE_STATUS, values).await? > 0)
}
