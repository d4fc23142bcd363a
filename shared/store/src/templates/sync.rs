//! The templates of a business account, as its provider lists them.

use std::collections::HashMap;

use kabar_domain::template::Template;
use serde::Serialize;

use super::{OF_ACCOUNT, SYNC, SYNC_BEGINS, SYNC_DUE, StoredTemplate, TemplateRow};
use crate::{Store, TenantId, Topic, audience::to_json, db::args, error::StoreResult};

/// The status of a template that its provider lists no more.
const GONE: &str = "DELETED";

/// The most templates that one statement writes.
const CHUNK: usize = 500;

/// What a provider's list changed in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TemplatesSynced {
    /// How many templates the provider lists.
    pub listed: usize,
    /// Those that were not known before.
    pub added: Vec<StatusChange>,
    /// Those whose status, text or parameters are others now.
    pub changed: Vec<StatusChange>,
    /// Those that the provider lists no more: nothing is sent with them.
    pub gone: Vec<StatusChange>,
}

/// A template with the status that it had and has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusChange {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// The status before; none for one that is new.
    pub from: Option<String>,
    /// The status now.
    pub to: String,
}

/// An account whose templates are due to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDue {
    /// One of the account's senders, by the ledger's id.
    pub sender_id: i64,
    /// The account.
    pub account: String,
    /// When it was last done, in Unix milliseconds; 0 before the first time.
    pub synced_at: i64,
}

#[derive(Serialize)]
struct NewTemplate<'a> {
    name: &'a str,
    language: &'a str,
    status: &'a str,
    definition: String,
}

impl Store {
    /// Takes over an account's whole list: what is new, what changed, and what is gone. Templates that were added by hand
    /// stay as they are.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing of it was.
    pub async fn sync_templates(
        &self,
        tenant: TenantId,
        account: &str,
        listed: &[Template],
    ) -> StoreResult<TemplatesSynced> {
        let mut tx = self.db.begin().await?;
        let rows: Vec<TemplateRow> = tx.all(OF_ACCOUNT, args![tenant.0, account]).await?;
        let known = rows.into_iter().map(TemplateRow::into_stored).collect::<StoreResult<Vec<_>>>()?;
        let mut known: HashMap<(String, String), StoredTemplate> =
            known.into_iter().map(|one| ((one.template.name.clone(), one.template.language.clone()), one)).collect();
        let mut synced = TemplatesSynced { listed: listed.len(), ..TemplatesSynced::default() };
        let mut written = Vec::new();
        for template in listed {
            match known.remove(&(template.name.clone(), template.language.clone())) {
                Some(before) if before.template == *template => {}
                Some(before) => {
                    synced.changed.push(change(template, Some(before.template.status), &template.status));
                    written.push(template.clone());
                }
                None => {
                    synced.added.push(change(template, None, &template.status));
                    written.push(template.clone());
                }
            }
        }
        let mut left: Vec<Template> =
            known.into_values().map(|one| one.template).filter(|template| template.status != GONE).collect();
        left.sort_by(|a, b| (&a.name, &a.language).cmp(&(&b.name, &b.language)));
        for template in left {
            synced.gone.push(change(&template, Some(template.status.clone()), GONE));
            written.push(Template { status: GONE.to_owned(), ..template });
        }
        let now = self.now_ms();
        for template in &written {
            super::holds::follow_status(&mut tx, tenant.0, account, template, now).await?;
        }
        for chunk in written.chunks(CHUNK) {
            let rows = chunk.iter().map(row).collect::<StoreResult<Vec<_>>>()?;
            tx.execute(SYNC, args![tenant.0, account, now, to_json(&rows)?]).await?;
        }
        self.note_change(&mut tx, tenant, "template.sync", account).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(synced)
    }

    /// The accounts whose templates were last asked for at `before` (Unix milliseconds) or earlier, the longest ago first,
    /// at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn template_syncs_due(&self, before: i64, limit: u32) -> StoreResult<Vec<SyncDue>> {
        let rows: Vec<(i64, String, i64)> = self.db.all(SYNC_DUE, args![before, i64::from(limit)]).await?;
        Ok(rows.into_iter().map(|(sender_id, account, synced_at)| SyncDue { sender_id, account, synced_at }).collect())
    }

    /// Notes that the templates of the account are asked for now; whether nobody else did meanwhile.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn begin_template_sync(&self, due: &SyncDue) -> StoreResult<bool> {
        let mut tx = self.db.begin().await?;
        let begun = tx.execute(SYNC_BEGINS, args![due.sender_id, self.now_ms(), due.synced_at]).await?;
        tx.commit().await?;
        Ok(begun > 0)
    }
}

fn change(template: &Template, from: Option<String>, to: &str) -> StatusChange {
    StatusChange { name: template.name.clone(), language: template.language.clone(), from, to: to.to_owned() }
}

fn row(template: &Template) -> StoreResult<NewTemplate<'_>> {
    Ok(NewTemplate {
        name: &template.name,
        language: &template.language,
        status: &template.status,
        definition: to_json(template)?,
    })
}
