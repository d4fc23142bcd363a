//! Turns jobs into messages, one per recipient (a reminder: one per offset); resumably, never twice.

use std::time::{Duration, SystemTime};

use kabar_store::Topic;
use kabar_telemetry::names;

use crate::{
    context::Shared,
    steps::{Next, StepError},
    traces,
};

/// How often jobs are looked for when no bell rings: other processes enqueue, too.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let began = SystemTime::now();
    let Some(planned) = context.store.plan_next().await? else {
        return Ok(Next::Bell(Topic::Jobs, LOOK_EVERY));
    };
    metrics::counter!(names::MESSAGES_PLANNED).increment(planned.messages);
    traces::planned(&context, &planned, began);
    if planned.finished {
        context.store.foresee_end(planned.job_id).await?;
        tracing::debug!(job = planned.job_id, "planned");
    }
    Ok(Next::Now)
}
