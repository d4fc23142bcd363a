//! Enqueues the jobs of cron schedules as they fall due. A tick is a compare-and-set on the schedule's row with the job in
//! the same transaction, so it fires exactly once, whoever runs, and needs no leader.

use std::time::Duration;

use crate::{
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
        match context.store.fire_schedule(schedule, door(&context.settings)).await {
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
