//! Broadcasts: how they stand, and what people do to them.

use axum::Json;
use kabar_domain::job::Job;

use super::{
    access::Caller,
    input::{self, Path, Query},
    page::{Page, PageQuery},
    problem::{Kind, Problem},
};
use crate::{
    admission::{Admission, fresh_id},
    preview::BroadcastPreview,
    views::{Broadcast, BroadcastDetail},
};

/// Look at what a broadcast would come to
///
/// For whom it would be, who would be left out and why, what the first of them would read, and when its last message would
/// leave. Nothing is written, and no id is used up.
#[utoipa::path(
    post,
    path = "/v1/broadcasts:preview",
    tag = "broadcasts",
    security(("key" = ["enqueue"])),
    request_body(content = super::document::OneJob, content_type = "application/json"),
    responses(
        (status = 200, description = "What it would come to", body = BroadcastPreview),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The job is not valid, or no broadcast"),
    )
)]
pub(super) async fn preview(caller: Caller, input::Json(body): input::Json) -> Result<Json<BroadcastPreview>, Problem> {
    let id = fresh_id("broadcast").parse().ok();
    let job = Job::from_value(body.clone(), caller.door, id).map_err(|error| Problem::job("", &error, &body))?;
    let Job::Broadcast(broadcast) = &job else {
        return Err(Problem::new(Kind::Invalid, "type: only a broadcast has a preview").of("type"));
    };
    let mut admission = Admission::new(&caller.store, caller.tenant, caller.strict_templates);
    admission.check(&job).await.map_err(|refusal| Problem::refused("", refusal))?;
    let preview = BroadcastPreview::of(&caller.store, caller.tenant, broadcast, caller.margin).await;
    preview.map(Json).map_err(|error| Problem::enqueue("", error))
}

/// The broadcasts, the newest first
#[utoipa::path(
    get,
    path = "/v1/broadcasts",
    tag = "broadcasts",
    security(("key" = ["read"])),
    params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<Broadcast>))
)]
pub(super) async fn list(caller: Caller, Query(query): Query<PageQuery>) -> Result<Json<Page<Broadcast>>, Problem> {
    let wanted = query.wanted(i64::MAX)?;
    let rows = caller.store.broadcasts(caller.tenant, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.job_id, row.into())))))
}

/// One broadcast, with the reasons of what did not arrive
#[utoipa::path(
    get,
    path = "/v1/broadcasts/{id}",
    tag = "broadcasts",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast", body = BroadcastDetail),
        (status = 404, description = "There is no such broadcast"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<BroadcastDetail>, Problem> {
    let broadcast = caller.store.broadcast(caller.tenant, &id).await?;
    let reasons = caller.store.reasons(broadcast.job_id).await?;
    Ok(Json(BroadcastDetail::new(&broadcast, &reasons)))
}

/// Pause a broadcast
///
/// What couriers hold of it goes back, too; what is being sent just now leaves. Pausing again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/pause",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It is over"),
    )
)]
pub(super) async fn pause(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.pause_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

/// Let a paused broadcast go on
///
/// Resuming one that is not paused changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/resume",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It is over"),
    )
)]
pub(super) async fn resume(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.resume_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

/// Cancel a broadcast for good
///
/// What has not left does not leave. Cancelling again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/cancel",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It has completed"),
    )
)]
pub(super) async fn cancel(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.cancel_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

async fn as_it_is(caller: &Caller, id: &str) -> Result<Json<Broadcast>, Problem> {
    Ok(Json(Broadcast::from(&caller.store.broadcast(caller.tenant, id).await?)))
}
