//! People of a file into the ledger, and into a group: in chunks, with a report. The same file again changes nothing.

use std::{collections::HashSet, sync::Arc};

use kabar_store::{Imported, NewConsent, NewRecipient, Store, TenantId};
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::{
    file_broadcast::LoadError,
    people_file::{PeopleFile, RecipientRow, Row},
};

/// The most people that are held and written at once.
const CHUNK: usize = 1_000;

/// How many chunks may be read ahead of the one that is written.
const CHUNKS_AHEAD: usize = 2;

/// Where the people of a file go, and what the file does not say of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImportOptions {
    /// The group that they come into; made where it is absent.
    pub(crate) group: Option<String>,
    /// Whether those who are not in the file leave the group.
    pub(crate) replace: bool,
    /// Where those agreed to marketing of whom the file does not say it.
    pub(crate) consent: Option<String>,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    /// People, each once.
    pub(crate) imported: u64,
    /// How many of them were not known before.
    pub(crate) new: u64,
    /// How many were known, and with other values.
    pub(crate) changed: u64,
    /// How many were known just so.
    pub(crate) unchanged: u64,
    /// How many came into the group that were not in it.
    pub(crate) joined: u64,
    /// How many were taken out of the group.
    pub(crate) left: u64,
}

impl ImportReport {
    /// Adds what a chunk came to.
    pub(crate) fn add(&mut self, chunk: &Imported) {
        let people = chunk.ids.len() as u64;
        self.imported += people;
        self.new += chunk.new;
        self.changed += chunk.changed;
        self.unchanged += people.saturating_sub(chunk.new + chunk.changed);
        self.joined += chunk.joined;
    }
}

/// Writes the people of a file that was looked through. `progress` hears how many are written. Who breaks it off calls it
/// again: the end is the same.
pub(crate) async fn import(
    store: &Store,
    tenant: TenantId,
    file: &Arc<PeopleFile>,
    options: &ImportOptions,
    mut progress: impl FnMut(u64),
) -> Result<ImportReport, LoadError> {
    let (read, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    let reading = tokio::task::spawn_blocking({
        let (file, consent) = (file.clone(), options.consent.clone());
        move || read_chunks(&file, consent.as_deref(), &read)
    });
    let (mut report, mut stay) = (ImportReport::default(), HashSet::new());
    while let Some(chunk) = chunks.recv().await {
        let imported = store.import_recipients(tenant, &chunk, options.group.as_deref()).await?;
        report.add(&imported);
        if options.replace {
            stay.extend(imported.ids);
        }
        progress(report.imported);
    }
    reading.await.map_err(|error| LoadError::File(error.into()))?.map_err(LoadError::File)?;
    if let (Some(group), true) = (&options.group, options.replace) {
        report.left = store.keep_in_group(tenant, group, &stay).await?;
    }
    Ok(report)
}

/// Reads the file to its end, or until nobody takes chunks any more.
fn read_chunks(
    file: &PeopleFile,
    consent: Option<&str>,
    chunks: &mpsc::Sender<Vec<NewRecipient>>,
) -> anyhow::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    for row in file.rows()? {
        let Row::Recipient(row) = row? else { continue };
        chunk.push(recipient(row, consent));
        if chunk.len() == CHUNK && chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
            return Ok(());
        }
    }
    // Where nobody takes it, whoever asked has gone.
    let _ = chunks.blocking_send(chunk);
    Ok(())
}

fn recipient(row: RecipientRow, consent: Option<&str>) -> NewRecipient {
    let unsaid = || consent.map(|source| NewConsent { source: source.to_owned(), at: None });
    NewRecipient {
        phone: row.phone,
        name: row.name,
        fields: row.fields,
        timezone: row.details.timezone,
        consent: row.details.consent.or_else(unsaid),
    }
}
