//! Jobs in: one, or up to a thousand, durable in the ledger before the answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use kabar_domain::job::Job;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    super::Gateway,
    access::Caller,
    input::{self, Path},
    observe,
    problem::{Kind, Problem},
};
use crate::{
    admission::{Admission, count_job, fresh_id},
    views,
};

/// The most jobs that one request may bring.
const MOST_JOBS: usize = 1_000;

/// The kinds of jobs, which begin the ids that are made.
const KINDS: [&str; 3] = ["send", "broadcast", "reminder"];

/// A job that is in the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// The job's id: the producer's own, or made.
    id: String,
}

/// Jobs that are in the ledger, in the order in which they came.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllAccepted {
    /// Their ids.
    jobs: Vec<Accepted>,
}

/// What was accepted: one job, or several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    One(Accepted),
    Several(AllAccepted),
}

/// Enqueue one job, or up to a thousand
///
/// 202 means that all of it is durable in the ledger; with any other answer nothing was enqueued. The same id again is the
/// same job and is answered as before, so a request without an answer may simply be sent again. A missing id is made.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = "jobs",
    security(("key" = ["enqueue"])),
    request_body(content = super::document::JobOrJobs, content_type = "application/json"),
    responses(
        (status = 202, description = "All of it is durable in the ledger", body = Answer),
        (status = 409, description = "An id belongs to another job"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "A job is not valid; nothing was enqueued"),
        (status = 429, description = "The key has enqueued enough for now"),
    )
)]
pub(super) async fn enqueue(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    headers: HeaderMap,
    input::Json(body): input::Json,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let arrival = observe::arrival(&headers);
    let several = body.get("jobs").is_some();
    let bodies = bodies(body)?;
    let place = |index: usize| if several { format!("jobs[{index}]") } else { String::new() };
    let mut admission = Admission::new(&caller.store, caller.tenant, caller.strict_templates);
    let mut jobs = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.into_iter().enumerate() {
        let kind = body.get("type").and_then(Value::as_str).filter(|kind| KINDS.contains(kind)).unwrap_or("job");
        let id = fresh_id(kind).parse().ok();
        let job = Job::from_value(body.clone(), caller.door, id)
            .map_err(|error| Problem::job(&place(index), &error, &body))?;
        admission.check(&job).await.map_err(|refusal| Problem::refused(&place(index), refusal))?;
        jobs.push(job);
    }
    let enqueued = caller.store.enqueue_all(caller.tenant, &jobs).await;
    let enqueued = enqueued.map_err(|refused| match refused.index {
        Some(index) => Problem::enqueue(&place(index), refused.error),
        None => refused.error.into(),
    })?;
    jobs.iter().zip(&enqueued).for_each(|(job, enqueued)| count_job(job, enqueued));
    arrival.enqueued(&gateway.context, caller.tenant, jobs.iter().zip(&enqueued));
    let mut accepted: Vec<Accepted> = jobs.iter().map(|job| Accepted { id: job.id().to_string() }).collect();
    let answer = match accepted.pop() {
        Some(one) if !several => Answer::One(one),
        last => Answer::Several(AllAccepted { jobs: accepted.into_iter().chain(last).collect() }),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// The jobs of a body: itself, or those that it lists.
fn bodies(body: Value) -> Result<Vec<Value>, Problem> {
    let invalid = |detail: &str| Problem::new(Kind::Invalid, detail).of("jobs");
    let Value::Object(mut fields) = body else {
        return Err(Problem::new(Kind::Invalid, "the body must be a job, or {\"jobs\": […]}"));
    };
    match fields.remove("jobs") {
        None => Ok(vec![Value::Object(fields)]),
        Some(_) if !fields.is_empty() => Err(invalid("jobs: nothing else may stand beside it")),
        Some(Value::Array(jobs)) if jobs.is_empty() => Err(invalid("jobs: has none; give 1 to 1,000")),
        Some(Value::Array(jobs)) if jobs.len() > MOST_JOBS => {
            Err(invalid(&format!("jobs: has {}; at most {MOST_JOBS} are taken at once", jobs.len())))
        }
        Some(Value::Array(jobs)) => Ok(jobs),
        Some(_) => Err(invalid("jobs: must be a list")),
    }
}

/// One job, and where its messages are
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    tag = "jobs",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job", body = views::Job),
        (status = 404, description = "There is no such job"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<views::Job>, Problem> {
    let (job_id, summary) = caller.store.job_summary(caller.tenant, &id, None).await?;
    let counts = caller.store.job_counts(job_id).await?;
    Ok(Json(views::Job::new(summary, counts)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_a_job_or_a_list_of_them() {
        assert_eq!(bodies(json!({"type": "send"})).unwrap(), [json!({"type": "send"})]);
        assert_eq!(bodies(json!({"jobs": [1, 2]})).unwrap(), [json!(1), json!(2)]);
        let many = json!({"jobs": vec![json!({}); 1_001]});
        for refused in
            [json!([]), json!("x"), json!({"jobs": []}), json!({"jobs": {}}), json!({"jobs": [1], "id": "x"}), many]
        {
            assert!(bodies(refused.clone()).is_err(), "{refused}");
        }
    }
}
