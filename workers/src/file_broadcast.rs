//! A broadcast to the people of a file: its rows go into the ledger in chunks, under one job that starts only when all of
//! them are there.

use std::sync::Arc;

use kabar_domain::{content::Content, job::BroadcastJob};
use kabar_store::{AudienceRow, Store, StoreError, TenantId};
use tokio::sync::mpsc;

use crate::people_file::{PeopleFile, Row, RowHash, Survey};

/// The most rows that are held and written at once.
const CHUNK: usize = 1_000;

/// How many chunks may be read ahead of those that are written.
const CHUNKS_AHEAD: usize = 2;

/// A broadcast whose file is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The ledger's own id of its job.
    pub(crate) job_id: i64,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
}

/// Why a file was not loaded, or not to its end: nothing of it is sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The ledger did not take it.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// The file could not be read to its end, or is not what it was.
    #[error("{0:#}")]
    File(anyhow::Error),
}

/// Loads a file that was looked through, and starts its broadcast. `progress` hears how many rows are written, the first
/// time with 0. The same broadcast again goes on where it was cut short, or changes nothing.
pub(crate) async fn load(
    store: &Store,
    tenant: TenantId,
    broadcast: &BroadcastJob,
    file: &Arc<PeopleFile>,
    survey: &Survey,
    mut progress: impl FnMut(u64),
) -> Result<Loaded, LoadError> {
    let mut audience = store.begin_file_broadcast(tenant, broadcast.clone(), survey.recipients).await?;
    let job_id = audience.job_id();
    if audience.is_loaded() {
        return Ok(Loaded { job_id, is_new: false });
    }
    let mut done = 0;
    progress(done);
    let (read, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    let reading = tokio::task::spawn_blocking({
        let file = file.clone();
        move || read_chunks(&file, &read)
    });
    while let Some(chunk) = chunks.recv().await {
        store.append_audience(&mut audience, &chunk).await?;
        done += chunk.len() as u64;
        progress(done);
    }
    let hash = reading.await.map_err(|error| LoadError::File(error.into()))?.map_err(LoadError::File)?;
    if hash != survey.hash {
        let problem =
            format!("{} changed while it was read: nothing was sent. Start it again, with another id", file.name());
        return Err(LoadError::File(anyhow::Error::msg(problem)));
    }
    store.start_file_broadcast(&audience).await?;
    Ok(Loaded { job_id, is_new: true })
}

/// Reads the file to its end, or until nobody takes chunks any more; the hash of its rows.
fn read_chunks(file: &PeopleFile, chunks: &mpsc::Sender<Vec<AudienceRow>>) -> anyhow::Result<String> {
    let (mut chunk, mut hash) = (Vec::with_capacity(CHUNK), RowHash::default());
    for row in file.rows()? {
        let Row::Recipient(row) = row? else { continue };
        hash.add(&row)?;
        chunk.push(AudienceRow { phone: row.phone, name: row.name, fields: row.fields });
        if chunk.len() == CHUNK && chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
            anyhow::bail!("nobody takes what {} holds any more", file.name());
        }
    }
    // Where nobody takes the last rows, whoever would have waited for them has ended.
    let _ = chunks.blocking_send(chunk);
    Ok(hash.finish())
}

/// Refuses content that takes a field which no row of the file can have: a slip of the pen, by which everybody would be
/// skipped.
pub(crate) fn check_columns(file: &PeopleFile, content: &Content) -> Result<(), String> {
    for field in content.fields().iter().filter(|field| *field != "name") {
        if let Some(columns) = file.columns_without(field) {
            return Err(format!(
                "the content takes {{{field}}}, but {} has no column {field:?}; its columns are {columns}. For braces as \
                 they are, write {{{{ and }}}}",
                file.name()
            ));
        }
    }
    Ok(())
}
