//! Reminders: what they sent and will send, moving them and taking them back.

use axum::Json;
use chrono::NaiveDate;
use kabar_domain::{content::Params, job::Job};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Caller,
    input::{self, Path, Query},
    page::{Page, PageQuery},
    problem::{Kind, Problem},
};
use crate::{
    preview::ReminderPreview,
    views::{EndedReminder, Reminder, ReminderDetail},
};

/// The reminders, the newest first
#[utoipa::path(
    get,
    path = "/v1/reminders",
    tag = "reminders",
    security(("key" = ["read"])),
    params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<Reminder>))
)]
pub(super) async fn list(caller: Caller, Query(query): Query<PageQuery>) -> Result<Json<Page<Reminder>>, Problem> {
    let wanted = query.wanted(i64::MAX)?;
    let found = caller.store.jobs(caller.tenant, "reminder", Some(wanted.after), wanted.look_up()).await?;
    let mut rows = Vec::with_capacity(found.len());
    for (job_id, summary) in found {
        if let Job::Reminder(job) = caller.store.job(job_id).await? {
            rows.push((job_id, Reminder::new(&summary, &job)));
        }
    }
    Ok(Json(wanted.page(rows)))
}

/// What a reminder has sent, and what it will send when
#[utoipa::path(
    get,
    path = "/v1/reminders/{id}",
    tag = "reminders",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The reminder's id")),
    responses(
        (status = 200, description = "The reminder", body = ReminderDetail),
        (status = 404, description = "There is no such reminder"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<ReminderDetail>, Problem> {
    match ReminderDetail::read(&caller.store, caller.tenant, &id).await? {
        Some(reminder) => Ok(Json(reminder)),
        None => Err(Problem::new(Kind::NotFound, format!("{id} is no reminder"))),
    }
}

/// Where a reminder is to be moved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    /// The day that it is about from now on.
    #[schema(value_type = String, format = Date)]
    due: NaiveDate,
    /// Values that take the place of all of its template's, as in a job.
    #[schema(value_type = Option<Object>)]
    params: Option<Params>,
}

/// A reminder that was moved.
#[derive(Serialize, ToSchema)]
pub(super) struct MovedReminder {
    /// Its id.
    id: String,
    /// How many messages for the earlier date were taken back.
    taken_back: u64,
    /// What it sends from now on.
    preview: ReminderPreview,
}

/// Move a reminder to another due date
///
/// What has not left is taken back, and each offset that lies ahead of the new date gets a message. A value that is given as
/// `{"date": "{due}"}` follows by itself. Moving it to where it is changes nothing.
#[utoipa::path(
    post,
    path = "/v1/reminders/{id}/move",
    tag = "reminders",
    security(("key" = ["enqueue"])),
    params(("id" = String, Path, description = "The reminder's id")),
    request_body(content = MoveBody, content_type = "application/json"),
    responses(
        (status = 200, description = "It was moved", body = MovedReminder),
        (status = 404, description = "There is no such reminder"),
        (status = 409, description = "It was paid or cancelled, or its content cannot take these values"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn move_to(
    caller: Caller,
    Path(id): Path,
    input::Json(body): input::Json,
) -> Result<Json<MovedReminder>, Problem> {
    let MoveBody { due, params } = input::typed(body)?;
    let moved = caller.store.move_reminder(caller.tenant, &id, due, params).await?;
    let preview = ReminderPreview::of_plan(&moved.reminder, &moved.planned, None);
    Ok(Json(MovedReminder { id, taken_back: moved.cancelled, preview }))
}

/// It was paid: nothing more of the reminder is sent
///
/// Wins until the moment before a message leaves. Saying it again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/reminders/{id}/paid",
    tag = "reminders",
    security(("key" = ["enqueue"])),
    params(("id" = String, Path, description = "The reminder's id")),
    responses(
        (status = 200, description = "It has ended", body = EndedReminder),
        (status = 404, description = "There is no such reminder"),
    )
)]
pub(super) async fn paid(caller: Caller, Path(id): Path) -> Result<Json<EndedReminder>, Problem> {
    Ok(Json(EndedReminder::paid(&caller.store, caller.tenant, &id).await?))
}

/// Take a reminder back: nothing more of it is sent
#[utoipa::path(
    post,
    path = "/v1/reminders/{id}/cancel",
    tag = "reminders",
    security(("key" = ["enqueue"])),
    params(("id" = String, Path, description = "The reminder's id")),
    responses(
        (status = 200, description = "It has ended", body = EndedReminder),
        (status = 404, description = "There is no such reminder"),
    )
)]
pub(super) async fn cancel(caller: Caller, Path(id): Path) -> Result<Json<EndedReminder>, Problem> {
    Ok(Json(EndedReminder::cancelled(&caller.store, caller.tenant, &id).await?))
}
