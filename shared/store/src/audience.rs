//! The recipients that a job lists, in their order. Planning walks through them.

use std::collections::BTreeSet;

use kabar_domain::{
    content::Fields,
    job::{BroadcastJob, Job},
    phone::PhoneNumber,
};
use serde::Serialize;

use crate::{
    Enqueued, Store, TenantId, Topic,
    db::{Tx, args, statements},
    error::{StoreError, StoreResult},
    recipients::upsert_recipients,
};

/// The most rows that are appended in one transaction: what a process holds in memory of a file of any length.
pub(crate) const CHUNK: usize = 1_000;

statements! {
    APPEND = "insert into audience (job_id, position, recipient_id, fields)
select $1, cast(value->>'position' as bigint), cast(value->>'recipient' as bigint), value->>'fields'
from json_each($2) where true
on conflict (job_id, position) do nothing";
    START = "update jobs set state = 'accepted' where id = $1 and state = 'loading'";
}

/// One recipient of a job, with values of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceRow {
    /// The number.
    pub phone: PhoneNumber,
    /// The name; also the field `name`.
    pub name: Option<String>,
    /// Further fields.
    pub fields: Fields,
}

/// A broadcast whose recipients come from a file, while it is loaded.
#[derive(Debug)]
pub struct FileBroadcast {
    job_id: i64,
    tenant: TenantId,
    /// The fields that the content takes; others are not kept.
    fields: BTreeSet<String>,
    position: usize,
    /// Whether the whole of it was there already.
    loaded: bool,
}

impl FileBroadcast {
    /// Whether the very same broadcast was loaded before: nothing is to be appended.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// The ledger's own id of the job.
    #[must_use]
    pub const fn job_id(&self) -> i64 {
        self.job_id
    }
}

#[derive(Serialize)]
struct PositionRow {
    position: usize,
    recipient: i64,
    fields: Option<String>,
}

impl Store {
    /// Begins a broadcast whose recipients, so many, come from a file. Nothing of it is sent before
    /// [`Store::start_file_broadcast`]; one that was cut short goes on when it is begun again with the same file. Where a
    /// key or a token acts, the recipients of a new one count against its limit.
    ///
    /// # Errors
    /// As [`Store::enqueue`].
    pub async fn begin_file_broadcast(
        &self,
        tenant: TenantId,
        broadcast: BroadcastJob,
        recipients: u64,
    ) -> StoreResult<FileBroadcast> {
        let fields = broadcast.content.fields();
        let job = Job::Broadcast(broadcast);
        let mut tx = self.db.begin().await?;
        let put = self.put_in(&mut tx, tenant, std::slice::from_ref(&job), "loading").await;
        let put = put.map_err(|refused| refused.error)?.pop();
        let put = put.ok_or_else(|| StoreError::unreadable("a job", "it is neither new nor known"))?;
        if let Enqueued::New { .. } = put.enqueued {
            self.charge(&mut tx, tenant, recipients).await?;
        }
        let (job_id, loaded) = (put.enqueued.job_id(), put.state != "loading");
        tx.commit().await?;
        Ok(FileBroadcast { job_id, tenant, fields, position: 0, loaded })
    }

    /// Appends rows, in the order of the file; at most a thousand at a time.
    ///
    /// # Errors
    /// When the ledger cannot be written; the same rows may then be appended again.
    pub async fn append_audience(&self, file: &mut FileBroadcast, rows: &[AudienceRow]) -> StoreResult<()> {
        for rows in rows.chunks(CHUNK) {
            let mut tx = self.db.begin().await?;
            self.append_in(&mut tx, file.tenant, file.job_id, &file.fields, file.position, rows).await?;
            tx.commit().await?;
            file.position += rows.len();
        }
        Ok(())
    }

    /// Starts a broadcast once all of its file is there.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn start_file_broadcast(&self, file: &FileBroadcast) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(START, args![file.job_id]).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Jobs);
        Ok(())
    }

    pub(crate) async fn append_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        job_id: i64,
        fields: &BTreeSet<String>,
        first: usize,
        rows: &[AudienceRow],
    ) -> StoreResult<()> {
        let ids =
            upsert_recipients(tx, tenant, rows.iter().map(|row| (&row.phone, row.name.clone(), None)), self.now_ms())
                .await?;
        let positions = rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let recipient = *ids
                    .get(row.phone.as_str())
                    .ok_or_else(|| StoreError::unreadable("recipients", "a number that was just written is absent"))?;
                Ok(PositionRow { position: first + index, recipient, fields: self.fields_text(fields, row)? })
            })
            .collect::<StoreResult<Vec<_>>>()?;
        tx.execute(APPEND, args![job_id, to_json(&positions)?]).await?;
        Ok(())
    }

    /// The values that the content takes, as JSON; none where it takes none of this row's.
    fn fields_text(&self, wanted: &BTreeSet<String>, row: &AudienceRow) -> StoreResult<Option<String>> {
        let mut values: Fields =
            row.fields.iter().filter(|(name, _)| wanted.contains(*name)).map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(name) = row.name.as_ref().filter(|_| wanted.contains("name")) {
            values.insert("name".to_owned(), name.clone());
        }
        if values.is_empty() { Ok(None) } else { self.sealer.seal(to_json(&values)?).map(Some) }
    }
}

/// A value as JSON, without NUL.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> StoreResult<String> {
    let json = serde_json::to_string(value).map_err(|error| StoreError::unreadable("a list of rows", error))?;
    Ok(if json.contains("\\u0000") { without_nul(&json) } else { json })
}

/// JSON without the escape of NUL, which Postgres refuses.
fn without_nul(json: &str) -> String {
    let mut cleaned = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        cleaned.push_str(before);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            cleaned.push_str("\\ufffd");
            rest = after;
        } else {
            // A backslash and what it escapes, which may be a backslash: that one begins nothing.
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            cleaned.push_str(&escape[..length]);
            rest = &escape[length..];
        }
    }
    cleaned + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_the_ledger_holds_no_nul() {
        let json = to_json(&["a\0b", "\\u0000", "\\\0", "\\\\\"\0"]).unwrap();
        let read: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, ["a\u{fffd}b", "\\u0000", "\\\u{fffd}", "\\\\\"\u{fffd}"]);
    }
}
