//! Reminders: what they sent and will send, and taking them back.

use axum::Json;
use kabar_domain::job::Job;

use super::{
    access::Caller,
    input::{Path, Query},
    page::{Page, PageQuery},
    problem::{Kind, Problem},
};
use crate::views::{EndedReminder, Reminder, ReminderDetail};

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
