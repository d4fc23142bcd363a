//! The way of a job from options into the ledger: through the same door as every other job, and checked against the
//! senders and templates that the ledger knows.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use kabar_domain::job::{Door, Job};
use kabar_store::Enqueued;
use serde_json::Value;

use super::{ledger::Ledger, output::note};
use crate::admission::Admission;

/// Reads an instant that was typed.
pub(crate) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|_| {
        "write it with its offset from UTC, as 2026-12-01T09:00:00+07:00 or 2026-12-01T02:00:00Z".to_owned()
    })
}

/// Reads a job and checks its sender and its template.
pub(crate) async fn read(ledger: &Ledger, job: Value) -> anyhow::Result<Job> {
    let door = Door { loads_files: true, ..ledger.door() };
    let job = Job::from_value(job, door, None)?;
    check(ledger, &job).await?;
    Ok(job)
}

/// Checks the job's sender and template, as far as the ledger knows them.
pub(crate) async fn check(ledger: &Ledger, job: &Job) -> anyhow::Result<()> {
    let strict = ledger.settings.templates.strict;
    if let Some(word) = Admission::new(&ledger.store, ledger.tenant, strict).check(job).await? {
        note(word);
    }
    Ok(())
}

/// Writes the job down; the ledger's own id of it.
pub(crate) async fn enqueue(ledger: &Ledger, job: &Job) -> anyhow::Result<i64> {
    let enqueued = ledger.store.enqueue(ledger.tenant, job).await.context("nothing was enqueued")?;
    if let Enqueued::Same { .. } = enqueued {
        note(format!("note: this very job was enqueued before under {}; it is not sent again", job.id()));
    }
    Ok(enqueued.job_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_an_offset() {
        assert_eq!(instant("2026-12-01T09:00:00+07:00").unwrap(), instant("2026-12-01T02:00:00Z").unwrap());
        assert!(instant("2026-12-01 09:00").unwrap_err().contains("2026-12-01T09:00:00+07:00"));
    }
}
