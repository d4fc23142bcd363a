//! Writing a file's recipients into the ledger under one job, which starts only when all of them are there.

use anyhow::bail;
use kabar_domain::job::Job;
use kabar_store::{AudienceRow, DEFAULT_TENANT};

use crate::cli::{
    csv::{CsvFile, Row, RowHash, Survey},
    ledger::Ledger,
    output::{note, plural},
    progress::Meter,
};

/// The most rows that are held and written at once.
const CHUNK: usize = 1_000;

/// Loads the file and starts the broadcast; the ledger's own id of the job.
pub(super) async fn run(ledger: &Ledger, job: &Job, file: &CsvFile, survey: &Survey) -> anyhow::Result<i64> {
    let Job::Broadcast(broadcast) = job else { bail!("this is no broadcast") };
    let store = &ledger.store;
    let mut audience = store.begin_file_broadcast(DEFAULT_TENANT, broadcast.clone()).await?;
    let id = job.id();
    if audience.is_loaded() {
        note(format!("note: this very broadcast was started before under {id}; it is not sent again"));
        return Ok(audience.job_id());
    }
    let recipients = plural(survey.recipients, "recipient");
    note(format!("loading {recipients} as {id}; should this be cut short, start it again with --id {id}"));
    let mut meter = Meter::new("loading");
    let (mut chunk, mut hash, mut done) = (Vec::with_capacity(CHUNK), RowHash::default(), 0);
    for row in file.rows()? {
        let Row::Recipient(row) = row? else { continue };
        hash.add(&row)?;
        chunk.push(AudienceRow { phone: row.phone, name: row.name, fields: row.fields });
        if chunk.len() == CHUNK {
            store.append_audience(&mut audience, &chunk).await?;
            done += chunk.len() as u64;
            meter.set(done, survey.recipients, "");
            chunk.clear();
        }
    }
    store.append_audience(&mut audience, &chunk).await?;
    meter.finish();
    if hash.finish() != survey.hash {
        bail!(
            "file {} changed while it was read: nothing was sent. Start it again, with another id than {id}",
            file.path().display()
        );
    }
    store.start_file_broadcast(&audience).await?;
    Ok(audience.job_id())
}
