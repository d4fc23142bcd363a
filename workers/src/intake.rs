//! Takes jobs of other services from the line `jobs`, writes them down, then acknowledges. What cannot be understood
//! becomes a dead letter with its reason; it never blocks the line and is never dropped.

use std::time::Duration;

use kabar_domain::job::{Job, JobId};
use kabar_queue::{Delivery, Line, QueueError};
use kabar_store::{DEFAULT_TENANT, NewDeadLetter};
use kabar_telemetry::names;

use crate::{
    admission::count_job,
    context::{Shared, door},
    fault::{self, Point},
    steps::{Next, StepError},
    traces::Arrival,
};

/// The most jobs that are taken at once.
const MOST_JOBS: usize = 100;

/// How long one look at the line waits for a job.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let deliveries = context.queue.take(Line::Jobs, MOST_JOBS, WAIT).await?;
    for delivery in &deliveries {
        let arrival = Arrival::now(Line::Jobs.as_str(), delivery.traceparent.as_deref());
        match Job::from_json(&delivery.body, door(&context.settings), fallback_id(delivery)) {
            Ok(job) => match context.store.enqueue(DEFAULT_TENANT, &job).await {
                Ok(enqueued) => {
                    count_job(&job, &enqueued);
                    arrival.enqueued(&context, DEFAULT_TENANT, [(&job, &enqueued)]);
                }
                Err(error) if !error.is_passing() => {
                    bury(&context, delivery, &error.to_string()).await?;
                }
                Err(error) => return Err(error.into()),
            },
            Err(error) => bury(&context, delivery, &error.to_string()).await?,
        }
    }
    if !deliveries.is_empty() {
        fault::pass(Point::BeforeJobAck);
        context.queue.acknowledge(&deliveries).await?;
    }
    Ok(Next::Now)
}

/// The broker's message id stands in for a missing `id`: a redelivery carries it again, so it is the same job.
fn fallback_id(delivery: &Delivery) -> Option<JobId> {
    delivery.message_id.as_deref().and_then(|id| id.parse().ok())
}

async fn bury(context: &Shared, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
    let body = String::from_utf8_lossy(&delivery.body);
    let job_key = id_at_the_door(delivery);
    let letter = NewDeadLetter { line: Line::Jobs.as_str(), job_key: job_key.as_deref(), body: &body, reason };
    let letter = context.store.bury(DEFAULT_TENANT, letter).await?;
    metrics::counter!(names::DEAD_LETTERS).increment(1);
    // Not the reason: it may quote a word of the body.
    tracing::warn!(letter, job_id = job_key, "a job cannot be carried out: `kabar dead show` says why");
    Ok(())
}

/// The id by which a producer knows what cannot be carried out: its own, if as much as that can be read, else its
/// message's.
fn id_at_the_door(delivery: &Delivery) -> Option<String> {
    let own = serde_json::from_slice::<serde_json::Value>(&delivery.body).ok();
    let own = own.as_ref().and_then(|job| job.get("id")?.as_str()).and_then(|id| id.parse::<JobId>().ok());
    own.or_else(|| fallback_id(delivery)).map(|id| id.to_string())
}
