//! Takes jobs of other services from the line `jobs`, writes them down, then acknowledges. What cannot be understood, or is
//! not admitted, becomes a dead letter with its reason; it never blocks the line and is never dropped.

use std::time::Duration;

use kabar_domain::job::{Job, JobId};
use kabar_queue::{Delivery, Line, QueueError};
use kabar_store::{DEFAULT_TENANT, Enqueued, NewDeadLetter};
use kabar_telemetry::names;

use crate::{
    admission::{Admission, Refusal, count_job},
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
    let mut admission = Admission::new(&context.store, DEFAULT_TENANT, context.settings.templates.strict);
    let mut written = 0;
    let mut ended = Ok(Next::Now);
    for delivery in &deliveries {
        match take_in(&context, &mut admission, delivery).await {
            Ok(()) => written += 1,
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    let (done, left) = deliveries.split_at(written);
    // Also before a fault: a letter that came again would be there twice.
    if !done.is_empty() {
        fault::pass(Point::BeforeJobAck);
        context.queue.acknowledge(done).await?;
    }
    if !left.is_empty() {
        // What cannot be given back comes back by itself, only later.
        let given_back = context.queue.release(left).await;
        given_back
            .unwrap_or_else(|error| tracing::debug!(error = &error as &dyn std::error::Error, "jobs stay hidden"));
    }
    ended
}

/// Writes a job down, or a dead letter where it cannot be carried out. An error says nothing of the job, only that the
/// ledger cannot be used for now.
async fn take_in(context: &Shared, admission: &mut Admission<'_>, delivery: &Delivery) -> Result<(), StepError> {
    let arrival = Arrival::now(Line::Jobs.as_str(), delivery.traceparent.as_deref());
    let job = match Job::from_json(&delivery.body, door(&context.settings), fallback_id(delivery)) {
        Ok(job) => job,
        Err(error) => return Ok(bury(context, delivery, &error.to_string()).await?),
    };
    match enqueue(context, admission, &job).await {
        Ok(enqueued) => {
            count_job(&job, &enqueued);
            arrival.enqueued(context, DEFAULT_TENANT, [(&job, &enqueued)]);
        }
        Err(Refusal::Ledger(error)) if error.is_of_the_ledger() => return Err(error.into()),
        Err(refusal) => bury(context, delivery, &refusal.to_string()).await?,
    }
    Ok(())
}

/// Enqueues a job that is admitted, or was when it came for the first time: a line may bring it again at any time, and its
/// template may be paused by then.
async fn enqueue(context: &Shared, admission: &mut Admission<'_>, job: &Job) -> Result<Enqueued, Refusal> {
    if let Err(refusal) = admission.check(job).await
        && context.store.job_id(DEFAULT_TENANT, job.id().as_str()).await?.is_none()
    {
        return Err(refusal);
    }
    Ok(context.store.enqueue(DEFAULT_TENANT, job).await?)
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
