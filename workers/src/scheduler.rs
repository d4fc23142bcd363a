//! Enqueues the jobs of cron schedules as they fall due. A tick is a compare-and-set on the schedule's row with the job in
//! the same transaction, so it fires exactly once, whoever runs, and needs no leader. A job that is not admitted becomes a
//! dead letter, as one that comes by a line.

use std::time::Duration;

use kabar_domain::job::JobId;
use kabar_store::{Schedule, StoreResult};

use crate::{
    admission::{Admission, Refusal},
    context::{Shared, door},
    steps::{Next, StepError},
};

/// How often schedules are looked at; they name whole seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most schedules that are fired in one step.
const MOST_DUE: u32 = 100;

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let due = context.store.due_schedules(context.store.now_ms(), MOST_DUE).await?;
    let mut fired = false;
    for schedule in &due {
        // A schedule that cannot fire must not hold up the others.
        match fire(&context, schedule).await {
            Ok(Some(job)) => {
                fired = true;
                tracing::info!(schedule = schedule.id, job = job.as_str(), "a schedule fired");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    schedule = schedule.id,
                    error = &error as &dyn std::error::Error,
                    "a schedule cannot fire"
                );
            }
        }
    }
    // Whoever catches up with missed ticks is due again.
    Ok(if fired { Next::Now } else { Next::After(LOOK_EVERY) })
}

/// Fires one schedule that is due; the id of the job that it enqueued.
async fn fire(context: &Shared, schedule: &Schedule) -> StoreResult<Option<JobId>> {
    let refused = refused(context, schedule).await?;
    context.store.fire_schedule(schedule, door(&context.settings), refused.as_deref()).await
}

/// Why the job of its next tick is not admitted, if it is not. What cannot even be read is found when it fires.
async fn refused(context: &Shared, schedule: &Schedule) -> StoreResult<Option<String>> {
    let Ok(job) = schedule.next_job(door(&context.settings)) else { return Ok(None) };
    let mut admission = Admission::new(&context.store, schedule.tenant, context.settings.templates.strict);
    match admission.check(&job).await {
        Ok(_) => Ok(None),
        Err(Refusal::Ledger(error)) if error.is_of_the_ledger() => Err(error),
        Err(refusal) => Ok(Some(refusal.to_string())),
    }
}
