//! Loading a file of people, as the command line tells of it.

use std::sync::Arc;

use anyhow::bail;
use kabar_domain::job::Job;

use crate::{
    cli::{
        ledger::Ledger,
        output::{note, plural},
        progress::Meter,
    },
    file_broadcast,
    people_file::{PeopleFile, Survey},
};

/// Loads the file and starts the broadcast; the ledger's own id of the job.
pub(super) async fn run(ledger: &Ledger, job: &Job, file: &Arc<PeopleFile>, survey: &Survey) -> anyhow::Result<i64> {
    let Job::Broadcast(broadcast) = job else { bail!("this is no broadcast") };
    let (id, mut meter) = (job.id(), Meter::new("loading"));
    let told = |done: u64| {
        if done == 0 {
            let recipients = plural(survey.recipients, "recipient");
            note(format!("loading {recipients} as {id}; should this be cut short, start it again with --id {id}"));
        } else {
            meter.set(done, survey.recipients, "");
        }
    };
    let loaded = file_broadcast::load(&ledger.store, ledger.tenant, broadcast, file, survey, told).await?;
    meter.finish();
    if !loaded.is_new {
        note(format!("note: this very broadcast was started before under {id}; it is not sent again"));
    }
    Ok(loaded.job_id)
}
