//! Schedules: jobs that are enqueued again and again by the clock.

use axum::{Json, http::StatusCode};
use chrono_tz::Tz;
use kabar_domain::{
    job::{Job, JobId},
    schedule::Missed,
};
use kabar_store::{NewSchedule, StoreError, StoreResult};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    access::Caller,
    input::{self, Path},
    page::Page,
    problem::{Kind, Problem},
};
use crate::{admission::Admission, views::Schedule};

/// The schedules, in the order in which they were added
#[utoipa::path(
    get,
    path = "/v1/schedules",
    tag = "schedules",
    security(("key" = ["read"])),
    responses((status = 200, description = "All of them", body = Page<Schedule>))
)]
pub(super) async fn list(caller: Caller) -> Result<Json<Page<Schedule>>, Problem> {
    let schedules = caller.store.schedules(caller.tenant).await?;
    let now = caller.store.now_ms();
    let views = schedules.iter().map(|one| Schedule::new(one, now)).collect::<StoreResult<Vec<_>>>()?;
    Ok(Json(Page::whole(views)))
}

/// A schedule to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleBody {
    /// Minute, hour, day of month, month, day of week, with seconds before them if wanted; or `@daily` and the like.
    cron: String,
    /// Such as `Asia/Jakarta`; left out: as the installation has it.
    timezone: Option<String>,
    /// What becomes of ticks that fall due while no fleet runs: `skip`, `coalesce` (the default) or `catch_up:N`.
    missed: Option<String>,
    /// The job that each tick enqueues; its id begins theirs.
    #[schema(value_type = Object)]
    job: Value,
}

/// Add a schedule
///
/// Each tick enqueues its job once, under the job's id and the tick's local time. A request that is sent again adds another.
#[utoipa::path(
    post,
    path = "/v1/schedules",
    tag = "schedules",
    security(("key" = ["enqueue"])),
    request_body(content = ScheduleBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The schedule", body = Schedule),
        (status = 409, description = "It would never fire"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The schedule or its job is not valid"),
    )
)]
pub(super) async fn add(
    caller: Caller,
    input::Json(body): input::Json,
) -> Result<(StatusCode, Json<Schedule>), Problem> {
    let body: ScheduleBody = input::typed(body)?;
    let timezone = match body.timezone.as_deref() {
        None => caller.door.default_timezone,
        Some(zone) => {
            zone.parse::<Tz>().map_err(|_| invalid("timezone", zone, "is no time zone such as Asia/Jakarta"))?
        }
    };
    let missed = match body.missed.as_deref() {
        None => Missed::default(),
        Some(missed) => missed.parse().map_err(|error| invalid("missed", missed, &format!("{error}")))?,
    };
    let id: Option<JobId> = "schedule".parse().ok();
    let job =
        Job::from_value(body.job.clone(), caller.door, id).map_err(|error| Problem::job("job", &error, &body.job))?;
    let mut admission = Admission::new(&caller.store, caller.tenant, caller.strict_templates);
    admission.check(&job).await.map_err(|refusal| Problem::refused("job", refusal))?;
    let new = NewSchedule { cron: &body.cron, timezone, job: &body.job, missed };
    let schedule = caller.store.add_schedule(caller.tenant, &new, caller.door).await.map_err(|error| match error {
        StoreError::Refused(problem) => invalid("cron", &body.cron, &problem),
        error => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(Schedule::new(&schedule, caller.store.now_ms())?)))
}

fn invalid(field: &str, given: &str, problem: &str) -> Problem {
    Problem::new(Kind::Invalid, format!("{field}: {problem}")).of(field).given(Some(&given.into()))
}

/// One schedule with its job and its next ten firings
#[utoipa::path(
    get,
    path = "/v1/schedules/{id}",
    tag = "schedules",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The schedule's id")),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 404, description = "There is no such schedule"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<Schedule>, Problem> {
    let id = number(&id)?;
    as_it_is(&caller, id).await
}

/// Let a schedule rest
///
/// What falls due meanwhile never fires. Pausing again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/schedules/{id}/pause",
    tag = "schedules",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The schedule's id")),
    responses(
        (status = 200, description = "The schedule as it is now", body = Schedule),
        (status = 404, description = "There is no such schedule"),
    )
)]
pub(super) async fn pause(caller: Caller, Path(id): Path) -> Result<Json<Schedule>, Problem> {
    let id = number(&id)?;
    caller.store.pause_schedule(caller.tenant, id).await?;
    as_it_is(&caller, id).await
}

/// Let a paused schedule go on with its next tick
///
/// Resuming one that is not paused changes nothing.
#[utoipa::path(
    post,
    path = "/v1/schedules/{id}/resume",
    tag = "schedules",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The schedule's id")),
    responses(
        (status = 200, description = "The schedule as it is now", body = Schedule),
        (status = 404, description = "There is no such schedule"),
    )
)]
pub(super) async fn resume(caller: Caller, Path(id): Path) -> Result<Json<Schedule>, Problem> {
    let id = number(&id)?;
    caller.store.resume_schedule(caller.tenant, id).await?;
    as_it_is(&caller, id).await
}

/// Remove a schedule; what it enqueued stays
#[utoipa::path(
    delete,
    path = "/v1/schedules/{id}",
    tag = "schedules",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The schedule's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such schedule"),
    )
)]
pub(super) async fn remove(caller: Caller, Path(id): Path) -> Result<StatusCode, Problem> {
    let id = number(&id)?;
    if caller.store.remove_schedule(caller.tenant, id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown(&id.to_string()))
}

/// Ids are numbers, which nothing else can be.
fn number(id: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no schedule {id}")).fix("GET /v1/schedules lists what there is")
}

async fn as_it_is(caller: &Caller, id: i64) -> Result<Json<Schedule>, Problem> {
    Ok(Json(Schedule::new(&caller.store.schedule(caller.tenant, id).await?, caller.store.now_ms())?))
}
